//! What one process, or several together, have cost.
//!
//! Facts of the dead come from their exit events, those of the living from their last row. Sums saturate:
//! a hostile journal may claim anything.

use crate::{
    event::{Account, ExitTotals},
    snapshot::SnapshotRow,
};

/// Figures of one process, or sums over several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Processes.
    pub processes: u64,
    /// Of those, the ones that live, with the figures of their last row.
    pub sampled: u64,
    /// Of those, the ones of which nothing is known: alive or of unknown end, and never in a row.
    pub unmeasured: u64,
    /// CPU time in user mode, µs.
    pub cpu_user_us: u64,
    /// CPU time in the kernel, µs.
    pub cpu_system_us: u64,
    /// CPU time of those that live, of both kinds, µs.
    pub cpu_sampled_us: u64,
    /// Largest peak resident set of one process, KiB.
    pub peak_rss_kb: u64,
    /// Page faults that needed I/O.
    pub faults_major: u64,
    /// Page faults that did not.
    pub faults_minor: u64,
    /// Bytes read from the block layer.
    pub io_read_bytes: u64,
    /// Bytes written to the block layer.
    pub io_write_bytes: u64,
    /// Processes without figures of block I/O.
    pub io_unknown: u64,
    /// Processes whose totals may lack a thread's share.
    pub partial: u64,
    /// Ended processes: the CPU time of their exit events lacks the end of their last tick, and what dying
    /// took.
    pub cpu_short: u64,
    /// Of those, the ones whose account is closed, or whose parent was charged for them: it is all there.
    pub cpu_settled: u64,
    /// Ended processes whose own peak is not known.
    pub peak_unknown: u64,
}

impl Cost {
    /// CPU time of all kinds, µs.
    #[must_use]
    pub fn cpu_us(&self) -> u64 {
        self.cpu_user_us
            .saturating_add(self.cpu_system_us)
            .saturating_add(self.cpu_sampled_us)
    }

    /// Bytes read and written, unless those of a process are not known.
    #[must_use]
    pub fn io(&self) -> Option<(u64, u64)> {
        (self.io_unknown == 0).then_some((self.io_read_bytes, self.io_write_bytes))
    }

    /// This of an exit event, with what the closed account of the same process says; `None` if that is less, which no
    /// kernel says.
    #[must_use]
    pub fn closed(&self, account: &Account) -> Option<Self> {
        let cpu_us = account.cpu_user_us.saturating_add(account.cpu_system_us);
        let (read, written) = account
            .io_bytes
            .unwrap_or((self.io_read_bytes, self.io_write_bytes));
        (cpu_us >= self.cpu_us()).then_some(Self {
            cpu_user_us: account.cpu_user_us,
            cpu_system_us: account.cpu_system_us,
            faults_major: self.faults_major.max(account.faults_major),
            faults_minor: self.faults_minor.max(account.faults_minor),
            io_read_bytes: self.io_read_bytes.max(read),
            io_write_bytes: self.io_write_bytes.max(written),
            // All threads are in it.
            partial: 0,
            cpu_settled: self.cpu_short,
            ..*self
        })
    }

    /// Whether nothing is missing of the CPU time of those that have ended.
    #[must_use]
    pub fn is_cpu_closed(&self) -> bool {
        self.cpu_short == self.cpu_settled && self.partial == 0
    }

    /// Adds what others have cost.
    pub fn add(&mut self, other: &Self) {
        let add = |sum: &mut u64, value: u64| *sum = sum.saturating_add(value);
        add(&mut self.processes, other.processes);
        add(&mut self.sampled, other.sampled);
        add(&mut self.unmeasured, other.unmeasured);
        add(&mut self.cpu_user_us, other.cpu_user_us);
        add(&mut self.cpu_system_us, other.cpu_system_us);
        add(&mut self.cpu_sampled_us, other.cpu_sampled_us);
        self.peak_rss_kb = self.peak_rss_kb.max(other.peak_rss_kb);
        add(&mut self.faults_major, other.faults_major);
        add(&mut self.faults_minor, other.faults_minor);
        add(&mut self.io_read_bytes, other.io_read_bytes);
        add(&mut self.io_write_bytes, other.io_write_bytes);
        add(&mut self.io_unknown, other.io_unknown);
        add(&mut self.partial, other.partial);
        add(&mut self.cpu_short, other.cpu_short);
        add(&mut self.cpu_settled, other.cpu_settled);
        add(&mut self.peak_unknown, other.peak_unknown);
    }
}

impl From<&ExitTotals> for Cost {
    fn from(totals: &ExitTotals) -> Self {
        let io = totals.io_read_bytes.zip(totals.io_write_bytes);
        let (io_read_bytes, io_write_bytes) = io.unwrap_or_default();
        Self {
            processes: 1,
            cpu_user_us: totals.cpu_user_us,
            cpu_system_us: totals.cpu_system_us,
            // An upper bound is the peak of another image, often of tracer's own: it is no process's
            // peak.
            peak_rss_kb: if totals.peak_rss_upper_bound {
                0
            } else {
                totals.peak_rss_kb
            },
            faults_major: totals.faults_major,
            faults_minor: totals.faults_minor,
            io_read_bytes,
            io_write_bytes,
            io_unknown: u64::from(io.is_none()),
            partial: u64::from(totals.partial),
            cpu_short: 1,
            peak_unknown: u64::from(totals.peak_rss_upper_bound),
            ..Self::default()
        }
    }
}

/// What one row says of it all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// CPU time so far, µs.
    pub cpu_us: Option<u64>,
    /// Peak resident set so far, KiB.
    pub peak_rss_kb: Option<u64>,
    /// Bytes read from and written to the block layer so far.
    pub io: Option<(u64, u64)>,
}

impl From<&SnapshotRow> for Seen {
    fn from(row: &SnapshotRow) -> Self {
        Self {
            cpu_us: row.cpu_us,
            peak_rss_kb: row.vm_hwm_kb.max(row.vm_rss_kb),
            io: row.io_read_bytes.zip(row.io_write_bytes),
        }
    }
}

/// What the rows of a living process have said of it so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sampled {
    is_seen: bool,
    last: Seen,
}

impl Sampled {
    /// Takes the next row. Counters only grow, so the last known value is the best one, and a value that
    /// could not be read takes none away.
    pub(super) fn take(&mut self, seen: &Seen) {
        let last = &mut self.last;
        self.is_seen = true;
        last.cpu_us = seen.cpu_us.or(last.cpu_us);
        last.peak_rss_kb = seen.peak_rss_kb.max(last.peak_rss_kb);
        last.io = seen.io.or(last.io);
    }

    /// What it comes to for a process that is not known to have ended. Rows say nothing of page faults.
    pub(super) fn cost(&self) -> Cost {
        let (io_read_bytes, io_write_bytes) = self.last.io.unwrap_or_default();
        Cost {
            processes: 1,
            sampled: u64::from(self.is_seen),
            unmeasured: u64::from(!self.is_seen),
            cpu_sampled_us: self.last.cpu_us.unwrap_or(0),
            peak_rss_kb: self.last.peak_rss_kb.unwrap_or(0),
            io_read_bytes,
            io_write_bytes,
            io_unknown: u64::from(self.last.io.is_none()),
            ..Cost::default()
        }
    }
}
