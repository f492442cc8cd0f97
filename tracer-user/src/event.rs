//! What the kernel side reports, decoded: the vocabulary of tree, resolver, verdict and journal.
//!
//! `probe::decode` makes these from ring bytes, `session::journal` from journal lines. They are data:
//! nothing here reads, waits or decides.

#[cfg(test)]
pub(crate) mod made;
mod spare;

pub use self::spare::Spare;
use crate::units::{BootNs, Comm, Process};

/// One thing that happened, when, and to whom.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Taken in the hook.
    pub t: BootNs,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum EventKind {
    /// A process was made.
    Fork(Fork),
    /// A process replaced its image. Boxed: it is the rare large one.
    Exec(Box<Exec>),
    /// A process ended.
    Exit(Box<Exit>),
    /// A signal was generated for a tracked process.
    Signal(Box<Signal>),
    /// The OOM killer chose a tracked process.
    Oom(Box<Oom>),
    /// A process that has ended was released, and its account is closed.
    Account(Account),
}

/// A process was made, or found when tracking began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fork {
    /// The new process.
    pub child: Process,
    /// Who called fork or clone.
    pub creator: Process,
    /// Who is told when it ends; differs from `creator` under `CLONE_PARENT`.
    pub parent: Process,
    /// Its name at first: its creator's.
    pub comm: Comm,
    /// Generations below the root.
    pub depth: u32,
    /// Real user id.
    pub uid: u32,
    /// Found by the task iterator when tracking began.
    pub adopted: bool,
}

/// A process replaced its image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exec {
    /// The process; exec does not change its identity.
    pub process: Process,
    /// Name after the exec.
    pub comm: Comm,
    /// Path as given to execve, any bytes; for a script, the script.
    pub filename: Vec<u8>,
    /// The filename was longer than is sent.
    pub filename_truncated: bool,
    /// The arguments as they stand in memory, any bytes. For a script the interpreter comes first.
    /// When truncated, the last one may be cut.
    pub argv: Vec<Vec<u8>>,
    /// Number of arguments, also those not sent.
    pub argc: u32,
    /// Bytes of all arguments with their NULs, also those not sent.
    pub argv_bytes: u64,
    /// Not all argument bytes were sent.
    pub argv_truncated: bool,
    /// The argument bytes could not be read: `argv` is empty for that reason.
    pub argv_unreadable: bool,
    /// 1 for the first exec since tracking began.
    pub exec_no: u32,
    /// Effective user id after the exec.
    pub euid: u32,
    /// Thread, in the initial namespace, that called exec.
    pub caller_tid: u32,
    /// Secrets in `argv` that were replaced before it was recorded. The decoder leaves it 0.
    pub redacted: u32,
}

/// A process ended, its last thread included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exit {
    /// The process.
    pub process: Process,
    /// Its parent at the end, after any reparenting.
    pub parent: Process,
    /// The leader's name.
    pub comm: Comm,
    /// Raw wait status, as `waitpid(2)` gives it.
    pub status: u32,
    /// Exact totals.
    pub totals: ExitTotals,
    /// Execs since tracking began.
    pub execs: u32,
    /// Threads that ended during its life.
    pub threads: u32,
}

/// What a process used up, from the kernel's own counters at its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExitTotals {
    /// Start to end, ns.
    pub wall_ns: u64,
    /// CPU time in user mode, µs.
    pub cpu_user_us: u64,
    /// CPU time in the kernel, µs.
    pub cpu_system_us: u64,
    /// CPU time in user mode and in the kernel, µs, that the kernel charged in the end for the children this
    /// process has waited for, and for what those have waited for; `None` when it is not known.
    pub children_cpu_us: Option<(u64, u64)>,
    /// Peak resident set, KiB: `ru_maxrss`, or of the last image alone where `ru_maxrss` is only
    /// inherited.
    pub peak_rss_kb: u64,
    /// `peak_rss_kb` is inherited and may be too high; this kernel cannot tell more.
    pub peak_rss_upper_bound: bool,
    /// Page faults without I/O.
    pub faults_minor: u64,
    /// Page faults with I/O.
    pub faults_major: u64,
    /// Voluntary context switches, all threads.
    pub ctx_switches_voluntary: u64,
    /// Involuntary context switches, all threads.
    pub ctx_switches_involuntary: u64,
    /// Bytes read from the block layer; `None` when this kernel does not account it.
    pub io_read_bytes: Option<u64>,
    /// Bytes written to the block layer; `None` when this kernel does not account it.
    pub io_write_bytes: Option<u64>,
    /// A thread was still on its way out: the sums may lack its share.
    pub partial: bool,
}

