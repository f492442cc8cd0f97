//! One living process as the kernel side wrote it down, all its threads added up.
//!
//! It is what a task iterator found in the kernel's own structures at one moment, without a file being
//! opened. What it cannot find out is `None`, and somebody reads that from `/proc`. Only processes that
//! are well alive are told of: one that is on its way out, or whose leader has ended, is left to `/proc`,
//! which says of each field why it is not there.

use crate::units::{BootNs, Comm, Tgid};

/// A process at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelRow {
    /// When it was looked at.
    pub t: BootNs,
    /// Its number in the observer's pid namespace.
    pub tgid: Tgid,
    /// When it started.
    pub start: BootNs,
    /// Its parent in the observer's pid namespace; 0 when not visible from there.
    pub ppid: Tgid,
    /// Its name.
    pub comm: Comm,
    /// The leader's state, as the letter that `/proc/<pid>/stat` shows.
    pub state: u8,
    /// Threads not yet released.
    pub threads: u32,
    /// CPU time of all threads, those that have ended included, ns.
    pub cpu_ns: u64,
    /// Resident set, pages.
    pub rss_pages: u64,
    /// Its peak, pages.
    pub hwm_pages: u64,
    /// What the kernel's badness is made of.
    pub oom: OomFacts,
    /// Open descriptors; `None` when the table is too large to be looked through there.
    pub fd_count: Option<u64>,
    /// Its own established TCP sockets; `None` as above.
    pub net_established: Option<u64>,
    /// Soft limit of open descriptors, `u64::MAX` for none.
    pub fd_soft_limit: u64,
    /// Voluntary context switches of all threads, those that have ended included.
    pub voluntary: u64,
    /// Involuntary ones.
    pub involuntary: u64,
    /// Voluntary switches of the leader alone: as long as they stay the same, it has not woken.
    pub leader_voluntary: u64,
    /// Signals pending for the leader or the process: bit n - 1 for signal n.
    pub pending: u64,
    /// Signals the leader blocks.
    pub blocked: u64,
    /// Signals with a handler.
    pub caught: u64,
    /// Bytes read from and written to the block layer; `None` where the kernel does not count them.
    pub io: Option<(u64, u64)>,
    /// Threads in uninterruptible sleep, by tid in the observer's pid namespace, sorted.
    pub disk_sleep: Vec<u32>,
    /// The innermost return addresses of a leader that sleeps; zeros when it runs, or the kernel would
    /// not say.
    pub stack: [u64; STACK_DEPTH],
    /// Stands for the cgroups it is in: two processes with the same one are in the same cgroups.
    pub cgroups: u64,
}

/// Return addresses kept of a stack: more than lie between a sleep and the function it is for.
pub const STACK_DEPTH: usize = 8;

/// What `oom_badness` of `mm/oom_kill.c` goes by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OomFacts {
    /// Adjustment, -1000 to 1000.
    pub adj: i16,
    /// Resident and swapped pages as the kernel takes them here: without what the processors have not
    /// yet added up.
    pub pages: u64,
    /// Bytes of page tables.
    pub page_tables: u64,
    /// The OOM killer passes it over: it has been tried, or waits in `vfork(2)`.
    pub is_spared: bool,
}
