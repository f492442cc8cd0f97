//! Trees that begin by themselves: with a process that has a followed name or is in a followed cgroup.
//!
//! Loaded only where something is followed. Each way into a followed tree has a hook at which the process
//! cannot yet have made another, so nobody below it is missed:
//!
//! * a name is looked at when it is executed, before the first instruction of the new image, and before
//!   the program that reports the exec, which is attached behind this one;
//! * a process may be made in another cgroup than its maker's (`CLONE_INTO_CGROUP`): its cgroup is looked
//!   at before it runs for the first time, under a lock that cannot be preempted, so never skipped;
//! * a process may be moved: the kernel forks nothing of it until the hook is over.
//!
//! Whoever is in a followed cgroup without having passed one of these was there before; an iterator looks
//! for them once at the beginning, and again whenever more is to be followed or a program was skipped.

use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP, helpers::bpf_ktime_get_boot_ns, macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use tracer_common::{
    event::{FLAG_ADOPTED, FLAG_FOLLOWED, Followed, ForkEvent, KIND_FORK},
    follow::{CGROUP_DEPTH_MAX, IS_CGROUP, Key},
    limits::COMM_LEN,
    offsets::ABSENT,
};

use crate::{
    adopt::{Counted, KERNEL_THREAD, adopted, track, track_unreported},
    fork::fill,
    maps::{CGROUPS, FOLLOWED, TRACKED},
    process::Sight,
    read::{Object, Probed, comm_into, frozen, off},
    send::{control, header, reserve, submit, wake_if_idle},
};

/// The record of a root.
#[repr(C)]
struct FollowedFork {
    fork: ForkEvent,
    followed: Followed,
}

/// `sched_process_exec(task)`, attached before the program that reports execs.
#[btf_tracepoint(function = "sched_process_exec")]
fn follow_exec(ctx: BtfTracePointContext) -> i32 {
    if let Some(task) = untracked(ctx.arg(0))
        && let Some(followed) = reason(task, task)
    {
        // Its exec is reported next, and counts.
        begin_tree(task, followed, 1);
    }
    0
}

/// `sched_wakeup_new(task)`.
#[btf_tracepoint(function = "sched_wakeup_new")]
fn follow_born(ctx: BtfTracePointContext) -> i32 {
    if let Some(task) = untracked(ctx.arg(0))
        && let Some(followed) = reason_of_cgroup(task)
    {
        begin_tree(task, followed, 0);
    }
    0
}

/// `cgroup_attach_task(cgroup, path, task)`: of any hierarchy, when the task has been moved already.
#[btf_tracepoint(function = "cgroup_attach_task")]
fn follow_moved(ctx: BtfTracePointContext) -> i32 {
    // Not the cgroup that the hook names: it may be of version 1, whose ids are numbers of their own.
    if let Some(task) = untracked(ctx.arg(2))
        && let Some(followed) = reason_of_cgroup(task)
    {
        begin_tree(task, followed, 0);
    }
    0
}

/// `cgroup_mkdir(cgroup, path)`: perhaps one that user space waits for.
#[btf_tracepoint(function = "cgroup_mkdir")]
fn follow_made(_ctx: BtfTracePointContext) -> i32 {
    let Some(control) = control() else { return 0 };
    // SAFETY: the one element of CONTROL. The hook runs under a lock of its own, so nobody else adds.
    unsafe {
        let made = (&raw const (*control).cgroups_made).read_volatile();
        (&raw mut (*control).cgroups_made).write_volatile(made.wrapping_add(1));
    }
    wake_if_idle(control, u64::from(BPF_RB_NO_WAKEUP));
    0
}

/// Begins a tree with the process of `task`, if it is to be followed and is not tracked.
#[inline(always)]
pub(crate) fn try_look(task: u64) -> Option<u32> {
    let task = untracked(task)?;
    let leader = task.follow(off!(task_group_leader));
    let followed = reason(task, leader)?;
    begin_tree(task, followed, 0).then(|| task.get(off!(task_tgid)))
}

/// The task at this address, unless its process is tracked.
#[inline(always)]
fn untracked(task: u64) -> Option<Probed> {
    let task = Probed(task);
    let tgid: u32 = task.get(off!(task_tgid));
    TRACKED.get_ptr_mut(tgid).is_none().then_some(task)
}

