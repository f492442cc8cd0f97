//! `sched_process_exit(task, group_dead)`: a thread is on its way out.
//!
//! Each thread leaves its totals in its process's entry. Threads come by here in another order than they
//! began to end in, so the one that makes the group dead may overtake others, whose totals would then be
//! missing: the event is sent by whichever comes last. Exactly once: whatever several threads believe,
//! only one can delete the entry. And should none believe it, the end is reported where the task is freed.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_common::{
    control::{Control, TRACKED_ADOPTED, TRACKED_SHARES_MM, Tracked},
    event::{ExitEvent, FLAG_MAXRSS_UPPER_BOUND, FLAG_TOTALS_PARTIAL, FLAG_WAS_ADOPTED, KIND_EXIT},
    ids::ProcRef,
    loss::{ACCOUNTS_FULL, TOTALS_PARTIAL},
    offsets::ABSENT,
};

use crate::{
    exec::count_missed,
    maps::{TRACKED, UNRELEASED, Unreleased},
    process::{Names, Sight, image_peak, tracked_ref},
    read::{Direct, Object, Probed, atomic_add, comm_into, off, together},
    send::{control, count, header, reserve, submit, watched},
    usage,
};

/// `SIGNAL_GROUP_EXIT` of include/linux/sched/signal.h: the whole group was told to end, and
/// `group_exit_code` is the status.
const SIGNAL_GROUP_EXIT: u32 = 4;

#[btf_tracepoint(function = "sched_process_exit")]
fn on_exit(ctx: BtfTracePointContext) -> i32 {
    if try_exit::<false>(&ctx).is_some() {
        #[cfg(feature = "log")]
        aya_log_ebpf::debug!(&ctx, "exit: {}", aya_ebpf::EbpfContext::tgid(&ctx));
    }
    0
}

#[btf_tracepoint(function = "sched_process_exit")]
fn on_exit_again(ctx: BtfTracePointContext) -> i32 {
    try_exit::<true>(&ctx);
    0
}

#[inline(always)]
fn try_exit<const AGAIN: bool>(ctx: &BtfTracePointContext) -> Option<()> {
    let task = Direct(ctx.arg(0));
    let tgid: u32 = task.get(off!(task_tgid));
    let entry = TRACKED.get_ptr_mut(tgid)?;
    let says_dead = off!(exit_has_group_dead) == 1;
    // The thread that makes the group dead leaves a mark unless the first program was skipped for it. For
    // any other thread there is no telling whether it has been counted; the missing count keeps the event
    // back until the task is freed, when all totals are known.
    // SAFETY: a map value.
    if AGAIN && (!says_dead || !group_dead(ctx) || unsafe { (*entry).dead } != 0) {
        return None;
    }
    let dead = if says_dead {
        group_dead(ctx)
    } else {
        task.follow(off!(task_signal)).get::<u32>(off!(signal_live)) == 0
    };
    // SAFETY: a map value; all who write `dead` write the same. The mark stands before this thread is
    // counted, and is looked for after: of two threads at least one sees the other.
    let is_over = unsafe {
        if dead {
            (&raw mut (*entry).dead).write_volatile(1);
        }
        leave_totals(entry, task);
        (&raw const (*entry).dead).read_volatile() != 0
    };
    if !is_over {
        return None;
    }

    let control = control()?;
    // SAFETY: a map value. Copied before the delete: a deleted entry is free for the next process.
    let last = unsafe { totals(entry) };
    if last.unsure == 0 && last.threads_ended < last.threads_made {
        return None;
    }
    TRACKED.remove(tgid).ok()?;
    if off!(tells_accounts) == 1 {
        let process = Unreleased {
            start_boottime_ns: last.start_boottime_ns,
            tgid: last.tgid,
            tgid_inner: last.tgid_inner,
        };
        if UNRELEASED.insert(tgid, process, 0).is_err() {
            count(ACCOUNTS_FULL);
        }
    }
    report(control, &last, tgid, task.probed(), Source::Hook)
}

/// Where an end is reported from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The last thread is in `do_exit`.
    Hook,
    /// It is all over; only what belongs to the process itself may still be looked at.
    Freed,
}

