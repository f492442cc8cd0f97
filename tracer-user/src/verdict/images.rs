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

/// What was executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Last part of the path.
    pub program: Option<String>,
    /// Arguments with blanks between.
    pub cmdline: Option<String>,
    /// When.
    pub t: BootNs,
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
        let program = exec.filename.rsplit(|&byte| byte == b'/').next();
        let image = Image {
            program: program
                .filter(|program| !program.is_empty() && !exec.filename_truncated)
                .map(|program| String::from_utf8_lossy(program).into_owned()),
            cmdline: cmdline(exec),
            t,
        };
        let entry = Entry {
            pid: exec.process.tgid.0,
            comm: exec.comm,
            image: Some(Arc::new(image)),
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

fn cmdline(exec: &Exec) -> Option<String> {
    if exec.argv.is_empty() {
        return None;
    }
    let mut line = exec.argv.join(&b' ');
    let cut = line.len() > CMDLINE_MAX || exec.argv_truncated;
    line.truncate(CMDLINE_MAX);
    let mut text = String::from_utf8_lossy(&line).into_owned();
    if cut {
        text.push('…');
    }
    Some(text)
}
