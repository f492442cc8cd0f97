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
    /// Largest peak resident set of one process, KiB.
    pub peak_process_rss_kb: u64,
    /// Exits without block I/O figures.
    pub io_unknown: u64,
    /// Exits without a peak of their own.
    pub peaks_unknown: u64,
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
        self.exits += 1;
        // An upper bound is the peak of another image, often of tracer's own: it is no process's peak.
        if totals.peak_rss_upper_bound {
            self.peaks_unknown += 1;
        } else {
            self.peak_process_rss_kb = self.peak_process_rss_kb.max(totals.peak_rss_kb);
        }
        let io_is_known = totals.io_read_bytes.is_some() && totals.io_write_bytes.is_some();
        self.io_unknown += u64::from(!io_is_known);
    }
}

#[cfg(test)]
mod tests;
