//! The gates of recovery: what is known of a session goes in, what to do with it comes out.
//!
//! In their order: the lease, whose session it is, the boot, the target's life, and whether the rows are
//! the target's. A fact that is not known never counts as the convenient one: what may be alive is left
//! alone, what may be ours is never deleted. Pure: no file, no clock, no process.

use std::collections::BTreeSet;

use crate::units::Ticks;

/// Which gate decided; the number is the one people read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// An observer holds the session's lease; of another recorder's files, they are too young.
    Lease = 0,
    /// Nothing says whose session it is, or it is not ours.
    Enrollment = 1,
    /// Another boot.
    Boot = 2,
    /// The target lives.
    Liveness = 3,
    /// The rows are not the target's.
    Alien = 4,
}

/// What is known of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Gate 0.
    pub observer: Observer,
    /// Gate 1: whose session it is, or why that cannot be told.
    pub enrolled: Result<Enrolled, String>,
    /// The boot this machine is on.
    pub boot_id: String,
    /// Where the session lies.
    pub storage: Storage,
    /// Gate 3: what became of the target; of no meaning on another boot.
    pub target: Life,
}

/// Whether somebody is at work on a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observer {
    /// Its lease is held, or its files have just been written; who, for people.
    Lives(String),
    /// Its lease is free.
    Gone,
}

/// Whose session it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// The boot it was recorded on.
    pub boot_id: String,
}

/// What holds the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// A file system that outlives a boot.
    Disk,
    /// tmpfs or ramfs: what another boot left there is a copy of something long gone.
    Memory,
}

/// What became of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Life {
    /// The same process, by number and start, is there and runs.
    Alive,
    /// It has certainly ended.
    Dead,
    /// Neither is certain, and why.
    Unknown(String),
}

/// What `/proc` shows under the number of a recorded process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// Nothing.
    Nothing,
    /// It may be there, but we cannot see it, and why.
    Hidden(String),
    /// A process.
    Process {
        /// Its start; `None` when it cannot be read.
        start: Option<Ticks>,
        /// All its threads have ended; it waits to be reaped.
        ended: bool,
    },
}

/// What to do with a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Leave it as it is: somebody is at work on it, it is not ours, or its target lives.
    Leave(Gate, String),
    /// Not certain enough to touch it.
    Doubt(Gate, String),
    /// Its target lives and nobody watches: no crash; `--resume` adopts it.
    Alive(String),
    /// Remove it: a copy from another boot on a memory file system.
    Discard(String),
    /// End it.
    Finish(Crash),
}

/// What ended the observer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// It was killed, or crashed.
    Observer,
    /// The machine went down.
    HostReboot,
}

/// Gates 0 to 3. What gets through may still fail gate 4, [`judge_rows`].
#[must_use]
pub fn judge(facts: &Facts) -> Decision {
    if let Observer::Lives(who) = &facts.observer {
        return Decision::Leave(Gate::Lease, who.clone());
    }
    let enrolled = match &facts.enrolled {
        Ok(enrolled) => enrolled,
        Err(why) => return Decision::Leave(Gate::Enrollment, why.clone()),
    };
    // Two unknown boots are not the same boot.
    if enrolled.boot_id.is_empty() || facts.boot_id.is_empty() {
        return Decision::Doubt(Gate::Boot, "the boot is not known".to_owned());
    }
    if enrolled.boot_id != facts.boot_id {
        let boot = &enrolled.boot_id;
        return match facts.storage {
            Storage::Memory => Decision::Discard(format!("left from boot {boot} in memory")),
            Storage::Disk => Decision::Finish(Crash::HostReboot),
        };
    }
    match &facts.target {
        Life::Alive => Decision::Alive("its target lives and nobody watches it".to_owned()),
        Life::Unknown(why) => {
            let why = format!("whether its target lives is not certain: {why}");
            Decision::Doubt(Gate::Liveness, why)
        }
        Life::Dead => Decision::Finish(Crash::Observer),
    }
}

/// Whether a process recorded with this start is the one that `/proc` shows under its number.
#[must_use]
pub fn life(recorded: Option<Ticks>, shown: &Shown) -> Life {
    match *shown {
        // A zombie has ended. If it is another process, then ours has given up the number before.
        Shown::Nothing | Shown::Process { ended: true, .. } => Life::Dead,
        Shown::Hidden(ref why) => Life::Unknown(why.clone()),
        Shown::Process { start, .. } => match (recorded, start) {
            (Some(recorded), Some(start)) if recorded == start => Life::Alive,
            (Some(_), Some(_)) => Life::Dead,
            (None, _) => Life::Unknown("its start was not recorded".to_owned()),
            (_, None) => Life::Unknown("a start time cannot be read".to_owned()),
        },
    }
}

/// The target lives when root or workload does, and has ended when both have.
#[must_use]
pub fn together(root: Life, workload: Life) -> Life {
    match (root, workload) {
        (Life::Alive, _) | (_, Life::Alive) => Life::Alive,
        (unknown @ Life::Unknown(_), _) | (_, unknown) => unknown,
    }
}

/// What the rows of a session say about whose they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// Name in the first row of the workload, and whether that row is of the enrolled process by
    /// number and start.
    pub first: Option<(String, bool)>,
    /// The kernel side told of the enrolled process: of its birth, or of an exec.
    pub tracked: bool,
    /// Names by which the kernel side knew the enrolled process: after an exec, when it made a child,
    /// at its end.
    pub names: BTreeSet<String>,
    /// Names of the processes between root and workload.
    pub wrappers: BTreeSet<String>,
}

/// Gate 4: whether the first row is of the enrolled process. Why not, if not.
///
/// An exec explains another name. So does the kernel's own account of the process: when it was tracked
/// and no exec gave it that name, the process of that very number and start has renamed itself
/// (`PR_SET_NAME`, as node and Python programs do). A wrapper's name is never explained like that: rows
/// of the wrapper are the mistake this gate is for.
#[must_use]
pub fn judge_rows(enrolled_comm: &str, rows: &Rows) -> Option<String> {
    let (comm, same_process) = rows.first.as_ref()?;
    let renamed = *same_process && rows.tracked && !rows.wrappers.contains(comm);
    if comm == enrolled_comm || rows.names.contains(comm) || renamed {
        return None;
    }
    Some(format!(
        "its first row is of {comm:?}, {enrolled_comm:?} was enrolled, and no exec explains that"
    ))
}

#[cfg(test)]
mod tests;
