//! Who keeps a mount busy: why `umount(8)` says so.
//!
//! By a working directory, a root directory, a program, a file in memory or a descriptor that is on that very
//! mount, or by another mount upon it. Not seen: sockets that are bound there, swap files, loop devices.
//! Signals nobody.

use super::holders::{Named, Redact, name};
use crate::procfs::{
    Entry, ProcRoot, ReadEnd,
    mounts::{MountId, Use, parse_mountinfo},
};

/// A process that keeps it busy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocker {
    /// Who.
    pub named: Named,
    /// By what, and the path that the kernel shows.
    pub uses: Vec<Use>,
}

/// What keeps a mount busy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Busy {
    /// Who, by pid.
    pub blockers: Vec<Blocker>,
    /// Where something is mounted on it.
    pub mounts: Vec<String>,
    /// Processes that may not be seen, or not wholly.
    pub denied: usize,
}

/// Looks for whoever uses that mount.
///
/// # Errors
/// [`ReadEnd`] when the processes cannot be listed.
pub fn search(proc: &ProcRoot, mount: MountId, redact: Redact) -> Result<Busy, ReadEnd> {
    let table = proc.text(c"self/mountinfo").unwrap_or_default();
    let on_it = parse_mountinfo(&table).filter(|other| other.parent == mount.id);
    let mut busy = Busy {
        // The root of all has itself for its parent.
        mounts: on_it
            .filter(|other| other.id != mount.id)
            .map(|other| other.place)
            .collect(),
        ..Busy::default()
    };
    let mut entries: Vec<Entry> = Vec::new();
    proc.list(&mut entries)?;
    for entry in entries {
        let looked = proc.process(entry.tgid).and_then(|dir| {
            // A leader that has ended holds nothing; its other threads do.
            let deputy = dir.deputy();
            let dir = deputy.as_ref().unwrap_or(&dir);
            let (uses, whole) = dir.uses_of(mount)?;
            Ok((name(dir, entry.tgid, redact)?, uses, whole))
        });
        match looked {
            Ok((named, uses, whole)) => {
                busy.denied += usize::from(!whole);
                if !uses.is_empty() {
                    busy.blockers.push(Blocker { named, uses });
                }
            }
            Err(ReadEnd::Denied) => busy.denied += 1,
            // It has ended meanwhile.
            Err(_) => {}
        }
    }
    Ok(busy)
}
