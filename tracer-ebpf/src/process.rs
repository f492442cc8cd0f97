//! Processes: their names in the pid namespaces that matter, and their resident memory.

use tracer_common::{
    control::{Control, Tracked},
    ids::ProcRef,
    offsets::ABSENT,
};

use crate::read::{Object, Probed, off};

/// Index of each resident counter of `mm_struct.rss_stat` (`MM_FILEPAGES`, … of
/// include/linux/mm_types_task.h).
pub(crate) const RSS_FILE: u32 = 0;
pub(crate) const RSS_ANON: u32 = 1;
pub(crate) const RSS_SHMEM: u32 = 3;

/// A process as its task tells of it, its names not yet translated.
#[derive(Clone, Copy)]
pub(crate) struct Sight {
    leader: u64,
    level: u32,
    pub(crate) start_boottime_ns: u64,
    pub(crate) tgid_init: u32,
    pub(crate) tid_init: u32,
}

impl Sight {
    /// Looks at the process of any of its tasks.
    #[inline(always)]
    pub(crate) fn of(task: Probed) -> Self {
        let sight = Self::of_leader(task.follow(off!(task_group_leader)));
        Self {
            tid_init: task.get(off!(task_pid)),
            ..sight
        }
    }

    /// Looks at a process by its leader.
    #[inline(always)]
    pub(crate) fn of_leader(leader: impl Object) -> Self {
        Self {
            leader: leader.address(),
            level: leader
                .probed()
                .follow(off!(task_thread_pid))
                .get(off!(pid_level)),
            start_boottime_ns: leader.get(off!(task_start_boottime)),
            tgid_init: leader.get(off!(task_tgid)),
            tid_init: leader.get(off!(task_pid)),
        }
    }

    /// Gives it its names in the observer's pid namespace (0 when not visible) and in its own.
    #[inline(always)]
    pub(crate) fn named(self, control: &Control) -> ProcRef {
        let init = self.tgid_init;
        let (mut tgid, mut inner) = (init, init);
        if self.level != 0 || control.observer_level != 0 {
            // From here on offsets depend on `level`, which no verifier accepts on a typed pointer.
            let pid = Probed(Probed(self.leader).get(off!(task_thread_pid)));
            if self.level != 0 {
                inner = pid.get(upid_at(self.level) + off!(upid_nr));
            }
            if control.observer_level > self.level {
                tgid = 0;
            } else if control.observer_level != 0 {
                let upid = upid_at(control.observer_level);
                let ns: u64 = pid.get(upid + off!(upid_ns));
                tgid = if ns == control.observer_ns {
                    pid.get(upid + off!(upid_nr))
                } else {
                    0
                };
            }
        }
        ProcRef {
            start_boottime_ns: self.start_boottime_ns,
            tgid,
            tgid_init: init,
            tgid_inner: inner,
            tid_init: self.tid_init,
        }
    }
}

/// Offset in `struct pid` of the number at a namespace level.
#[inline(always)]
pub(crate) fn upid_at(level: u32) -> u32 {
    off!(pid_numbers) + level * off!(upid_size)
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
    // At least 0, without a branch.
    (pages & !(pages >> 63)) as u64
}

/// The highest resident size of the image of `task` that the kernel knows, in pages; 0 when the mm is
/// gone: what cannot be read is 0.
#[inline(always)]
pub(crate) fn image_peak(task: Probed) -> u64 {
    let mm = task.follow(off!(task_mm));
    let hiwater: u64 = mm.get(off!(mm_hiwater_rss));
    let mm = mm.address();
    let rss = rss_counter(mm, RSS_FILE) + rss_counter(mm, RSS_ANON) + rss_counter(mm, RSS_SHMEM);
    if hiwater > rss { hiwater } else { rss }
}
