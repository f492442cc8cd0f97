//! Events made up by hand: plain in every respect but what a test says of them.
//!
//! The tests outside of this crate include this file as it stands; hence `tracer`, by which the crate knows
//! itself in its own tests.

use tracer::{
    event::{EventKind, Exec, Exit, Fork},
    units::{BootNs, Comm, ProcKey, Process, Tgid},
};

/// The process of this number in the one namespace there is, begun at `start` ns.
pub(crate) fn process(pid: u32, start: u64) -> Process {
    Process {
        key: ProcKey {
            init: pid,
            start: BootNs(start),
        },
        tgid: Tgid(pid),
        inner: pid,
    }
}

/// `creator` makes `child`.
pub(crate) fn fork(child: Process, creator: Process) -> Fork {
    Fork {
        child,
        creator,
        parent: creator,
        comm: Comm::from_bytes(b"sh"),
        depth: 1,
        uid: 0,
        adopted: false,
    }
}

/// `process` executes the first word; its file's name is its own from now on.
pub(crate) fn exec(process: Process, words: &[&str]) -> Exec {
    let file = words.first().copied().unwrap_or_default();
    let name = file.rsplit('/').next().unwrap_or_default();
    Exec {
        process,
        comm: Comm::from_bytes(name.as_bytes()),
        filename: file.as_bytes().to_vec(),
        argv: words.iter().map(|word| word.as_bytes().to_vec()).collect(),
        argc: u32::try_from(words.len()).unwrap_or(u32::MAX),
        argv_bytes: words.iter().map(|word| word.len() as u64 + 1).sum(),
        exec_no: 1,
        caller_tid: process.key.init,
        ..Exec::default()
    }
}

/// `process` ends with this wait status, and cost nothing.
pub(crate) fn exit(process: Process, parent: Process, status: u32) -> Exit {
    Exit {
        process,
        parent,
        comm: Comm::from_bytes(b"sh"),
        status,
        execs: 1,
        threads: 1,
        ..Exit::default()
    }
}

/// As the ring and the journal tell it.
pub(crate) trait Told {
    fn told(self) -> EventKind;
}

impl Told for Fork {
    fn told(self) -> EventKind {
        EventKind::Fork(self)
    }
}

impl Told for Exec {
    fn told(self) -> EventKind {
        EventKind::Exec(Box::new(self))
    }
}

impl Told for Exit {
    fn told(self) -> EventKind {
        EventKind::Exit(Box::new(self))
    }
}
