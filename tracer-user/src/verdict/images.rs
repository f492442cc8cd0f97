//! What each living process is called and was started as.
//!
//! A sender is often gone before anybody can read its command line; if it is one of the tree its own
//! exec record has it. A child that has not executed anything is its parent's image.

use std::sync::Arc;

use crate::collections::HashMap;
use crate::{
    event::Exec,
    units::{BootNs, Comm, ProcKey, Process},
};

/// Bytes of a command line that are kept.
const CMDLINE_MAX: usize = 512;

/// What was executed. As bytes: of most processes nobody asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    program: Option<Box<[u8]>>,
    cmdline: Option<Vec<u8>>,
    cmdline_is_cut: bool,
    /// When.
    pub t: BootNs,
}

impl Image {
    fn of(t: BootNs, exec: &Exec) -> Self {
        let program = exec.filename.rsplit(|&byte| byte == b'/').next();
        let program = program.filter(|program| !program.is_empty() && !exec.filename_truncated);
        let mut cmdline = (!exec.argv.is_empty()).then(|| exec.argv.join(&b' '));
        let length = cmdline.as_ref().map_or(0, Vec::len);
        if let Some(long) = cmdline.as_mut().filter(|_| length > CMDLINE_MAX) {
            long.truncate(CMDLINE_MAX);
            long.shrink_to_fit();
        }
        Self {
            program: program.map(Box::from),
            cmdline,
            cmdline_is_cut: length > CMDLINE_MAX || exec.argv_truncated,
            t,
        }
    }

    /// Last part of the path.
    #[must_use]
    pub fn program(&self) -> Option<String> {
        let program = self.program.as_deref()?;
        Some(String::from_utf8_lossy(program).into_owned())
    }

    /// Arguments with blanks between.
    #[must_use]
    pub fn cmdline(&self) -> Option<String> {
        let mut text = String::from_utf8_lossy(self.cmdline.as_deref()?).into_owned();
        if self.cmdline_is_cut {
            text.push('…');
        }
        Some(text)
    }
}

/// A living process.
#[derive(Debug, Clone)]
struct Entry {
    pid: u32,
    comm: Comm,
    image: Option<Arc<Image>>,
}

/// All living ones.
#[derive(Debug, Clone, Default)]
pub struct Images {
    entries: HashMap<ProcKey, Entry>,
}

impl Images {
    /// A process was made: it is what its creator is.
    pub fn fork(&mut self, child: Process, creator: ProcKey, comm: Comm) {
        let image = self
            .entries
            .get(&creator)
            .and_then(|entry| entry.image.clone());
        self.entries.entry(child.key).or_insert(Entry {
            pid: child.tgid.0,
            comm,
            image,
        });
    }

    /// A process executed something.
    pub fn exec(&mut self, t: BootNs, exec: &Exec) {
        let entry = Entry {
            pid: exec.process.tgid.0,
            comm: exec.comm,
            image: Some(Arc::new(Image::of(t, exec))),
        };
        self.entries.insert(exec.process.key, entry);
    }

    /// A process has ended.
    pub fn forget(&mut self, key: ProcKey) {
        self.entries.remove(&key);
    }

    /// What a living process runs, where that was seen.
    #[must_use]
    pub fn of(&self, key: ProcKey) -> Option<&Image> {
        self.entries.get(&key)?.image.as_deref()
    }

    /// Pid and name of a living process.
    #[must_use]
    pub fn who(&self, key: ProcKey) -> Option<(u32, Comm)> {
        self.entries.get(&key).map(|entry| (entry.pid, entry.comm))
    }
}
