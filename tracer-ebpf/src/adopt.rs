//! Taking in a tree that is already there.
//!
//! How an adoption misses nobody. Whoever is born once the root is tracked is tracked before it runs: by
//! the fork hook when its creator is tracked, else by [`adopt_born`] when any of its ancestors is. So
//! those still to be found are those who were there before, fewer with each that is found or ends, and a
//! pass through all tasks finds them: it looks not at parents alone but at all ancestors, so it passes
//! nobody over whose parent ends just then; and who loses its parent before it was looked at, perhaps to
//! one outside of the tree, has been written down by [`adopt_orphans`]. User space ends the adoption
//! after a pass that found nobody and during which nothing happened that asks for another.

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_NOEXIST, BPF_RB_NO_WAKEUP},
    helpers::bpf_ktime_get_boot_ns,
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use tracer_common::{
    control::{Control, TRACKED_ADOPTED, Tracked},
    event::{FLAG_ADOPTED, ForkEvent, KIND_FORK},
    loss::{ADOPT_AGAIN, ADOPT_UNSURE, MAP_FULL},
    offsets::ABSENT,
};

use crate::{
    fork::fill,
    maps::{ADOPTS_TREES, ORPHANS, Orphan, TRACKED},
    process::Sight,
    read::{Direct, Object, Probed, frozen, off},
    send::{control, count, header, reserve, submit},
    usage::{self, released},
};

/// `PF_KTHREAD` of include/linux/sched.h.
pub(crate) const KERNEL_THREAD: u32 = 0x0020_0000;
/// Ancestors looked at for one that is tracked: more than lie between a process and init on any but an
/// odd system.
const GENERATIONS: u32 = 32;
/// Children of a dying process that are written down.
const CHILDREN: u32 = 64;
const EEXIST: i32 = 17;

/// `sched_wakeup_new(child)`: behind every fork, before the child runs, under a lock that cannot be
/// preempted; so this program is never skipped. Works while an adoption goes on.
#[btf_tracepoint(function = "sched_wakeup_new")]
fn adopt_born(ctx: BtfTracePointContext) -> i32 {
    if let Some(control) = adopting() {
        try_adopt(Probed(ctx.arg(0)), control, true);
    }
    0
}

/// `sched_process_exit(task)`: whoever has children here leaves them to another process. Works while an
/// adoption goes on, behind the program that reports the end.
#[btf_tracepoint(function = "sched_process_exit")]
fn adopt_orphans(ctx: BtfTracePointContext) -> i32 {
    let Some(control) = adopting() else { return 0 };
    let task = Direct(ctx.arg(0)).probed();
    // As long as a thread lives the children go to it.
    if task.follow(off!(task_signal)).get::<u32>(off!(signal_live)) != 0 {
        return 0;
    }
    if off!(task_children) == ABSENT || off!(task_sibling) == ABSENT {
        count(ADOPT_UNSURE);
    } else {
        let leader = task.follow(off!(task_group_leader));
        write_down_children(leader, control);
        if leader.address() != task.address() {
            write_down_children(task, control);
        }
    }
    0
}

/// The control block while an adoption goes on.
#[inline(always)]
fn adopting() -> Option<*mut Control> {
    // SAFETY: the one element of CONTROL.
    control().filter(|&control| unsafe { (&raw const (*control).adopt_tgid).read_volatile() } != 0)
}

