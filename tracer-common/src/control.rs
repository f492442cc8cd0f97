//! What user space tells the kernel side while it runs, and what the kernel side keeps.

use bytemuck::{Pod, Zeroable};

use crate::usage::Usage;

/// The one element of [`crate::names::MAP_CONTROL`].
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Control {
    /// Address of the observer's `struct pid_namespace`, from [`Observer`]; only compared, never
    /// followed.
    pub observer_ns: u64,
    /// Depth of the observer's pid namespace; 0 is the initial one.
    pub observer_level: u32,
    /// The observer's tgid in the initial namespace: never tracked, never adopted.
    pub observer_tgid_init: u32,
    /// Process, by tgid in the *observer's* namespace, which the next adoption takes as a root; 0 for
    /// none, [`ADOPT_BELOW`] for no other root than those that are tracked.
    pub adopt_tgid: u32,
    /// Bits of the `URGENT_` constants: which events wake the reader at once.
    pub urgent: u32,
    /// Not 0 while the reader blocks or is about to: the next event clears it and wakes the reader. A
    /// record that was begun before this was set wakes nobody, so the reader must set it, then ask
    /// `poll(2)` whether the ring is empty, and only then block.
    pub reader_idle: u32,
    /// Processes, by tgid in the initial namespace, whose exit wakes the reader at once; 0 for none.
    pub watched: [u32; 2],
    /// Counts the cgroups that were made; only while trees are followed.
    pub cgroups_made: u32,
    /// What the `who_am_i` program said to the last who asked.
    pub answer: Observer,
}

/// Not a process: an adoption goes on, of whoever is below those that are tracked.
pub const ADOPT_BELOW: u32 = u32::MAX;

/// Every exec wakes the reader: the workload is not pinned yet.
pub const URGENT_EXEC: u32 = 1 << 0;

/// What the `who_am_i` program says: the process that runs it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Observer {
    /// Address of its active `struct pid_namespace`.
    pub ns: u64,
    /// Depth of that namespace.
    pub level: u32,
    /// Inode number of that namespace, as in `readlink /proc/self/ns/pid`.
    pub ns_inum: u32,
    /// Its tgid in the initial namespace.
    pub tgid_init: u32,
    /// Its tid in the initial namespace.
    pub tid_init: u32,
}

/// What the kernel side keeps of a tracked process.
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Tracked {
    /// Start time of the leader, ns on `CLOCK_BOOTTIME`.
    pub start_boottime_ns: u64,
    /// Of threads that have ended.
    pub usage: Usage,
    /// `signal->maxrss` in pages when the present image began.
    pub maxrss_at_exec_pages: u64,
    /// Threads made, the leader included; of an adopted process, those alive then.
    pub threads_made: u64,
    /// Threads that have ended and are in the sums above.
    pub threads_ended: u64,
    /// When it was adopted, ns on `CLOCK_BOOTTIME`: threads that began before are in `threads_made`. 0
    /// when it was tracked from its beginning.
    pub adopted_ns: u64,
    /// Generations below the root.
    pub depth: u32,
    /// Execs since tracking began.
    pub execs: u32,
    /// Bits of the `TRACKED_` constants.
    pub flags: u32,
    /// Low half of `task->self_exec_id` at the last exec that was reported, or at the beginning.
    pub exec_id: u32,
    /// Thread group id in the observer's pid namespace; 0 when not visible from there.
    pub tgid: u32,
    /// Thread group id in the process's own, innermost pid namespace.
    pub tgid_inner: u32,
    /// Not 0 when all threads are on their way out; the end is reported by the last that comes by.
    pub dead: u32,
    /// Not 0 when a thread came or went while the process was being adopted, so that the numbers of
    /// threads may be wrong and the sums lack one's share.
    pub unsure: u32,
}

/// Was there before tracking began.
pub const TRACKED_ADOPTED: u32 = 1 << 0;
/// Made with `CLONE_VM` and still without an image of its own: its memory figures are its creator's.
pub const TRACKED_SHARES_MM: u32 = 1 << 1;
