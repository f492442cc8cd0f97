//! Names by which the loader finds what the kernel side defines.

/// The ring buffer of events.
pub const MAP_EVENTS: &str = "EVENTS";
/// Hash of tracked processes: tgid in the initial namespace → [`crate::control::Tracked`].
pub const MAP_TRACKED: &str = "TRACKED";
/// Per-CPU array of `u64`, indexed by [`crate::loss`].
pub const MAP_COUNTERS: &str = "COUNTERS";
/// One-element array of [`crate::control::Control`].
pub const MAP_CONTROL: &str = "CONTROL";
/// Hash of what is followed: [`crate::follow::Key`] → 1.
pub const MAP_FOLLOWED: &str = "FOLLOWED";
/// Hash of processes whose ends are reported and whose accounts are not.
pub const MAP_UNRELEASED: &str = "UNRELEASED";
/// The frozen global that holds [`crate::offsets::Offsets`].
pub const GLOBAL_OFFSETS: &str = "OFFSETS";
/// The frozen global that holds [`crate::snapshot::Places`].
pub const GLOBAL_PLACES: &str = "PLACES";
/// The frozen global that holds [`crate::follow::CgroupPlaces`].
pub const GLOBAL_CGROUPS: &str = "CGROUPS";
/// The frozen global, a `u32`, that holds the ring buffer's size in bytes.
pub const GLOBAL_RING_BYTES: &str = "RING_BYTES";
/// Frozen global, `u32`: 1 when whole trees are to be adopted, 0 when only processes that are held.
pub const GLOBAL_ADOPTS_TREES: &str = "ADOPTS_TREES";

/// `tp_btf` program on `sched_process_fork`.
pub const PROG_FORK: &str = "on_fork";
/// `tp_btf` program on `sched_process_exec`.
pub const PROG_EXEC: &str = "on_exec";
/// `tp_btf` program on `sched_process_exit`.
pub const PROG_EXIT: &str = "on_exit";
/// `tp_btf` program on `signal_generate`.
pub const PROG_SIGNAL: &str = "on_signal";
/// `tp_btf` program on `mark_victim`.
pub const PROG_OOM: &str = "on_oom";
/// `tp_btf` program on `sched_wakeup_new`, for what the kernel skipped [`PROG_FORK`] for.
pub const PROG_WAKEUP_NEW: &str = "on_wakeup_new";
/// `tp_btf` program on `sched_process_free`, for the accounts of those that have ended, and for what both
/// programs at the exit hook were skipped for.
pub const PROG_FREE: &str = "on_free";
/// More of [`PROG_EXEC`] behind the first, each for what the kernel skipped all before it for.
pub const PROGS_EXEC_AGAIN: [&str; 7] = [
    "on_exec_2",
    "on_exec_3",
    "on_exec_4",
    "on_exec_5",
    "on_exec_6",
    "on_exec_7",
    "on_exec_8",
];
/// A second [`PROG_EXIT`] behind the first, for what the kernel skipped there.
pub const PROG_EXIT_AGAIN: &str = "on_exit_again";
/// Run by user space: answers with one [`crate::control::Observer`], who has run it.
pub const PROG_WHO_AM_I: &str = "who_am_i";
/// Run by user space: starts tracking the root to be adopted, if the thread that runs it has made it.
pub const PROG_ADOPT_HELD: &str = "adopt_held";
/// Task iterator that starts tracking the adopted root and every descendant of a tracked process.
pub const PROG_ADOPT: &str = "adopt";
/// `tp_btf` program on `sched_wakeup_new` that does the same for whoever is born while that goes on.
pub const PROG_ADOPT_BORN: &str = "adopt_born";
/// `tp_btf` program on `sched_process_exit` that keeps in mind who loses its parent while that goes on.
pub const PROG_ADOPT_ORPHANS: &str = "adopt_orphans";
/// Task iterator that writes the records of [`crate::snapshot`]. Loaded when it is wanted, if the kernel
/// takes it.
pub const PROG_SNAPSHOT: &str = "snapshot";
/// `tp_btf` program on `sched_process_exec` that begins a tree where something followed is executed.
pub const PROG_FOLLOW_EXEC: &str = "follow_exec";
/// `tp_btf` program on `sched_wakeup_new` that begins one where somebody is born into a followed cgroup.
pub const PROG_FOLLOW_BORN: &str = "follow_born";
/// `tp_btf` program on `cgroup_attach_task` that begins one where somebody is moved into a followed cgroup.
pub const PROG_FOLLOW_MOVED: &str = "follow_moved";
/// `tp_btf` program on `cgroup_mkdir` that wakes the reader: it may be a cgroup that is waited for.
pub const PROG_FOLLOW_MADE: &str = "follow_made";
/// Task iterator that begins a tree with everybody who is to be followed and is not tracked.
pub const PROG_FOLLOW_LOOK: &str = "follow_look";