/// Writes down the children of a dying thread of the tree.
#[inline(always)]
fn write_down_children(parent: Probed, control: *mut Control) {
    let head = parent.address() + u64::from(off!(task_children));
    let mut at: u64 = Probed(head).get(0);
    if at == head {
        return;
    }
    // SAFETY: the one element of CONTROL.
    let depth = match lineage(parent, unsafe { &*control }) {
        Lineage::Below(depth) => depth + 1,
        Lineage::Outside => return,
        Lineage::TooLong => {
            count(ADOPT_AGAIN);
            return;
        }
    };
    for _ in 0..CHILDREN {
        let child = Probed(at.wrapping_sub(u64::from(off!(task_sibling))));
        let tgid: u32 = child.get(off!(task_tgid));
        let is_alive = child
            .follow(off!(task_signal))
            .get::<u32>(off!(signal_live))
            != 0;
        if is_alive && TRACKED.get_ptr_mut(tgid).is_none() {
            let orphan = Orphan {
                start_boottime_ns: child.get(off!(task_start_boottime)),
                depth,
                reserved: 0,
            };
            let is_kept = ORPHANS.insert(tgid, &orphan, u64::from(BPF_ANY)).is_ok();
            count(if is_kept { ADOPT_AGAIN } else { ADOPT_UNSURE });
        }
        at = Probed(at).get(0);
        if at == head {
            return;
        }
    }
    count(ADOPT_UNSURE);
}

/// Starts tracking the process of `task`, if it is asked for or below one that is tracked.
#[inline(always)]
pub(crate) fn try_adopt(task: Probed, control: *mut Control, is_born: bool) -> Option<u32> {
    let tgid: u32 = task.get(off!(task_tgid));
    // SAFETY: the one element of CONTROL.
    let asked = unsafe { &*control };
    let is_kernel = task.get::<u32>(off!(task_flags)) & KERNEL_THREAD != 0;
    if is_kernel || tgid == asked.observer_tgid_init || TRACKED.get_ptr_mut(tgid).is_some() {
        return None;
    }
    let signal = task.follow(off!(task_signal));
    if signal.get::<u32>(off!(signal_live)) == 0 {
        return None;
    }
    // Any thread speaks for its process: by the time its leader is looked at, another thread may have
    // taken its place by exec, and would be looked at under the number it had before.
    let leader = task.follow(off!(task_group_leader));
    let sight = Sight::of(leader);
    let parent = Sight::of(leader.follow(off!(task_real_parent)));
    // SAFETY: a helper without arguments. Taken first: who was made later than this is not counted.
    let now_ns = unsafe { bpf_ktime_get_boot_ns() };
    let counted = Counted::of(signal);
    let mut entry = adopted(leader, signal, counted, now_ns);
    let child = sight.named(asked);
    entry.tgid = child.tgid;
    entry.tgid_inner = child.tgid_inner;
    if is_born || asked.adopt_tgid == 0 || child.tgid != asked.adopt_tgid {
        entry.depth = match lineage(leader, asked) {
            Lineage::Below(depth) => depth,
            Lineage::TooLong if is_born => {
                count(ADOPT_AGAIN);
                return None;
            }
            _ => return None,
        };
    }

    // Reserved before the process is tracked, so that the fork stands before the exit in the ring.
    let Some(mut record) = reserve::<ForkEvent>(KIND_FORK) else {
        // Tracked all the same: there may be children to find.
        return track_unreported(tgid, &entry, signal, counted).then_some(tgid);
    };
    if !track(tgid, &entry, signal, counted) {
        record.discard(u64::from(BPF_RB_NO_WAKEUP));
        return None;
    }
    let event = record.as_mut_ptr();
    // SAFETY: the record is ours until submitted, and every field is written.
    unsafe {
        fill(event, header(KIND_FORK, FLAG_ADOPTED), leader, entry.depth);
        (*event).child = child;
        (*event).parent = parent.named(asked);
        // Who made it is not known any more; the parent is the best guess there is.
        (*event).creator = (*event).parent;
    }
    submit(record, KIND_FORK, control, false);
    Some(tgid)
}

/// [`track`] in a function of its own. Inlined twice it would be made one again, with a second look at
/// whether there is a record; and to the verifier of 5.10 a record could be none at the second look.
#[inline(never)]
pub(crate) fn track_unreported(
    tgid: u32,
    entry: &Tracked,
    signal: Probed,
    counted: Counted,
) -> bool {
    track(tgid, entry, signal, counted)
}