/// Sends the exit of a process that has just been removed from the map.
#[inline(always)]
pub(crate) fn report(
    control: *mut Control,
    last: &Tracked,
    tgid: u32,
    task: Probed,
    source: Source,
) -> Option<()> {
    let signal = task.follow(off!(task_signal));
    let names = Names::of(task);
    let (tid, group_leader) = (names.pid, Probed(names.group_leader));
    let (leader, parent, image_rss) = match source {
        Source::Hook => {
            let is_leader = group_leader.address() == task.address();
            let parent = match is_leader {
                true => names.real_parent,
                false => group_leader.get(off!(task_real_parent)),
            };
            let parent = Sight::of_likely_leader(Probed(parent));
            (group_leader, Some(parent), image_peak(task))
        }
        Source::Freed => (task, None, 0),
    };
    let (group_status, signal_flags) = ending(signal);
    let leader_status: u32 = leader.get(off!(task_exit_code));
    let maxrss: u64 = signal.get(off!(signal_maxrss));
    let tells_of_children = off!(signal_cutime) != ABSENT && off!(signal_cstime) != ABSENT;
    let (children_utime, children_stime) = match tells_of_children {
        true => (
            signal.get(off!(signal_cutime)),
            signal.get(off!(signal_cstime)),
        ),
        false => (0, 0),
    };
    let status = if signal_flags & SIGNAL_GROUP_EXIT != 0 {
        group_status
    } else {
        leader_status
    };
    let shares_mm = last.flags & TRACKED_SHARES_MM != 0;
    let mut flags = 0;
    if shares_mm || maxrss <= last.maxrss_at_exec_pages {
        flags |= FLAG_MAXRSS_UPPER_BOUND;
    }
    if last.flags & TRACKED_ADOPTED != 0 {
        flags |= FLAG_WAS_ADOPTED;
    }
    if last.threads_ended != last.threads_made || last.unsure != 0 {
        flags |= FLAG_TOTALS_PARTIAL;
        count(TOTALS_PARTIAL);
    }
    if off!(programs_can_be_skipped) == 1 {
        let exec_id: u32 = leader.get(off!(task_self_exec_id));
        count_missed(exec_id.wrapping_sub(last.exec_id));
    }

    let mut record = reserve::<ExitEvent>(KIND_EXIT)?;
    let event = record.as_mut_ptr();
    // SAFETY: the record is ours until submitted, and every field is written.
    unsafe {
        (*event).header = header(KIND_EXIT, flags);
        (*event).process = tracked_ref(last, tgid, tid);
        (*event).parent = match parent {
            Some(parent) => parent.named(&*control),
            None => ProcRef::default(),
        };
        comm_into(&raw mut (*event).comm, leader);
        (*event).cpu_ns = last.usage.cpu_ns;
        (*event).utime_ns = last.usage.utime_ns;
        (*event).stime_ns = last.usage.stime_ns;
        (*event).children_utime_ns = children_utime;
        (*event).children_stime_ns = children_stime;
        (*event).maxrss_pages = maxrss;
        (*event).image_rss_pages = if shares_mm { 0 } else { image_rss };
        (*event).min_flt = last.usage.min_flt;
        (*event).maj_flt = last.usage.maj_flt;
        (*event).nvcsw = last.usage.nvcsw;
        (*event).nivcsw = last.usage.nivcsw;
        (*event).read_bytes = last.usage.read_bytes;
        (*event).write_bytes = last.usage.write_bytes;
        (*event).status = status;
        (*event).execs = last.execs;
        (*event).threads = last.threads_ended as u32;
        (*event).reserved = 0;
    }
    submit(record, KIND_EXIT, control, watched(control, tgid));
    Some(())
}

/// Status and flags of a group's end.
#[inline(always)]
fn ending(signal: Probed) -> (u32, u32) {
    /// As since Linux 5.10 at the latest.
    #[repr(C)]
    struct Ending {
        group_exit_code: u32,
        between: [u32; 4],
        flags: u32,
    }
    if off!(ending_is_close) == 1 {
        // SAFETY: integers only.
        let ending: Ending = unsafe { together(signal, off!(signal_group_exit_code)) };
        return (ending.group_exit_code, ending.flags);
    }
    (
        signal.get(off!(signal_group_exit_code)),
        signal.get(off!(signal_flags)),
    )
}

/// The hook's second argument, a bool, on kernels that pass it.
#[inline(always)]
fn group_dead(ctx: &BtfTracePointContext) -> bool {
    ctx.arg::<u32>(1) & 0xff != 0
}

/// Adds what `task` has used to its process's entry.
///
/// # Safety
/// `entry` is a value of TRACKED.
#[inline(always)]
unsafe fn leave_totals(entry: *mut Tracked, task: Direct) {
    // SAFETY: the caller's promise.
    unsafe {
        usage::add(&raw mut (*entry).usage, task);
        // Threads that the kernel makes for io_uring and vhost pass here, but not the fork hook.
        let is_hidden = task.get::<u32>(off!(task_flags)) & off!(hidden_thread_flags) != 0;
        if is_hidden && task.get::<u64>(off!(task_start_boottime)) >= (*entry).adopted_ns {
            atomic_add(&raw mut (*entry).threads_made, 1);
        }
        // Last, so that whoever sees this thread counted finds its totals too.
        atomic_add(&raw mut (*entry).threads_ended, 1);
    }
}

/// A copy of the entry, the count of ended threads taken before the sums it vouches for.
///
/// # Safety
/// `entry` is a value of TRACKED.
#[inline(always)]
pub(crate) unsafe fn totals(entry: *const Tracked) -> Tracked {
    // SAFETY: the caller's promise; other CPUs only add to single words of it.
    unsafe {
        let threads_ended = (&raw const (*entry).threads_ended).read_volatile();
        let mut usage = (&raw const (*entry).usage).read_volatile();
        if off!(task_read_bytes) == ABSENT || off!(task_write_bytes) == ABSENT {
            (usage.read_bytes, usage.write_bytes) = (u64::MAX, u64::MAX);
        }
        Tracked {
            start_boottime_ns: (*entry).start_boottime_ns,
            usage,
            maxrss_at_exec_pages: (*entry).maxrss_at_exec_pages,
            threads_made: (&raw const (*entry).threads_made).read_volatile(),
            threads_ended,
            adopted_ns: (*entry).adopted_ns,
            depth: (*entry).depth,
            execs: (*entry).execs,
            flags: (*entry).flags,
            exec_id: (*entry).exec_id,
            tgid: (*entry).tgid,
            tgid_inner: (*entry).tgid_inner,
            dead: 1,
            unsure: (&raw const (*entry).unsure).read_volatile(),
        }
    }
}
