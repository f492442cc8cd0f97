//! The records of the ring buffer.
//!
//! Each record starts with an [`EventHeader`]; `kind` says which struct follows from the record's
//! first byte. An exec is the only record of variable length: its filename and argument bytes stand
//! behind the struct. A reader must accept records longer than it knows (fields are only ever
//! appended) and must count, not refuse, kinds it does not know.

use bytemuck::{Pod, Zeroable};

use crate::{
    ids::ProcRef,
    limits::{COMM_LEN, SENDER_CMDLINE_MAX},
    usage::Usage,
};

/// Kind of [`ForkEvent`].
pub const KIND_FORK: u16 = 1;
/// Kind of [`ExecEvent`].
pub const KIND_EXEC: u16 = 2;
/// Kind of [`ExitEvent`].
pub const KIND_EXIT: u16 = 3;
/// Kind of [`SignalEvent`].
pub const KIND_SIGNAL: u16 = 4;
/// Kind of [`OomEvent`].
pub const KIND_OOM: u16 = 5;
/// Kind of [`AccountEvent`].
pub const KIND_ACCOUNT: u16 = 6;
/// One more than the highest kind.
pub const KIND_MAX: u16 = 7;

/// What every record starts with.
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub struct EventHeader {
    /// `bpf_ktime_get_boot_ns()` in the hook: ns on `CLOCK_BOOTTIME`.
    pub t_boot_ns: u64,
    /// One of the `KIND_` constants.
    pub kind: u16,
    /// Bits of the `FLAG_` constants.
    pub flags: u16,
    /// Processor the hook ran on.
    pub cpu: u32,
}

/// Fork: the process was already there when tracking began (attach), nothing forked it just now.
pub const FLAG_ADOPTED: u16 = 1 << 0;
/// Exec: the argument bytes were cut at [`crate::limits::ARGV_MAX`].
pub const FLAG_ARGV_TRUNCATED: u16 = 1 << 1;
/// Exec: the filename was cut at [`crate::limits::FILENAME_MAX`].
pub const FLAG_FILENAME_TRUNCATED: u16 = 1 << 2;
/// Exec: the argument bytes could not be read.
pub const FLAG_ARGV_UNREADABLE: u16 = 1 << 3;
/// Exit: `maxrss_pages` is inherited from an earlier image or from the parent of a vfork, so it is
/// only an upper bound.
pub const FLAG_MAXRSS_UPPER_BOUND: u16 = 1 << 4;
/// Exit: a thread was still on its way out, its share is missing from the totals.
pub const FLAG_TOTALS_PARTIAL: u16 = 1 << 5;
/// Exit: tracking began after the process did, so an earlier peak of the mm may be all we know.
pub const FLAG_WAS_ADOPTED: u16 = 1 << 6;
/// Signal: sent by the kernel itself; the sender fields name whoever was interrupted.
pub const FLAG_SENDER_KERNEL: u16 = 1 << 7;
/// Signal: sent to the whole process, not to one thread.
pub const FLAG_SIGNAL_GROUP: u16 = 1 << 8;
/// Oom: the kernel gave the victim's memory figures.
pub const FLAG_OOM_FIGURES: u16 = 1 << 9;
/// Signal: sent with `SEND_SIG_NOINFO`, by the kernel for what the sender did or befell it.
pub const FLAG_SIGNAL_NO_INFO: u16 = 1 << 10;
/// Signal: sent with `SEND_SIG_PRIV`, by the kernel in its own name.
pub const FLAG_SIGNAL_PRIVILEGED: u16 = 1 << 11;
/// Signal: the sending thread is on its way out.
pub const FLAG_SENDER_EXITING: u16 = 1 << 12;
/// Signal: the task it was generated for blocks it.
pub const FLAG_SIGNAL_BLOCKED: u16 = 1 << 13;
/// Signal: the target has a handler for it.
pub const FLAG_SIGNAL_HANDLED: u16 = 1 << 14;
/// Fork: the root of a tree that is followed; a [`Followed`] stands behind the [`ForkEvent`].
pub const FLAG_FOLLOWED: u16 = 1 << 15;

/// A process was made, or adopted at attach.
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub struct ForkEvent {
    /// Kind [`KIND_FORK`].
    pub header: EventHeader,
    /// The new process.
    pub child: ProcRef,
    /// The process whose thread called fork or clone; not the parent under `CLONE_PARENT`.
    pub creator: ProcRef,
    /// `child->real_parent`: who is told when it ends.
    pub parent: ProcRef,
    /// The child's name, NUL-padded: at first its creator's.
    pub comm: [u8; COMM_LEN],
    /// Generations below the root; the root has 0.
    pub depth: u32,
    /// Real user id of the child.
    pub uid: u32,
}

/// A process was taken in because it is to be followed. Of kind [`KIND_FORK`], always with
/// [`FLAG_ADOPTED`] and [`FLAG_FOLLOWED`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Followed {
    /// Id of the followed cgroup that it is in, at whatever depth; 0 when it has a followed name.
    pub cgroup: u64,
}

/// A process replaced its image. `filename_len` and then `argv_len` bytes follow this struct.
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub struct ExecEvent {
    /// Kind [`KIND_EXEC`].
    pub header: EventHeader,
    /// The process, which keeps its identity.
    pub process: ProcRef,
    /// The name after the exec, NUL-padded.
    pub comm: [u8; COMM_LEN],
    /// Bytes of all arguments, each with its NUL, before any cut.
    pub argv_total: u64,
    /// Thread id, in the initial namespace, of the thread that called exec, before it became the
    /// leader.
    pub old_tid_init: u32,
    /// 1 for the first exec since tracking began, then counting.
    pub exec_no: u32,
    /// `bprm->argc`: number of arguments.
    pub argc: u32,
    /// Effective user id after the exec.
    pub euid: u32,
    /// Bytes of filename that follow, without NUL.
    pub filename_len: u16,
    /// Bytes of arguments that follow the filename, NULs included.
    pub argv_len: u16,
    /// Zero.
    pub reserved: u32,
}

