//! What the processes of a tree have cost, added up from their exit events.
//!
//! Each process is counted once, at its end, with the kernel's own totals; those still alive have not
//! been counted. Sums saturate: a hostile journal may claim anything. [`ledger`] has an account of each
//! process and tells them apart by command and by subtree.

pub mod chain;
mod charges;
pub mod commands;
pub mod cost;
pub mod ledger;
pub mod subtrees;
mod waiting;

use serde::Serialize;

use crate::event::{EventKind, Exit};

/// Sums over processes that have ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Accounting {
    /// Processes made or adopted.
    pub forks: u64,
    /// Of those, the ones that were there before tracking began.
    pub adopted: u64,
    /// Images executed.
    pub execs: u64,
    /// Processes ended.
    pub exits: u64,
    /// Signals generated for processes of the tree.
    pub signals: u64,
    /// OOM kills in the tree.
    pub oom_kills: u64,
    /// CPU time in user mode, µs.
    pub cpu_user_us: u64,
    /// CPU time in the kernel, µs.
    pub cpu_system_us: u64,
    /// Largest peak resident set of one process, KiB.
    pub peak_process_rss_kb: u64,
    /// Bytes read from the block layer; 0 and `io_unknown` when this kernel does not account it.
    pub io_read_bytes: u64,
    /// Bytes written to the block layer.
    pub io_write_bytes: u64,
    /// Exits without block I/O figures.
    pub io_unknown: u64,
    /// Page faults that needed I/O.
    pub faults_major: u64,
    /// Page faults that did not.
    pub faults_minor: u64,
    /// Exits without a peak of their own.
    pub peaks_unknown: u64,
    /// Exits whose totals may lack a thread's share.
    pub partial_totals: u64,
}

impl Accounting {
    /// Takes one event.
    pub fn apply(&mut self, event: &EventKind) {
        match event {
            EventKind::Fork(fork) => {
                self.forks += 1;
                self.adopted += u64::from(fork.adopted);
            }
            EventKind::Exec(_) => self.execs += 1,
            EventKind::Exit(exit) => self.exit(exit),
            EventKind::Signal(_) => self.signals += 1,
            EventKind::Oom(_) => self.oom_kills += 1,
            // The ledger has them.
            EventKind::Account(_) => {}
        }
    }

    fn exit(&mut self, exit: &Exit) {
        let totals = &exit.totals;
        let add = |sum: &mut u64, value: u64| *sum = sum.saturating_add(value);
        self.exits += 1;
        add(&mut self.cpu_user_us, totals.cpu_user_us);
        add(&mut self.cpu_system_us, totals.cpu_system_us);
        // An upper bound is the peak of another image, often of tracer's own: it is no process's peak.
        if totals.peak_rss_upper_bound {
            self.peaks_unknown += 1;
        } else {
            self.peak_process_rss_kb = self.peak_process_rss_kb.max(totals.peak_rss_kb);
        }
        match (totals.io_read_bytes, totals.io_write_bytes) {
            (Some(read), Some(written)) => {
                add(&mut self.io_read_bytes, read);
                add(&mut self.io_write_bytes, written);
            }
            _ => self.io_unknown += 1,
        }
        add(&mut self.faults_major, totals.faults_major);
        add(&mut self.faults_minor, totals.faults_minor);
        self.partial_totals += u64::from(totals.partial);
    }
}

#[cfg(test)]
mod tests;
