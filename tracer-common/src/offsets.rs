//! Where the running kernel keeps what the programs read.
//!
//! User space fills [`Offsets`] from the kernel's own BTF before loading; the kernel side has them as
//! frozen constants, so the verifier folds each load and prunes the branches a kernel does not need.
//! A field this kernel lacks is [`ABSENT`]: the program then takes another way or sends nothing for
//! it, and user space says so as a lost capability.

use bytemuck::{Pod, Zeroable};

/// Offset of a field that the running kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// Declares [`Offsets`] together with its all-absent value, so that a new field cannot be forgotten
/// in one of them.
macro_rules! offsets {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// Byte offsets, sizes and yes/no facts of the running kernel.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
        #[repr(C)]
        pub struct Offsets {
            $($(#[$doc])* pub $field: u32,)*
        }

        impl Offsets {
            /// Nothing is known of the kernel.
            pub const ABSENT: Self = Self { $($field: ABSENT,)* };
        }
    };
}

offsets! {
    /// `task_struct.tgid`, 4 bytes.
    task_tgid,
    /// `task_struct.pid`, 4 bytes.
    task_pid,
    /// `task_struct.flags`, 4 bytes.
    task_flags,
    /// `task_struct.exit_state`, 4 bytes.
    task_exit_state,
    /// `task_struct.exit_code`, 4 bytes.
    task_exit_code,
    /// `task_struct.comm`, 16 bytes.
    task_comm,
    /// `task_struct.group_leader`, pointer to `task_struct`.
    task_group_leader,
    /// `task_struct.real_parent`, pointer to `task_struct`.
    task_real_parent,
    /// `task_struct.children`, a `list_head`: head of its children's `sibling`.
    task_children,
    /// `task_struct.sibling`, a `list_head`.
    task_sibling,
    /// `task_struct.signal`, pointer to `signal_struct`.
    task_signal,
    /// `task_struct.mm`, pointer to `mm_struct`; NULL in kernel threads and after `exit_mm`.
    task_mm,
    /// `task_struct.thread_pid`, pointer to `pid`.
    task_thread_pid,
    /// `task_struct.cred`, pointer to `cred`: effective credentials.
    task_cred,
    /// `task_struct.blocked`, 8 bytes: bit n - 1 for signal n.
    task_blocked,
    /// `task_struct.sighand`, pointer to `sighand_struct`.
    task_sighand,
    /// `task_struct.start_boottime` (`real_start_time` before 5.5), 8 bytes, ns.
    task_start_boottime,
    /// `task_struct.self_exec_id`, 4 or 8 bytes: counts execs.
    task_self_exec_id,
    /// `task_struct.se.sum_exec_runtime`, 8 bytes, ns.
    task_sum_exec_runtime,
    /// `task_struct.utime`, 8 bytes, ns.
    task_utime,
    /// `task_struct.stime`, 8 bytes, ns.
    task_stime,
    /// `task_struct.min_flt`, 8 bytes.
    task_min_flt,
    /// `task_struct.maj_flt`, 8 bytes.
    task_maj_flt,
    /// `task_struct.nvcsw`, 8 bytes.
    task_nvcsw,
    /// `task_struct.nivcsw`, 8 bytes.
    task_nivcsw,
    /// `task_struct.ioac.read_bytes`, 8 bytes.
    task_read_bytes,
    /// `task_struct.ioac.write_bytes`, 8 bytes.
    task_write_bytes,

    /// `signal_struct.live`, 4 bytes: threads that have not begun to exit.
    signal_live,
    /// `signal_struct.nr_threads`, 4 bytes: threads that have not been released.
    signal_nr_threads,
    /// `signal_struct.flags`, 4 bytes.
    signal_flags,
    /// `signal_struct.group_exit_code`, 4 bytes.
    signal_group_exit_code,
    /// `signal_struct.oom_score_adj`, 2 bytes.
    signal_oom_score_adj,
    /// `signal_struct.rlim`, array of `rlimit` (soft limit, hard limit: 8 bytes each), the first for
    /// `RLIMIT_CPU`.
    signal_rlim,
    /// `signal_struct.maxrss`, 8 bytes, pages.
    signal_maxrss,
    /// `signal_struct.sum_sched_runtime`, 8 bytes, ns: CPU time of released threads.
    signal_sum_sched_runtime,
    /// `signal_struct.utime`, 8 bytes, ns: of released threads.
    signal_utime,
    /// `signal_struct.stime`, 8 bytes, ns: of released threads.
    signal_stime,
    /// `signal_struct.cutime`, 8 bytes, ns: of children that were waited for, and theirs.
    signal_cutime,
    /// `signal_struct.cstime`, 8 bytes, ns: likewise.
    signal_cstime,
    /// `signal_struct.min_flt`, 8 bytes: of released threads.
    signal_min_flt,
    /// `signal_struct.maj_flt`, 8 bytes: of released threads.
    signal_maj_flt,
    /// `signal_struct.nvcsw`, 8 bytes: of released threads.
    signal_nvcsw,
    /// `signal_struct.nivcsw`, 8 bytes: of released threads.
    signal_nivcsw,
    /// `signal_struct.ioac.read_bytes`, 8 bytes: of released threads.
    signal_read_bytes,
    /// `signal_struct.ioac.write_bytes`, 8 bytes: of released threads.
    signal_write_bytes,

    /// `mm_struct.hiwater_rss`, 8 bytes, pages; updated lazily.
    mm_hiwater_rss,
    /// `mm_struct.total_vm`, 8 bytes, pages.
    mm_total_vm,
    /// `mm_struct.arg_start`, 8 bytes.
    mm_arg_start,
    /// `mm_struct.arg_end`, 8 bytes.
    mm_arg_end,
    /// `mm_struct.rss_stat`: the first counter's value, 8 bytes, pages. With per-CPU counters (since
    /// 6.2) what the CPUs have not folded in is missing.
    mm_rss_stat,
    /// Bytes from one counter of `mm_struct.rss_stat` to the next. Order: file, anonymous, swap,
    /// shared memory.
    mm_rss_stride,

    /// `pid.level`, 4 bytes.
    pid_level,
    /// `pid.numbers`, array of `upid`.
    pid_numbers,
    /// `upid.nr`, 4 bytes.
    upid_nr,
    /// `upid.ns`, pointer to `pid_namespace`.
    upid_ns,
    /// `sizeof(struct upid)`.
    upid_size,
    /// `pid_namespace.ns.inum`, 4 bytes.
    ns_inum,

    /// `cred.uid`, 4 bytes.
    cred_uid,
    /// `cred.euid`, 4 bytes.
    cred_euid,
    /// `linux_binprm.filename`, pointer to bytes.
    bprm_filename,
    /// `linux_binprm.argc`, 4 bytes.
    bprm_argc,
    /// `kernel_siginfo.si_code`, 4 bytes.
    siginfo_code,
    /// `sighand_struct.action`, array of `k_sigaction`, the first for signal 1.
    sighand_action,
    /// `sizeof(struct k_sigaction)`.
    sigaction_size,
    /// `k_sigaction.sa.sa_handler`, 8 bytes.
    sigaction_handler,

    /// 1 when `task_struct` keeps `pid`, `tgid`, `real_parent`, `group_leader` and `thread_pid` at the
    /// distances that the programs know, so that one reading gives them all.
    names_are_close,
    /// 1 when `task_struct.comm` begins 16 bytes behind `cred`.
    cred_is_near_comm,
    /// 1 when `signal_struct.flags` is 20 bytes behind `group_exit_code`.
    ending_is_close,
    /// 1 when `sched_process_exit` says whether the group is dead (since 6.16), else 0.
    exit_has_group_dead,
    /// 1 when `mark_victim` passes a task, 0 when it passes only a pid.
    mark_victim_is_task,
    /// 1 when tracepoints may be preempted on this kernel, so that a program can be skipped, and other
    /// programs stand in for it.
    programs_can_be_skipped,
    /// 1 when the closed account of each process is to be reported.
    tells_accounts,
    /// `task->flags` of a thread that is made without passing the fork hook, for `io_uring` and vhost:
    /// `PF_IO_WORKER`, and `PF_USER_WORKER` where this kernel has it. 0 where all new threads are seen.
    hidden_thread_flags,
}
