//! A process tree told by its events.
#![expect(dead_code, reason = "each test program uses its part")]

use tracer::event::{Event, EventKind, Exec, Exit, ExitTotals, Fork};
use tracer::target::{Existing, Pinned, Resolver, Rule, Spec};
use tracer::units::{BootNs, Comm, ProcKey, Process, Tgid};

pub(crate) fn process(pid: u32) -> Process {
    Process {
        key: ProcKey {
            init: pid,
            start: BootNs(u64::from(pid) * 1000),
        },
        tgid: Tgid(pid),
        inner: pid,
    }
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
        self.event(EventKind::Fork(Fork {
            child: process(child),
            creator: process(creator),
            parent: process(creator),
            comm: Comm::default(),
            depth: 1,
            uid: 0,
            adopted: false,
        }))
    }

    /// `line` is the argument list, separated by `|`; comm is the file's name.
    pub(crate) fn exec_file(&mut self, pid: u32, file: &str, line: &str) -> &mut Self {
        let base = file.rsplit('/').next().unwrap_or(file);
        let argv: Vec<Vec<u8>> = line.split('|').map(|arg| arg.as_bytes().to_vec()).collect();
        self.event(EventKind::Exec(Box::new(Exec {
            process: process(pid),
            comm: Comm::from_bytes(base.as_bytes()),
            filename: file.as_bytes().to_vec(),
            filename_truncated: false,
            argc: u32::try_from(argv.len()).unwrap(),
            argv_bytes: 0,
            argv,
            argv_truncated: false,
            argv_unreadable: false,
            exec_no: 1,
            euid: 0,
            caller_tid: pid,
            redacted: 0,
        })))
    }

    pub(crate) fn exec(&mut self, pid: u32, line: &str) -> &mut Self {
        let first = line.split('|').next().unwrap_or_default();
        let file = format!("/usr/bin/{first}");
        let file = if first.contains('/') { first } else { &file };
        self.exec_file(pid, file, line)
    }

    pub(crate) fn exit(&mut self, pid: u32) -> &mut Self {
        self.event(EventKind::Exit(Box::new(Exit {
            process: process(pid),
            parent: process(1),
            comm: Comm::default(),
            status: 0,
            totals: ExitTotals::default(),
            execs: 1,
            threads: 1,
        })))
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
