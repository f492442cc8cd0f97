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
    let Reading { stat, status, .. } = reading;
    let living = &reading.living;
    let mask = |value: Option<u64>| value.map(|bits| format!("{bits:016x}"));
    let io = |key, unread: &mut Unread| unread.checked(key, &reading.io);
    for key in ["ctx_switches_voluntary", "ctx_switches_involuntary"] {
        unread.checked(key, &reading.switches);
    }
    if derived.cpu_percent.is_none() && !derived.is_first {
        let why = "too soon after the row before".to_owned();
        unread.0.insert("cpu_percent".to_owned(), why);
    }
    SnapshotRow {
        captured_at: derived.captured_at,
        pid: subject.tgid.0,
        ppid: Some(stat.ppid.0),
        starttime_ticks: stat.start_time.0,
        role: subject.role,
        comm: Some(stat.comm.to_text()),
        state: unread.present(
            "state",
            stat.state.name().map(str::to_owned),
            "unknown letter",
        ),
        vm_rss_kb: unread.checked("vm_rss_kb", &living.vm_rss_kb),
        vm_hwm_kb: unread.checked("vm_hwm_kb", &living.vm_hwm_kb),
        // 0 comes from a process whose bookkeeping is being torn down.
        threads: unread.present(
            "threads",
            Some(stat.num_threads).filter(|&count| count > 0),
            "the process is being released",
        ),
        fd_count: unread.checked("fd_count", &living.fd_count),
        fd_soft_limit: unread.checked("fd_soft_limit", &reading.fd_soft_limit),
        ctx_switches_voluntary: derived.switches.map(|sum| sum.voluntary),
        ctx_switches_involuntary: derived.switches.map(|sum| sum.involuntary),
        sig_pnd: unread.present("sig_pnd", mask(status.pending()), "not in status"),
        sig_blk: unread.present("sig_blk", mask(status.sig_blk), "not in status"),
        sig_cgt: unread.present("sig_cgt", mask(status.sig_cgt), "not in status"),
        oom_score: unread.checked("oom_score", &living.oom_score),
        oom_score_adj: unread.checked("oom_score_adj", &reading.oom_score_adj),
        wchan: unread.checked("wchan", &living.wchan),
        cpu_percent: derived.cpu_percent,
        cpu_us: Some(stat.cpu().to_us(reading.clk_tck)),
        io_read_bytes: io("io_read_bytes", &mut unread).map(|io| io.read_bytes),
        io_write_bytes: io("io_write_bytes", &mut unread).map(|io| io.write_bytes),
        net_established: unread.checked("net_established", &living.net_established),
        unread: unread.0,
    }
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
        match field {
            Ok(value) => Some(value.clone()),
            Err(end) => {
                self.0.insert(key.to_owned(), end.to_string());
                None
            }
        }
    }

    fn present<T>(&mut self, key: &str, value: Option<T>, why: &str) -> Option<T> {
        if value.is_none() {
            self.0.insert(key.to_owned(), format!("read failed: {why}"));
        }
        value
    }
}
