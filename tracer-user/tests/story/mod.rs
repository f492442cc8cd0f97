//! A process tree told by its events.
#![expect(dead_code, reason = "each test program uses its part")]

#[path = "../../src/event/made.rs"]
mod made;

use tracer::event::{Event, EventKind, Exec};
use tracer::target::{Existing, Pinned, Resolver, Rule, Spec};
use tracer::units::{BootNs, Comm, Process};

use self::made::Told as _;

pub(crate) fn process(pid: u32) -> Process {
    made::process(pid, u64::from(pid) * 1000)
}

/// A tree told by its events.
pub(crate) struct Story {
    pub(crate) resolver: Resolver,
    t: u64,
    pub(crate) pinned: Vec<Pinned>,
}

pub(crate) const ROOT: u32 = 100;

impl Story {
    pub(crate) fn new(expect: Option<&str>) -> Self {
        let spec = Spec {
            expect: expect.map(|name| name.as_bytes().to_vec()),
            root: process(ROOT),
        };
        Self {
            resolver: Resolver::new(spec),
            t: 0,
            pinned: Vec::new(),
        }
    }

    pub(crate) fn event(&mut self, kind: EventKind) -> &mut Self {
        self.t += 1;
        let event = Event {
            t: BootNs(self.t),
            kind,
        };
        self.pinned.extend(self.resolver.observe(&event).cloned());
        self
    }

    pub(crate) fn fork(&mut self, creator: u32, child: u32) -> &mut Self {
        self.event(made::fork(process(child), process(creator)).told())
    }

    /// `line` is the argument list, separated by `|`; comm is the file's name.
    pub(crate) fn exec_file(&mut self, pid: u32, file: &str, line: &str) -> &mut Self {
        let words: Vec<&str> = line.split('|').collect();
        let comm = made::exec(process(pid), &[file]).comm;
        let exec = made::exec(process(pid), &words);
        let filename = file.as_bytes().to_vec();
        self.event(
            Exec {
                comm,
                filename,
                ..exec
            }
            .told(),
        )
    }

    pub(crate) fn exec(&mut self, pid: u32, line: &str) -> &mut Self {
        let first = line.split('|').next().unwrap_or_default();
        let file = format!("/usr/bin/{first}");
        let file = if first.contains('/') { first } else { &file };
        self.exec_file(pid, file, line)
    }

    pub(crate) fn exit(&mut self, pid: u32) -> &mut Self {
        self.event(made::exit(process(pid), process(1), 0).told())
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.pinned
            .first()
            .map(|pinned| pinned.target.process().tgid.0)
    }

    pub(crate) fn found(&self) -> Option<(u32, Rule)> {
        self.pid()
            .zip(self.pinned.first().map(|pinned| pinned.rule))
    }

    pub(crate) fn wrappers(&self) -> Vec<String> {
        let skipped = self.pinned[0].skipped.iter();
        skipped
            .filter(|one| one.wrapper)
            .map(|one| one.comm.to_text())
            .collect()
    }
}

pub(crate) fn existing(pid: u32, parent: Option<u32>, exe: &str, line: &str) -> Existing {
    let base = exe.rsplit('/').next().unwrap_or(exe);
    Existing {
        process: process(pid),
        parent_key: parent.map(|pid| process(pid).key),
        comm: Comm::from_bytes(base.as_bytes()),
        exe: Some(exe.as_bytes().to_vec()),
        argv: line.split('|').map(|arg| arg.as_bytes().to_vec()).collect(),
        start: process(pid).key.start,
    }
}
