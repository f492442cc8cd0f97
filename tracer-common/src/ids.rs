//! How a process is named on the wire.

use bytemuck::{Pod, Zeroable};

/// One process as the kernel names it: three pids and the start time that makes them unique.
///
/// `tgid` is the pid in the observer's own pid namespace, the one people see in `ps`; it is 0 when
/// the process is not visible from there. `tgid_init` is the pid in the initial namespace and the
/// key of every kernel-side map; `tgid_inner` is the one the process itself sees as `getpid()`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ProcRef {
    /// `task->group_leader->start_boottime`: ns on `CLOCK_BOOTTIME`. 0 only when unknown.
    pub start_boottime_ns: u64,
    /// Thread group id in the observer's pid namespace; 0 when not visible from there.
    pub tgid: u32,
    /// Thread group id in the initial pid namespace.
    pub tgid_init: u32,
    /// Thread group id in the process's own, innermost pid namespace.
    pub tgid_inner: u32,
    /// Thread id, in the initial namespace, of the thread the event is about.
    pub tid_init: u32,
}
