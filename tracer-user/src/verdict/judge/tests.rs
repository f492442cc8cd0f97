//! Verdicts, from hand-made records taken by a casebook as a session's are.

use std::sync::Arc;

use super::*;
use crate::{
    event::{
        EventKind, Exit, ExitTotals, Fork, Oom, OomFigures, Scene, Signal,
        made::{self, Told as _},
    },
    units::{BootNs, Comm, Process, Tgid, Ticks},
    verdict::{
        Casebook, Killer, Relation,
        aftermath::{About, OomScene, Scope},
        casebook::Forwarded,
    },
};

/// Who started the root; not part of the tree.
const OUTSIDE: u32 = 1;
/// A wrapper, and the root.
const WRAPPER: u32 = 4;
/// The workload.
const SELF: u32 = 5;
/// A child of the workload.
const CHILD: u32 = 6;

pub(super) fn process(pid: u32) -> Process {
    made::process(pid, u64::from(pid))
}

/// A story: records one after the other, 1 ms apart.
pub(super) struct Story {
    pub(super) book: Casebook,
    seq: u64,
    last: Option<Arc<Dead>>,
}

impl Story {
    /// A root, its workload and a child of that.
    pub(super) fn new() -> Self {
        let mut story = Self::unpinned();
        story.pin();
        story
    }

    /// Nobody knows yet which of them is the workload.
    pub(super) fn unpinned() -> Self {
        let mut story = Self {
            book: Casebook::default(),
            seq: 0,
            last: None,
        };
        story.book.observer(2);
        for (pid, creator, comm) in [
            (WRAPPER, OUTSIDE, "script"),
            (SELF, WRAPPER, "python3"),
            (CHILD, SELF, "node"),
        ] {
            story.fork(pid, creator, comm, false);
        }
        story
    }

    /// It is known now.
    pub(super) fn pin(&mut self) {
        self.book.workload(process(SELF).key);
    }

    fn now(&self) -> BootNs {
        BootNs(1_000_000 * (self.seq + 1))
    }

    fn take(&mut self, event: &EventKind) -> u64 {
        let (seq, t) = (self.seq, self.now());
        let dead = self.book.take(seq, t, event, |start| Ticks(start.0));
        self.last = dead.or(self.last.take());
        self.seq += 1;
        seq
    }

    fn fork(&mut self, pid: u32, creator: u32, comm: &str, adopted: bool) -> u64 {
        let comm = Comm::from_bytes(comm.as_bytes());
        let fork = made::fork(process(pid), process(creator));
        let fork = Fork {
            comm,
            adopted,
            ..fork
        };
        self.take(&fork.told())
    }

    fn exec(&mut self, pid: u32, argv: &[&str]) -> u64 {
        self.take(&made::exec(process(pid), argv).told())
    }

    pub(super) fn signal(&mut self, signal: Signal) -> u64 {
        self.take(&EventKind::Signal(Box::new(signal)))
    }

    fn oom(&mut self, victim: u32, trigger: u32, anon_rss_kb: u64) -> u64 {
        self.take(&EventKind::Oom(Box::new(Oom {
            victim: process(victim),
            comm: Comm::from_bytes(b"python3"),
            trigger: process(trigger),
            figures: Some(OomFigures {
                total_vm_kb: 0,
                anon_rss_kb,
                file_rss_kb: 0,
                shmem_rss_kb: 0,
            }),
            oom_score_adj: 0,
        })))
    }

    pub(super) fn exit(&mut self, pid: u32, parent: u32, status: u32) -> u64 {
        self.exit_after(pid, parent, status, 0)
    }

    fn exit_after(&mut self, pid: u32, parent: u32, status: u32, cpu_user_us: u64) -> u64 {
        let comm = match pid {
            WRAPPER => "script",
            CHILD => "node",
            _ => "python3",
        };
        let totals = ExitTotals {
            cpu_user_us,
            ..ExitTotals::default()
        };
        let exit = Exit {
            comm: Comm::from_bytes(comm.as_bytes()),
            totals,
            ..made::exit(process(pid), process(parent), status)
        };
        self.take(&exit.told())
    }

    /// The verdict on whoever ended last.
    pub(super) fn verdict(&self) -> Verdict {
        let dead = self.last.as_ref().expect("somebody has ended");
        judge(&dead.name(), End::Seen(dead), &self.book.aftermath)
    }

    /// The workload ends with this status.
    fn ends(mut self, status: u32) -> Verdict {
        self.exit(SELF, WRAPPER, status);
        self.verdict()
    }
}

/// A signal by kill(2).
pub(super) fn kill(signal: i32, from: u32, to: u32) -> Signal {
    Signal {
        target: process(to),
        signal,
        code: 0,
        result: 0,
        group: true,
        from_kernel: false,
        sender: process(from),
        sender_comm: Comm::from_bytes(b"pkill"),
        sender_uid: 0,
        sender_cmdline: Vec::new(),
        sender_redacted: 0,
        scene: Scene::default(),
    }
}

/// A signal of the kernel's own.
pub(super) fn by_kernel(signal: i32, while_ran: u32, comm: &str, to: u32) -> Signal {
    Signal {
        code: 0x80,
        from_kernel: true,
        sender_comm: Comm::from_bytes(comm.as_bytes()),
        scene: Scene {
            privileged: true,
            ..Scene::default()
        },
        ..kill(signal, while_ran, to)
    }
}

/// A signal that the kernel sends for what `from` did.
fn on_behalf(signal: i32, from: u32, to: u32, group: bool) -> Signal {
    Signal {
        group,
        scene: Scene {
            no_info: true,
            ..Scene::default()
        },
        ..kill(signal, from, to)
    }
}

fn after(signal: Signal, status: u32) -> Verdict {
    let mut story = Story::new();
    story.signal(signal);
    story.ends(status)
}

mod any;
mod blame;
mod codes;
mod ended;
mod handled;
mod kernel;
mod rules;
