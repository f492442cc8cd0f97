//! What `/proc` said of a process at one time: one row of the record, and the sums of one tick.
//!
//! Keys, units and types are the contract of docs/records.md. A field that could not be read is
//! `null`, and `unread` says why; nothing is made up.

pub mod kernel;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Part a process plays in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The process the user means.
    Workload,
    /// Stands between root and workload, the root included.
    Wrapper,
    /// Any other process of the tree.
    Descendant,
}

/// One process at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotRow {
    /// RFC 3339 UTC with µs; strictly increasing within a session.
    pub captured_at: String,
    /// Pid in the observer's namespace.
    pub pid: u32,
    /// Parent's pid in the observer's namespace.
    pub ppid: Option<u32>,
    /// Start time in clock ticks after boot.
    pub starttime_ticks: u64,
    /// Part it plays.
    pub role: Role,
    /// Task name, invalid UTF-8 replaced.
    pub comm: Option<String>,
    /// running, sleeping, disk-sleep, stopped, tracing-stop, zombie, dead, wake-kill, waking, idle,
    /// parked.
    pub state: Option<String>,
    /// Resident set, KiB.
    pub vm_rss_kb: Option<u64>,
    /// Peak resident set, KiB.
    pub vm_hwm_kb: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open descriptors.
    pub fd_count: Option<u64>,
    /// Soft limit of open descriptors; -1 is unlimited.
    pub fd_soft_limit: Option<i64>,
    /// Voluntary context switches of the whole process.
    pub ctx_switches_voluntary: Option<u64>,
    /// Involuntary context switches of the whole process.
    pub ctx_switches_involuntary: Option<u64>,
    /// Pending signals, thread or shared: 16 hex digits.
    pub sig_pnd: Option<String>,
    /// Blocked signals: 16 hex digits.
    pub sig_blk: Option<String>,
    /// Caught signals: 16 hex digits.
    pub sig_cgt: Option<String>,
    /// The kernel's badness, on the kernel's own scale.
    pub oom_score: Option<i64>,
    /// Adjustment, -1000 to 1000.
    pub oom_score_adj: Option<i64>,
    /// Kernel function it waits in; "" when running or hidden.
    pub wchan: Option<String>,
    /// Percent of one CPU since the row before, one decimal; null on the first row.
    pub cpu_percent: Option<f64>,
    /// CPU time since its start, user and system, all threads, ended ones included, µs.
    #[serde(default)]
    pub cpu_us: Option<u64>,
    /// Bytes read from the block layer.
    pub io_read_bytes: Option<u64>,
    /// Bytes written to the block layer.
    pub io_write_bytes: Option<u64>,
    /// The process's own established TCP sockets.
    pub net_established: Option<u64>,
    /// Threads in uninterruptible sleep.
    #[serde(default)]
    pub threads_disk_sleep: Option<u64>,
    /// Kernel functions those threads wait in, each once, at most eight; "" where the kernel does not
    /// say.
    #[serde(default)]
    pub threads_disk_sleep_wchan: Option<Vec<String>>,
    /// The cgroup that its memory is counted in, as `/proc/<pid>/cgroup` has it.
    #[serde(default)]
    pub cgroup: Option<String>,
    /// Memory in use in that cgroup, KiB.
    #[serde(default)]
    pub cgroup_memory_kb: Option<u64>,
    /// The lowest memory limit of that cgroup and those above it, KiB; -1 is unlimited.
    #[serde(default)]
    pub cgroup_memory_limit_kb: Option<i64>,
    /// Why a field is null: key → "gone", "denied", "zombie", "not this tick" or "read failed: …".
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unread: BTreeMap<String, String>,
}

/// Sums over the rows of one tick.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TreeTotals {
    /// RFC 3339 UTC with µs: when the tick began.
    pub captured_at: String,
    /// Processes with a row.
    pub processes: u64,
    /// Threads.
    pub threads: u64,
    /// Resident set, KiB; shared pages count once a process.
    pub rss_kb: u64,
    /// Percent of one CPU over the last interval.
    pub cpu_percent: f64,
    /// Open descriptors.
    pub fds: u64,
    /// Ticks left out since the last one because one before was late.
    pub missed_ticks: u64,
    /// Rows that the kernel side wrote; the others were read from `/proc`.
    #[serde(default)]
    pub rows_from_kernel: u64,
    /// How long work has stood still for want of something; null where the kernel does not count it.
    #[serde(default)]
    pub pressure: Option<Pressure>,
    /// Why a field is null.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unread: BTreeMap<String, String>,
}

/// Pressure stall information: percent of the last ten seconds in which some, or all, work waited.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pressure {
    /// Whose: the path of a cgroup of version 2, or `system`.
    pub scope: String,
    /// Some task waited for a processor.
    pub cpu_some_avg10: Option<f64>,
    /// Some task waited for memory.
    pub memory_some_avg10: Option<f64>,
    /// All tasks did.
    pub memory_full_avg10: Option<f64>,
    /// Some task waited for a disk.
    pub io_some_avg10: Option<f64>,
    /// All tasks did.
    pub io_full_avg10: Option<f64>,
}