/// A process ended: its last thread is in `do_exit`.
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub struct ExitEvent {
    /// Kind [`KIND_EXIT`].
    pub header: EventHeader,
    /// The process; `tid_init` is its last thread.
    pub process: ProcRef,
    /// `real_parent` at the end, after any reparenting.
    pub parent: ProcRef,
    /// The leader's name, NUL-padded.
    pub comm: [u8; COMM_LEN],
    /// Sum over all threads of `se.sum_exec_runtime`: CPU time in ns.
    pub cpu_ns: u64,
    /// Sum over all threads of `task->utime` in ns, tick-sampled on most kernels: only its ratio to
    /// `stime_ns` is meaningful.
    pub utime_ns: u64,
    /// Sum over all threads of `task->stime` in ns; see `utime_ns`.
    pub stime_ns: u64,
    /// `signal->cutime` in ns: user time that the kernel charged for the children this process has waited
    /// for, and for what those have waited for. 0 when this kernel does not tell.
    pub children_utime_ns: u64,
    /// `signal->cstime` in ns: their system time.
    pub children_stime_ns: u64,
    /// `signal->maxrss` in pages: `ru_maxrss` of wait4.
    pub maxrss_pages: u64,
    /// Peak of the last image alone in pages, 0 when this kernel has released the mm by now
    /// (before 6.16).
    pub image_rss_pages: u64,
    /// Page faults served without I/O.
    pub min_flt: u64,
    /// Page faults that needed I/O.
    pub maj_flt: u64,
    /// Voluntary context switches of all threads.
    pub nvcsw: u64,
    /// Involuntary context switches of all threads.
    pub nivcsw: u64,
    /// Bytes fetched from the block layer; `u64::MAX` when this kernel does not account I/O.
    pub read_bytes: u64,
    /// Bytes sent to the block layer; `u64::MAX` when this kernel does not account I/O.
    pub write_bytes: u64,
    /// Raw wait status: `status & 0x7f` signal, `0x80` core dumped, `status >> 8` exit code.
    pub status: u32,
    /// Execs since tracking began.
    pub execs: u32,
    /// Threads that ended during the life of the process, the last one included.
    pub threads: u32,
    /// Zero.
    pub reserved: u32,
}

/// A signal was generated for a tracked process. A [`SignalSender`] follows where another process may
/// have ended the target by it.
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub struct SignalEvent {
    /// Kind [`KIND_SIGNAL`].
    pub header: EventHeader,
    /// Whom it is for.
    pub target: ProcRef,
    /// `current` in the hook. Not the sender when [`FLAG_SENDER_KERNEL`] is set.
    pub sender: ProcRef,
    /// Name of the sending thread's process, NUL-padded, taken here because it may be gone before
    /// user space can look.
    pub sender_comm: [u8; COMM_LEN],
    /// Real user id of the sender.
    pub sender_uid: u32,
    /// Signal number.
    pub signal: i32,
    /// `si_code`: 0 kill, -6 tgkill, 0x80 kernel, > 0 a cause such as `SEGV_MAPERR`.
    pub code: i32,
    /// 0 delivered, 1 ignored, 2 already pending, 3 overflow with failure, 4 overflow with info lost.
    pub result: i32,
    /// Hard limit on the target's CPU time in seconds (`RLIMIT_CPU`), beyond which the kernel kills
    /// it; `u64::MAX` when there is none or it is not known.
    pub cpu_limit_s: u64,
}

/// More of a sender, who may be gone before user space can look.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct SignalSender {
    /// Whose child it is.
    pub parent: ProcRef,
    /// The parent's name, NUL-padded.
    pub parent_comm: [u8; COMM_LEN],
    /// Bytes of its command line with all NULs, before any cut.
    pub cmdline_total: u64,
    /// Bytes of `cmdline` that count; the others are whatever was there.
    pub cmdline_len: u64,
    /// The beginning of its command line.
    pub cmdline: [u8; SENDER_CMDLINE_MAX],
}

/// The OOM killer chose a tracked process.
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub struct OomEvent {
    /// Kind [`KIND_OOM`].
    pub header: EventHeader,
    /// The victim.
    pub victim: ProcRef,
    /// Whose allocation made the kernel look for a victim.
    pub trigger: ProcRef,
    /// The victim's name, NUL-padded.
    pub comm: [u8; COMM_LEN],
    /// Virtual memory of the victim in pages; with [`FLAG_OOM_FIGURES`] only.
    pub total_vm_pages: u64,
    /// Anonymous resident pages; with [`FLAG_OOM_FIGURES`] only.
    pub anon_rss_pages: u64,
    /// File-backed resident pages; with [`FLAG_OOM_FIGURES`] only.
    pub file_rss_pages: u64,
    /// Shared-memory resident pages; with [`FLAG_OOM_FIGURES`] only.
    pub shmem_rss_pages: u64,
    /// `oom_score_adj` of the victim.
    pub oom_score_adj: i32,
    /// Zero.
    pub reserved: u32,
}

/// The closed account of a process whose end was reported before: it has been waited for and released, so
/// what the kernel counts for it no longer changes.
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub struct AccountEvent {
    /// Kind [`KIND_ACCOUNT`].
    pub header: EventHeader,
    /// The process; `tid_init` is its leader.
    pub process: ProcRef,
    /// All threads' sums in `signal_struct`; the CPU time is that of the leader alone where this is more,
    /// because it ran on after it had been released.
    pub usage: Usage,
}