/// Why it is to be followed, if it is: by its cgroup, or by the name that `named` has.
#[inline(always)]
fn reason(task: Probed, named: Probed) -> Option<Followed> {
    let mut name: Key = [0; 2];
    // SAFETY: as many bytes as a name has, any of which are two words.
    unsafe { comm_into((&raw mut name).cast::<[u8; COMM_LEN]>(), named) };
    if FOLLOWED.get_ptr(name).is_some() {
        return Some(Followed { cgroup: 0 });
    }
    reason_of_cgroup(task)
}

/// Looks for the nearest followed cgroup that a task is in or below.
#[inline(always)]
fn reason_of_cgroup(task: Probed) -> Option<Followed> {
    let place = |of: &'static u32| frozen(of);
    if place(&CGROUPS.task_cgroups) == ABSENT {
        return None;
    }
    let set = task.follow(place(&CGROUPS.task_cgroups));
    let mut cgroup = set.follow(place(&CGROUPS.css_set_cgroup));
    for _ in 0..CGROUP_DEPTH_MAX {
        let node = cgroup.follow(place(&CGROUPS.cgroup_node));
        let id: u64 = node.get(place(&CGROUPS.node_id));
        let key: Key = [id, IS_CGROUP];
        if FOLLOWED.get_ptr(key).is_some() {
            return Some(Followed { cgroup: id });
        }
        let parent: u64 = cgroup.get(place(&CGROUPS.cgroup_parent));
        if parent == 0 {
            return None;
        }
        cgroup = Probed(parent.wrapping_sub(u64::from(place(&CGROUPS.cgroup_self))));
    }
    None
}

/// Tracks the process of `task` as the root of a tree. `execs_to_come`: how many of those that it has
/// counted are still to be reported. False when it is there, has ended, or is none to follow.
#[inline(always)]
fn begin_tree(task: Probed, followed: Followed, execs_to_come: u32) -> bool {
    let Some(control) = control() else {
        return false;
    };
    // SAFETY: the one element of CONTROL.
    let asked = unsafe { &*control };
    let tgid: u32 = task.get(off!(task_tgid));
    let signal = task.follow(off!(task_signal));
    let is_kernel = task.get::<u32>(off!(task_flags)) & KERNEL_THREAD != 0;
    if is_kernel || tgid == 0 || signal.get::<u32>(off!(signal_live)) == 0 {
        return false;
    }
    let leader = task.follow(off!(task_group_leader));
    let sight = Sight::of(leader);
    let parent = Sight::of(leader.follow(off!(task_real_parent)));
    // What the observer starts is its own affair.
    let observer = asked.observer_tgid_init;
    if tgid == observer || parent.tgid_init == observer {
        return false;
    }
    // SAFETY: a helper without arguments. Taken first: who was made later than this is not counted.
    let now_ns = unsafe { bpf_ktime_get_boot_ns() };
    let counted = Counted::of(signal);
    let mut entry = adopted(leader, signal, counted, now_ns);
    let root = sight.named(asked);
    // Nobody could say anything of whom the observer's pid namespace does not show.
    if root.tgid == 0 {
        return false;
    }
    entry.tgid = root.tgid;
    entry.tgid_inner = root.tgid_inner;
    entry.exec_id = entry.exec_id.wrapping_sub(execs_to_come);

    // Reserved before the process is tracked, so that the fork stands before all else in the ring.
    let Some(mut record) = reserve::<FollowedFork>(KIND_FORK) else {
        return track_unreported(tgid, &entry, signal, counted);
    };
    if !track(tgid, &entry, signal, counted) {
        record.discard(u64::from(BPF_RB_NO_WAKEUP));
        return false;
    }
    let event = record.as_mut_ptr();
    // SAFETY: the record is ours until submitted, and every field is written.
    unsafe {
        let fork = &raw mut (*event).fork;
        fill(
            fork,
            header(KIND_FORK, FLAG_ADOPTED | FLAG_FOLLOWED),
            leader,
            0,
        );
        (*fork).child = root;
        (*fork).parent = parent.named(asked);
        // Who made it is not known any more; the parent is the best guess there is.
        (*fork).creator = (*fork).parent;
        (*event).followed = followed;
    }
    submit(record, KIND_FORK, control, false);
    true
}
