//! A disk that a test makes fail, fill up or hang.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, PoisonError},
};

use tracer::session::{journal::writer::JournalFile, recorder::Options};

/// What the disk does; the test's hand on it.
#[derive(Default)]
pub(crate) struct Fault {
    /// Calls wait while this is set.
    pub(crate) hold: bool,
    /// Syncs wait while this is set.
    pub(crate) hold_sync: bool,
    /// Appends take at most this many bytes in all, then say ENOSPC.
    pub(crate) room: Option<usize>,
    /// Appends say this.
    pub(crate) refusal: Option<i32>,
    /// What sync says.
    pub(crate) sync: Option<i32>,
    /// Most bytes one append takes.
    pub(crate) at_most: Option<usize>,
    pub(crate) waiting: bool,
    /// Syncs that were asked for.
    pub(crate) syncs: u64,
    /// So many appends and syncs go through; the next one waits.
    pub(crate) hold_after: Option<u32>,
    /// Appends and syncs so far.
    pub(crate) effects: u32,
    /// Bytes the file was given so far.
    pub(crate) appended: usize,
    /// So many appends panic.
    pub(crate) panics: u32,
}

#[derive(Clone, Default)]
pub(crate) struct Disk(pub(crate) Arc<(Mutex<Fault>, Condvar)>);

impl Disk {
    pub(crate) fn set(&self, change: impl FnOnce(&mut Fault)) {
        change(&mut self.0.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.1.notify_all();
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.0
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .waiting
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.0.0.lock().expect("not poisoned").syncs
    }

    pub(crate) fn options(&self) -> Options {
        let disk = self.clone();
        Options {
            file_layer: Some(Box::new(move |file| Box::new(Layer { file, disk }))),
            ..Options::default()
        }
    }
}

pub(crate) struct Layer {
    file: Box<dyn JournalFile>,
    disk: Disk,
}

impl Layer {
    pub(crate) fn gate(&self, held: fn(&Fault) -> bool) -> std::sync::MutexGuard<'_, Fault> {
        let (fault, changed) = &*self.disk.0;
        let mut fault = fault.lock().unwrap_or_else(PoisonError::into_inner);
        while held(&fault) || fault.hold_after == Some(fault.effects) {
            fault.waiting = true;
            fault = changed.wait(fault).unwrap_or_else(PoisonError::into_inner);
        }
        fault.waiting = false;
        fault.effects += 1;
        fault
    }
}

impl JournalFile for Layer {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.append_if(bytes, &mut || true)?.unwrap_or(0))
    }

    fn append_if(
        &mut self,
        bytes: &[u8],
        still: &mut dyn FnMut() -> bool,
    ) -> io::Result<Option<usize>> {
        let mut fault = self.gate(|fault| fault.hold);
        if fault.panics > 0 {
            fault.panics -= 1;
            panic!("the disk's own panic");
        }
        if let Some(error) = fault.refusal {
            return Err(io::Error::from_raw_os_error(error));
        }
        let mut take = bytes.len().min(fault.at_most.unwrap_or(usize::MAX));
        if let Some(room) = &mut fault.room {
            if *room == 0 {
                return Err(io::Error::from_raw_os_error(libc::ENOSPC));
            }
            take = take.min(*room);
            *room -= take;
        }
        fault.appended += take;
        drop(fault);
        self.file.append_if(&bytes[..take], still)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut fault = self.gate(|fault| fault.hold || fault.hold_sync);
        fault.syncs += 1;
        let error = fault.sync;
        drop(fault);
        match error {
            Some(error) => Err(io::Error::from_raw_os_error(error)),
            None => self.file.sync(),
        }
    }
}