/// What the kernel counts for a process that has ended and been released: nothing can be added any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// The process. Its pid may have been given to another by now.
    pub process: Process,
    /// CPU time in user mode, µs.
    pub cpu_user_us: u64,
    /// CPU time in the kernel, µs.
    pub cpu_system_us: u64,
    /// Page faults without I/O.
    pub faults_minor: u64,
    /// Page faults with I/O.
    pub faults_major: u64,
    /// Voluntary context switches, all threads.
    pub ctx_switches_voluntary: u64,
    /// Involuntary context switches, all threads.
    pub ctx_switches_involuntary: u64,
    /// Bytes read from and written to the block layer; `None` when this kernel does not account it.
    pub io_bytes: Option<(u64, u64)>,
}

/// A signal was generated for a tracked process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// Whom it is for.
    pub target: Process,
    /// Signal number.
    pub signal: i32,
    /// `si_code` (`sigaction(2)`).
    pub code: i32,
    /// What became of it.
    pub result: i32,
    /// To the whole process rather than one thread.
    pub group: bool,
    /// The kernel sent it by itself; `sender` is only who was running.
    pub from_kernel: bool,
    /// Who was running when it was generated: the sender, unless `from_kernel`.
    pub sender: Process,
    /// The sender's name.
    pub sender_comm: Comm,
    /// The sender's real user id.
    pub sender_uid: u32,
    /// The sender's command line, NUL-separated, where user space was in time to read it; empty
    /// otherwise. The decoder leaves it empty.
    pub sender_cmdline: Vec<u8>,
    /// Secrets in it that were replaced before it was recorded.
    pub sender_redacted: u32,
    /// How it was sent, and what the target would do with it.
    pub scene: Scene,
}

/// What the kernel side saw around a signal at its generation.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and any of them may come together"
)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scene {
    /// The kernel sent it without details (`SEND_SIG_NOINFO`), for something the sender did or that
    /// befell it: a write to a broken pipe, its own death. No program can pretend this.
    pub no_info: bool,
    /// The kernel sent it in its own name (`SEND_SIG_PRIV`). No program can pretend this either, but
    /// one may send itself a signal with the code `SI_KERNEL`.
    pub privileged: bool,
    /// The sending thread was on its way out (`PF_EXITING`).
    pub sender_exiting: bool,
    /// The target blocked this signal.
    pub blocked: bool,
    /// The target had a handler for this signal.
    pub handled: bool,
    /// Hard limit on the target's CPU time, s (`RLIMIT_CPU`); `None` when there is none.
    pub cpu_limit_s: Option<u64>,
    /// Whose child the sender was, and the name of that process.
    pub sender_parent: Option<(Process, Comm)>,
}

/// The OOM killer chose a tracked process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oom {
    /// The victim.
    pub victim: Process,
    /// Its name.
    pub comm: Comm,
    /// Whose allocation made the kernel look for a victim.
    pub trigger: Process,
    /// The victim's memory, where this kernel's tracepoint says it.
    pub figures: Option<OomFigures>,
    /// `oom_score_adj` of the victim.
    pub oom_score_adj: i32,
}

/// Memory of an OOM victim, KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OomFigures {
    /// Virtual memory.
    pub total_vm_kb: u64,
    /// Anonymous resident memory.
    pub anon_rss_kb: u64,
    /// File-backed resident memory.
    pub file_rss_kb: u64,
    /// Shared resident memory.
    pub shmem_rss_kb: u64,
}