/// Takes the process into the map, if it is still alive and not there yet. `counted` is what `entry` was
/// made with.
#[inline(always)]
pub(crate) fn track(tgid: u32, entry: &Tracked, signal: Probed, counted: Counted) -> bool {
    if let Err(error) = TRACKED.insert(tgid, entry, u64::from(BPF_NOEXIST)) {
        // The fork hook may have been faster; that is no loss.
        if error != -EEXIST {
            count(MAP_FULL);
        }
        return false;
    }
    let now = Counted::of(signal);
    // It may have ended between the first look and the insert: then its exit hook found nothing to
    // remove, and nobody else will. If there is nothing to remove here, it ended just after.
    if now.live == 0 && TRACKED.remove(tgid).is_ok() {
        return false;
    }
    if now != counted
        && let Some(entry) = TRACKED.get_ptr_mut(tgid)
    {
        // SAFETY: a map value.
        unsafe { (*entry).unsure = 1 };
    }
    true
}

/// What a process says of its threads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Not yet released.
    threads: u32,
    /// Not yet on their way out.
    pub(crate) live: u32,
    /// CPU time of the released ones.
    released_ns: u64,
}

impl Counted {
    #[inline(always)]
    pub(crate) fn of(signal: Probed) -> Self {
        Self {
            threads: signal.get(off!(signal_nr_threads)),
            live: signal.get(off!(signal_live)),
            released_ns: signal.get(off!(signal_sum_sched_runtime)),
        }
    }
}

/// How a process stands to those tracked.
enum Lineage {
    /// It or an ancestor is tracked, or was below one: the generations between it and the root.
    Below(u32),
    /// None is.
    Outside,
    /// None of those looked at is.
    TooLong,
}

/// Looks for the nearest tracked ancestor.
///
/// The parent alone would not do. It may be dying, no longer to be adopted itself, with its children not
/// yet given to another: they would be passed over for as long as it takes, preempted, to end.
#[inline(always)]
fn lineage(process: Probed, asked: &Control) -> Lineage {
    if frozen(&ADOPTS_TREES) == 0 {
        return Lineage::Outside;
    }
    let mut above = process;
    for generation in 0..=GENERATIONS {
        let tgid: u32 = above.get(off!(task_tgid));
        // Above init there is the idle task. What the observer starts is its own affair.
        if tgid == 0 || tgid == asked.observer_tgid_init {
            return Lineage::Outside;
        }
        if let Some(entry) = TRACKED.get_ptr_mut(tgid) {
            // SAFETY: a map value.
            return Lineage::Below(unsafe { (*entry).depth } + generation);
        }
        if let Some(orphan) = ORPHANS.get_ptr_mut(tgid) {
            // SAFETY: a map value.
            let orphan = unsafe { &*orphan };
            let leader = above.follow(off!(task_group_leader));
            if orphan.start_boottime_ns == leader.get(off!(task_start_boottime)) {
                return Lineage::Below(orphan.depth + generation);
            }
        }
        above = above.follow(off!(task_real_parent));
    }
    Lineage::TooLong
}

/// The entry, but for names and depth, of a process that has been running for a while: its released
/// threads are in the sums of its `signal_struct`. A leader that has ended is not released before the
/// whole process is.
#[inline(always)]
pub(crate) fn adopted(leader: Probed, signal: Probed, counted: Counted, now_ns: u64) -> Tracked {
    let mut entry = Tracked {
        start_boottime_ns: leader.get(off!(task_start_boottime)),
        usage: released(signal),
        threads_made: u64::from(counted.threads),
        adopted_ns: now_ns,
        flags: TRACKED_ADOPTED,
        exec_id: leader.get(off!(task_self_exec_id)),
        ..Tracked::default()
    };
    if leader.get::<u32>(off!(task_exit_state)) != 0 {
        entry.usage = usage::with(entry.usage, leader);
        entry.threads_ended = 1;
    }
    // Those that are on their way out may have passed the exit hook already, or not.
    if u64::from(counted.live) + entry.threads_ended != entry.threads_made {
        entry.unsure = 1;
    }
    entry
}
