//! Accounts, against hand-made trees and a model that keeps everything.

mod any;
mod bounds;
mod closed;
mod trees;

use super::{
    cost::Cost,
    ledger::{Ledger, Report},
};
use crate::{
    event::{
        Account, Exec, Exit, ExitTotals, Fork,
        made::{self, process},
    },
    units::{BootNs, Comm, Process},
};

fn fork(child: Process, creator: Process) -> Fork {
    Fork {
        comm: Comm::from_bytes(b"tracer"),
        ..made::fork(child, creator)
    }
}

fn exec(process: Process, filename: &str) -> Exec {
    Exec {
        comm: Comm::from_bytes(b"comm"),
        ..made::exec(process, &[filename])
    }
}

fn exit(process: Process, parent: Process, cpu_us: u64, peak_rss_kb: u64) -> Exit {
    Exit {
        comm: Comm::from_bytes(b"comm"),
        totals: ExitTotals {
            cpu_user_us: cpu_us,
            peak_rss_kb,
            ..ExitTotals::default()
        },
        ..made::exit(process, parent, 0)
    }
}

/// A command: its processes, CPU time and peak.
fn account(report: &Report, name: &str) -> (u64, u64, u64) {
    let found = report.costliest.commands.iter();
    let mut found = found.filter(|command| *command.name == *name.as_bytes());
    found.next().map_or((0, 0, 0), |command| {
        let Cost {
            processes,
            peak_rss_kb,
            ..
        } = command.cost;
        (processes, command.cost.cpu_us(), peak_rss_kb)
    })
}

/// All accounts together.
fn whole(report: &Report) -> Cost {
    let mut sum = report.costliest.rest.cost;
    for command in &report.costliest.commands {
        sum.add(&command.cost);
    }
    sum
}

/// The chain as names, and its shares with their times.
fn chain(report: &Report) -> (Vec<String>, Vec<(String, u64)>) {
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let chain = report.chain.as_ref().expect("the root has ended");
    (
        chain.links.iter().map(|link| text(&link.command)).collect(),
        chain
            .shares
            .iter()
            .map(|(name, ns)| (text(name), *ns))
            .collect(),
    )
}

/// A tree that is told step by step. The root is 1, `make`, born at 0 by somebody outside.
struct Told {
    ledger: Ledger,
    root: Process,
}

impl Told {
    fn begin() -> Self {
        let mut told = Self {
            ledger: Ledger::default(),
            root: process(1, 0),
        };
        let outside = process(999_999, 0);
        told.ledger.born(&fork(told.root, outside));
        told.ledger.root(told.root.key);
        told.exec(0, told.root, "/usr/bin/make");
        told
    }

    /// `creator` makes a process at `t`, which executes `name`.
    fn child(&mut self, t: u64, pid: u32, creator: Process, name: &str) -> Process {
        let child = process(pid, t);
        self.ledger.born(&fork(child, creator));
        if !name.is_empty() {
            self.exec(t, child, name);
        }
        child
    }

    fn exec(&mut self, t: u64, process: Process, name: &str) {
        self.ledger.executed(BootNs(t), &exec(process, name));
    }

    fn end(&mut self, t: u64, process: Process, parent: Process, cpu_us: u64) {
        let exit = exit(process, parent, cpu_us, cpu_us * 10);
        self.ledger.ended(BootNs(t), &exit, false);
    }

    /// Its account is closed, with so much CPU time.
    fn close(&mut self, process: Process, cpu_us: u64) {
        self.ledger.closed(&Account {
            process,
            cpu_user_us: 0,
            cpu_system_us: cpu_us,
            faults_minor: 0,
            faults_major: 0,
            ctx_switches_voluntary: 0,
            ctx_switches_involuntary: 0,
            io_bytes: None,
        });
    }
}

/// It ends, and was charged so much for its children.
fn end_charged(told: &mut Told, t: u64, process: Process, cpu_us: u64, children_us: u64) {
    end_below(told, t, process, outside(), (cpu_us, children_us));
}

/// The same, below somebody.
fn end_below(
    told: &mut Told,
    t: u64,
    process: Process,
    parent: Process,
    (cpu_us, children_us): (u64, u64),
) {
    let mut exit = exit(process, parent, cpu_us, 1);
    exit.totals.children_cpu_us = Some((children_us, 0));
    told.ledger.ended(BootNs(t), &exit, false);
}

/// Nobody of the tree.
fn outside() -> Process {
    process(0, 0)
}
