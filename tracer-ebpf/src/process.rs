//! Processes: their names in the pid namespaces that matter, and their resident memory.

use tracer_common::{
    control::{Control, Tracked},
    ids::ProcRef,
    offsets::ABSENT,
};

use crate::read::{Direct, Object, Probed, off};

/// Index of each resident counter of `mm_struct.rss_stat` (`MM_FILEPAGES`, … of
/// include/linux/mm_types_task.h).
pub(crate) const RSS_FILE: u32 = 0;
pub(crate) const RSS_ANON: u32 = 1;
pub(crate) const RSS_SHMEM: u32 = 3;

/// A thread group's ids in the observer's namespace (0 when not visible) and in its own.
#[derive(Clone, Copy)]
pub(crate) struct Names {
    pub(crate) observed: u32,
    pub(crate) inner: u32,
}

impl Names {
    /// Names of the process led by `leader`, whose tgid in the initial namespace is `init`.
    #[inline(always)]
    pub(crate) fn of<O: Object>(leader: O, init: u32, control: &Control) -> Self {
        let level: u32 = leader.follow(off!(task_thread_pid)).get(off!(pid_level));
        if level == 0 && control.observer_level == 0 {
            return Self {
                observed: init,
                inner: init,
            };
        }
        // From here on the offset depends on `level`, which no verifier accepts on a typed pointer.
        let pid = Probed(Probed(leader.address()).get(off!(task_thread_pid)));
        let inner = if level == 0 {
            init
        } else {
            pid.get(upid_at(level) + off!(upid_nr))
        };
        let observed = if control.observer_level == 0 {
            init
        } else if control.observer_level > level {
            0
        } else {
            let upid = upid_at(control.observer_level);
            let ns: u64 = pid.get(upid + off!(upid_ns));
            if ns == control.observer_ns {
                pid.get(upid + off!(upid_nr))
            } else {
                0
            }
        };
        Self { observed, inner }
    }
}

/// Offset in `struct pid` of the number at a namespace level.
#[inline(always)]
pub(crate) fn upid_at(level: u32) -> u32 {
    off!(pid_numbers) + level * off!(upid_size)
}

/// Names the process of `task` from the kernel's own structures.
#[inline(always)]
pub(crate) fn proc_ref<O: Object>(task: O, control: &Control) -> ProcRef {
    let leader = task.follow(off!(task_group_leader));
    let tgid_init = task.get(off!(task_tgid));
    let names = Names::of(leader, tgid_init, control);
    ProcRef {
        start_boottime_ns: leader.get(off!(task_start_boottime)),
        tgid: names.observed,
        tgid_init,
        tgid_inner: names.inner,
        tid_init: task.get(off!(task_pid)),
    }
}

/// Names a tracked process from its entry, which saves reading it all again.
#[inline(always)]
pub(crate) fn tracked_ref(entry: &Tracked, tgid_init: u32, tid_init: u32) -> ProcRef {
    ProcRef {
        start_boottime_ns: entry.start_boottime_ns,
        tgid: entry.tgid,
        tgid_init,
        tgid_inner: entry.tgid_inner,
        tid_init,
    }
}

/// One counter of `mm->rss_stat` in pages. By probe: it is an array of a typedef, which the verifiers
/// of 5.10 and 6.1 do not follow, and per-CPU counters may stand a little below zero.
#[inline(always)]
pub(crate) fn rss_counter(mm: u64, index: u32) -> u64 {
    let first = off!(mm_rss_stat);
    if first == ABSENT {
        return 0;
    }
    let pages: i64 = Probed(mm).get(first + index * off!(mm_rss_stride));
    if pages < 0 { 0 } else { pages as u64 }
}

/// The highest resident size of the image of `task` that the kernel knows, in pages; 0 when the mm is
/// gone.
#[inline(always)]
pub(crate) fn image_peak(task: Direct) -> u64 {
    let mm = task.follow(off!(task_mm));
    if mm.address() == 0 {
        return 0;
    }
    let hiwater: u64 = mm.get(off!(mm_hiwater_rss));
    let mm = mm.address();
    let rss = rss_counter(mm, RSS_FILE) + rss_counter(mm, RSS_ANON) + rss_counter(mm, RSS_SHMEM);
    if hiwater > rss { hiwater } else { rss }
}
