//! `sched_process_fork(parent, child)`: a process or thread was made and has not run yet.
//!
//! This is where tracking is inherited: before the child's first instruction, so no burst of
//! grandchildren can slip through.

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_NOEXIST},
    helpers::{bpf_get_current_pid_tgid, bpf_get_current_task},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use tracer_common::{
    control::{TRACKED_SHARES_MM, Tracked},
    event::{EventHeader, ForkEvent, KIND_FORK},
    loss::{MAP_FULL, THREADS},
};

use crate::{
    maps::TRACKED,
    process::{Names, Sight, tracked_ref},
    read::{Direct, Object, Probed, atomic_add, cred_and_comm_into, off},
    send::{control, count, header, reserve, submit},
};

#[btf_tracepoint(function = "sched_process_fork")]
fn on_fork(ctx: BtfTracePointContext) -> i32 {
    // The creator, which is `current`; not the parent under CLONE_PARENT.
    let creator = Direct(ctx.arg(0));
    let child = Direct(ctx.arg(1));
    let creator_tgid: u32 = creator.get(off!(task_tgid));
    let Some(entry) = TRACKED.get_ptr_mut(creator_tgid) else {
        return 0;
    };
    let tgid: u32 = child.get(off!(task_tgid));
    // Where another program stands behind this one, that one counts threads and what did not fit.
    let is_alone = off!(programs_can_be_skipped) != 1;
    if tgid != creator_tgid {
        try_fork(entry, creator, child, tgid, is_alone);
        #[cfg(feature = "log")]
        aya_log_ebpf::debug!(&ctx, "fork: {} makes {}", creator_tgid, tgid);
    } else if is_alone {
        count_thread(entry, child);
    }
    0
}

/// `sched_wakeup_new(child)`: behind every fork, before the child runs, under a lock that cannot be
/// preempted; so this program is never skipped. It does what the first one was skipped for.
#[btf_tracepoint(function = "sched_wakeup_new")]
fn on_wakeup_new(ctx: BtfTracePointContext) -> i32 {
    let child = Direct(ctx.arg(0));
    let creator_tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let Some(entry) = TRACKED.get_ptr_mut(creator_tgid) else {
        return 0;
    };
    let tgid: u32 = child.get(off!(task_tgid));
    if tgid == creator_tgid {
        count_thread(entry, child);
        return 0;
    }
    if is_tracked(tgid, child.get(off!(task_start_boottime))) {
        return 0;
    }
    #[cfg(feature = "log")]
    aya_log_ebpf::warn!(&ctx, "fork: the hook was skipped for {}", tgid);
    // SAFETY: a helper without arguments.
    let creator = Probed(unsafe { bpf_get_current_task() });
    try_fork(entry, creator, child.probed(), tgid, true);
    0
}

#[inline(always)]
fn count_thread(entry: *mut Tracked, thread: Direct) {
    // SAFETY: a map value; all who write `unsure` write the same.
    unsafe {
        if thread.get::<u64>(off!(task_start_boottime)) < (*entry).adopted_ns {
            // Begun when the process was adopted: counted then, or not.
            (&raw mut (*entry).unsure).write_volatile(1);
        } else {
            atomic_add(&raw mut (*entry).threads_made, 1);
        }
    }
    count(THREADS);
}

#[inline(always)]
fn try_fork(
    entry: *mut Tracked,
    creator: impl Object,
    child: impl Object,
    tgid: u32,
    counts_full_map: bool,
) -> Option<()> {
    let control = control()?;
    let creator_tgid: u32 = creator.get(off!(task_tgid));
    let creator_tid: u32 = creator.get(off!(task_pid));
    let child_mm = child.probed().follow(off!(task_mm)).address();
    let creator_mm = creator.probed().follow(off!(task_mm)).address();

    // SAFETY: map values; the entry stays, for its process is running this.
    let (creator_entry, control_now) = unsafe { (&*entry, &*control) };
    let names = Names::of(child.probed());
    let parent = Probed(names.real_parent);
    let child_ref = Sight::of_leader(child, &names).named(control_now);
    let tracked = Tracked {
        start_boottime_ns: child_ref.start_boottime_ns,
        threads_made: 1,
        depth: creator_entry.depth + 1,
        flags: if child_mm == creator_mm {
            TRACKED_SHARES_MM
        } else {
            0
        },
        exec_id: child.get(off!(task_self_exec_id)),
        tgid: child_ref.tgid,
        tgid_inner: child_ref.tgid_inner,
        ..Tracked::default()
    };
    if TRACKED
        .insert(tgid, &tracked, u64::from(BPF_NOEXIST))
        .is_err()
    {
        if is_tracked(tgid, child_ref.start_boottime_ns) {
            // The adopt iterator saw the child before this hook ran, and has reported it.
            return None;
        }
        // Left behind by a process whose end was missed.
        if TRACKED.insert(tgid, &tracked, u64::from(BPF_ANY)).is_err() {
            if counts_full_map {
                count(MAP_FULL);
            }
            return None;
        }
    }

    let creator_ref = tracked_ref(creator_entry, creator_tgid, creator_tid);
    let parent_ref = if parent.address() == creator.address() {
        creator_ref
    } else {
        Sight::of(parent).named(control_now)
    };
    let mut record = reserve::<ForkEvent>(KIND_FORK)?;
    // SAFETY: the record is ours until submitted, and every field is written.
    unsafe {
        fill(
            record.as_mut_ptr(),
            header(KIND_FORK, 0),
            child,
            tracked.depth,
        );
        let event = record.as_mut_ptr();
        (*event).child = child_ref;
        (*event).creator = creator_ref;
        (*event).parent = parent_ref;
    }
    submit(record, KIND_FORK, control, false);
    Some(())
}

/// Whether this very process, and not an earlier one of its number, is tracked.
#[inline(always)]
fn is_tracked(tgid: u32, start_boottime_ns: u64) -> bool {
    match TRACKED.get_ptr_mut(tgid) {
        // SAFETY: a map value.
        Some(entry) => (unsafe { (*entry).start_boottime_ns }) == start_boottime_ns,
        None => false,
    }
}

/// Writes what a fork record says beside the three processes; also for adopted ones.
///
/// # Safety
/// `event` is writable.
#[inline(always)]
pub(crate) unsafe fn fill(
    event: *mut ForkEvent,
    header: EventHeader,
    child: impl Object,
    depth: u32,
) {
    // SAFETY: the caller's promise.
    unsafe {
        (*event).header = header;
        let cred = cred_and_comm_into(&raw mut (*event).comm, child.probed());
        (*event).depth = depth;
        (*event).uid = cred.get(off!(cred_uid));
    }
}
