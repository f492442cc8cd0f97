//! The control block that the kernel side reads, mapped into this process.
//!
//! Mapped, because then changing it is a store and no system call: the ring reader says "idle" at every
//! pause. And a mapping still works after all privileges are dropped, on every kernel.

use std::{
    ffi::c_void,
    io,
    os::fd::BorrowedFd,
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use tracer_common::control::{Control, Observer, URGENT_EXEC};

use super::ring::IdleFlag;

/// A handle to the mapped control block; clones share it.
#[derive(Debug, Clone)]
pub struct SharedControl(Arc<Mapping>);

#[derive(Debug)]
struct Mapping(NonNull<Control>);

// SAFETY: the mapping belongs to the process, not to a thread, and is only accessed atomically.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `SharedControl::map` with this length; no reference to it outlives self.
        // Nothing can be done about a failure, and there is none for a valid mapping.
        let _ = unsafe { munmap(self.0.as_ptr().cast::<c_void>(), size_of::<Control>()) };
    }
}

/// An atomic view of one field of the block.
macro_rules! field {
    ($self:ident, $atomic:ident, $($field:tt)+) => {{
        let block = $self.0.0.as_ptr();
        // SAFETY: the mapping lives as long as `self` and is page-aligned, so the field is aligned;
        // the kernel and every handle access it in single words.
        unsafe { $atomic::from_ptr(&raw mut (*block).$($field)+) }
    }};
}

impl SharedControl {
    /// Maps the array `fd`, which must have been made with `BPF_F_MMAPABLE`.
    pub(super) fn map(fd: BorrowedFd<'_>) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice.
        let address = unsafe {
            mmap(
                std::ptr::null_mut(),
                size_of::<Control>(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                fd,
                0,
            )
        }?;
        let block = NonNull::new(address.cast::<Control>())
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(Self(Arc::new(Mapping(block))))
    }

    /// Tells the kernel side who observes: whose pids people want to see, and whom never to track.
    pub(super) fn set_observer(&self, observer: &Observer) {
        field!(self, AtomicU64, observer_ns).store(observer.ns, Ordering::SeqCst);
        field!(self, AtomicU32, observer_level).store(observer.level, Ordering::SeqCst);
        field!(self, AtomicU32, observer_tgid_init).store(observer.tgid_init, Ordering::SeqCst);
    }

    /// Whether this observer sees the pids that the present one does.
    pub(super) fn is_namespace_of(&self, observer: &Observer) -> bool {
        field!(self, AtomicU64, observer_ns).load(Ordering::SeqCst) == observer.ns
            && field!(self, AtomicU32, observer_level).load(Ordering::SeqCst) == observer.level
    }

    /// What the program said that tells who runs it.
    pub(super) fn answer(&self) -> Observer {
        Observer {
            ns: field!(self, AtomicU64, answer.ns).load(Ordering::SeqCst),
            level: field!(self, AtomicU32, answer.level).load(Ordering::SeqCst),
            ns_inum: field!(self, AtomicU32, answer.ns_inum).load(Ordering::SeqCst),
            tgid_init: field!(self, AtomicU32, answer.tgid_init).load(Ordering::SeqCst),
            tid_init: field!(self, AtomicU32, answer.tid_init).load(Ordering::SeqCst),
        }
    }

    /// Names the process the next adoption takes as a root; 0 for none.
    pub(super) fn set_adopt(&self, tgid: u32) {
        field!(self, AtomicU32, adopt_tgid).store(tgid, Ordering::SeqCst);
    }

    /// How many cgroups have been made since the programs for following were attached, wrapping around.
    #[must_use]
    pub fn cgroups_made(&self) -> u32 {
        field!(self, AtomicU32, cgroups_made).load(Ordering::SeqCst)
    }

    /// Whether every exec wakes the reader at once.
    pub fn set_urgent_exec(&self, urgent: bool) {
        let bits = if urgent { URGENT_EXEC } else { 0 };
        field!(self, AtomicU32, urgent).store(bits, Ordering::SeqCst);
    }

    /// The processes, by tgid in the initial namespace, whose end and lethal signals wake the reader at
    /// once; 0 for none.
    pub fn set_watched(&self, tgids: [u32; 2]) {
        field!(self, AtomicU32, watched[0]).store(tgids[0], Ordering::SeqCst);
        field!(self, AtomicU32, watched[1]).store(tgids[1], Ordering::SeqCst);
    }

    /// Whether the reader blocks or is about to. The kernel side takes it back with its wake-up.
    pub fn set_reader_idle(&self, idle: bool) {
        field!(self, AtomicU32, reader_idle).store(u32::from(idle), Ordering::SeqCst);
    }
}

impl IdleFlag for SharedControl {
    fn set_idle(&self, idle: bool) -> io::Result<()> {
        self.set_reader_idle(idle);
        Ok(())
    }
}
