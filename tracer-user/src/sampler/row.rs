//! One row of the record, from what was read of one process.
//!
//! A value that is missing is null, and the row says why; nothing is made up. Pure.

use std::collections::BTreeMap;

use super::{Subject, reading::Reading, switches::Switches};
use crate::{
    procfs::ReadEnd,
    snapshot::{SnapshotRow, TreeTotals},
};

/// What a row takes from earlier ones.
#[derive(Debug)]
pub(super) struct Derived {
    pub(super) captured_at: String,
    pub(super) cpu_percent: Option<f64>,
    /// The first row of a process has no percentage, and needs no reason for that.
    pub(super) is_first: bool,
    pub(super) switches: Option<Switches>,
}

/// Makes the row.
pub(super) fn assemble(subject: &Subject, reading: &Reading<'_>, derived: Derived) -> SnapshotRow {
    let mut unread = Unread::default();
    let living = &reading.living;
    let mask = |value: Option<u64>| value.map(hex16);
    for key in ["ctx_switches_voluntary", "ctx_switches_involuntary"] {
        unread.noted(key, &reading.switches);
    }
    let io = ["io_read_bytes", "io_write_bytes"].map(|key| unread.checked(key, &reading.io));
    if derived.cpu_percent.is_none() && !derived.is_first {
        let why = "too soon after the row before".to_owned();
        unread.0.insert("cpu_percent".to_owned(), why);
    }
    let sleep = unread.taken("threads_disk_sleep", &reading.disk_sleep);
    let sleep_wchan = if let Some(sleep) = sleep {
        unread.checked("threads_disk_sleep_wchan", &sleep.wchan)
    } else {
        unread.noted("threads_disk_sleep_wchan", &reading.disk_sleep);
        None
    };
    let cgroup = unread.taken("cgroup", &living.cgroup);
    let cgroup_memory_kb = if let Some(cgroup) = cgroup {
        unread.checked("cgroup_memory_kb", &cgroup.memory_kb)
    } else {
        unread.noted("cgroup_memory_kb", &living.cgroup);
        unread.noted("cgroup_memory_limit_kb", &living.cgroup);
        None
    };
    SnapshotRow {
        captured_at: derived.captured_at,
        pid: subject.tgid.0,
        ppid: Some(reading.ppid.0),
        starttime_ticks: reading.start.0,
        role: subject.role,
        comm: Some(reading.comm.to_text()),
        state: unread.present(
            "state",
            reading.state.name().map(str::to_owned),
            "unknown letter",
        ),
        vm_rss_kb: unread.checked("vm_rss_kb", &living.vm_rss_kb),
        vm_hwm_kb: unread.checked("vm_hwm_kb", &living.vm_hwm_kb),
        // 0 comes from a process whose bookkeeping is being torn down.
        threads: unread.present(
            "threads",
            Some(reading.threads).filter(|&count| count > 0),
            "the process is being released",
        ),
        fd_count: unread.checked("fd_count", &living.fd_count),
        fd_soft_limit: unread.checked("fd_soft_limit", &reading.fd_soft_limit),
        ctx_switches_voluntary: derived.switches.map(|sum| sum.voluntary),
        ctx_switches_involuntary: derived.switches.map(|sum| sum.involuntary),
        sig_pnd: unread.present("sig_pnd", mask(reading.masks.pending), "not in status"),
        sig_blk: unread.present("sig_blk", mask(reading.masks.blocked), "not in status"),
        sig_cgt: unread.present("sig_cgt", mask(reading.masks.caught), "not in status"),
        oom_score: unread.checked("oom_score", &living.oom_score),
        oom_score_adj: unread.checked("oom_score_adj", &reading.oom_score_adj),
        wchan: unread.checked("wchan", &living.wchan),
        cpu_percent: derived.cpu_percent,
        cpu_us: Some(reading.cpu_ns / 1000),
        io_read_bytes: io[0].map(|io| io.0),
        io_write_bytes: io[1].map(|io| io.1),
        net_established: unread.checked("net_established", &living.net_established),
        threads_disk_sleep: sleep.map(|sleep| sleep.threads),
        threads_disk_sleep_wchan: sleep_wchan,
        cgroup: cgroup.map(|cgroup| cgroup.path.clone()),
        cgroup_memory_kb,
        cgroup_memory_limit_kb: cgroup.map(|cgroup| cgroup.limit_kb),
        unread: unread.0,
    }
}

/// Sixteen digits, without the machinery of `format!`: three times a row.
fn hex16(bits: u64) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bits.to_be_bytes()
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

/// Adds a row to the sums of its tick.
pub(super) fn add(totals: &mut TreeTotals, row: &SnapshotRow) {
    totals.processes += 1;
    totals.threads += row.threads.unwrap_or(0);
    totals.rss_kb += row.vm_rss_kb.unwrap_or(0);
    totals.cpu_percent += row.cpu_percent.unwrap_or(0.0);
    totals.fds += row.fd_count.unwrap_or(0);
}

/// Which fields are null, and why.
#[derive(Debug, Default)]
struct Unread(BTreeMap<String, String>);

impl Unread {
    fn checked<T: Clone>(&mut self, key: &str, field: &Result<T, ReadEnd>) -> Option<T> {
        self.taken(key, field).cloned()
    }

    fn taken<'field, T>(
        &mut self,
        key: &str,
        field: &'field Result<T, ReadEnd>,
    ) -> Option<&'field T> {
        self.noted(key, field);
        field.as_ref().ok()
    }

    fn noted<T>(&mut self, key: &str, field: &Result<T, ReadEnd>) {
        if let Err(end) = field {
            self.0.insert(key.to_owned(), end.to_string());
        }
    }

    fn present<T>(&mut self, key: &str, value: Option<T>, why: &str) -> Option<T> {
        if value.is_none() {
            self.0.insert(key.to_owned(), format!("read failed: {why}"));
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn masks_are_sixteen_digits(bits: u64) {
            prop_assert_eq!(hex16(bits), format!("{bits:016x}"));
        }
    }
}
