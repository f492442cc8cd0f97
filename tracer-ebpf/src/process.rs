//! Processes: their names in the pid namespaces that matter, and their resident memory.

use tracer_common::{
    control::{Control, Tracked},
    ids::ProcRef,
    offsets::ABSENT,
};

use crate::read::{Object, Probed, off, together};

/// Index of each resident counter of `mm_struct.rss_stat` (`MM_FILEPAGES`, … of
/// include/linux/mm_types_task.h).
const RSS_FILE: u32 = 0;
const RSS_ANON: u32 = 1;
const RSS_SHMEM: u32 = 3;

/// What a task says of its ids, its parent, its leader and its place in namespaces: as these lie in
/// `task_struct` since Linux 5.10 at the latest.
#[repr(C)]
pub(crate) struct Names {
    pub(crate) pid: u32,
    tgid: u32,
    canary: u64,
    pub(crate) real_parent: u64,
    parent_children_sibling: [u64; 5],
    pub(crate) group_leader: u64,
    ptraced_and_entry: [u64; 4],
    thread_pid: u64,
}

impl Names {
    /// Reads them.
    #[inline(always)]
    pub(crate) fn of(task: Probed) -> Self {
        if off!(names_are_close) == 1 {
            // SAFETY: integers only.
            return unsafe { together(task, off!(task_pid)) };
        }
        Self {
            pid: task.get(off!(task_pid)),
            tgid: task.get(off!(task_tgid)),
            canary: 0,
            real_parent: task.get(off!(task_real_parent)),
            parent_children_sibling: [0; 5],
            group_leader: task.get(off!(task_group_leader)),
            ptraced_and_entry: [0; 4],
            thread_pid: task.get(off!(task_thread_pid)),
        }
    }
}

/// A process as its task tells of it, its names not yet translated.
#[derive(Clone, Copy)]
pub(crate) struct Sight {
    thread_pid: Probed,
    level: u32,
    pub(crate) start_boottime_ns: u64,
    pub(crate) tgid_init: u32,
    pub(crate) tid_init: u32,
}

impl Sight {
    /// Looks at the process of any of its tasks.
    #[inline(always)]
    pub(crate) fn of(task: Probed) -> Self {
        let leader = task.follow(off!(task_group_leader));
        let thread_pid = leader.follow(off!(task_thread_pid));
        Self {
            thread_pid,
            level: thread_pid.get(off!(pid_level)),
            start_boottime_ns: leader.get(off!(task_start_boottime)),
            tgid_init: leader.get(off!(task_tgid)),
            tid_init: task.get(off!(task_pid)),
        }
    }

    /// As [`Sight::of`], faster for a leader: for a task that most often is one.
    #[inline(always)]
    pub(crate) fn of_likely_leader(task: Probed) -> Self {
        let names = Names::of(task);
        if names.group_leader != task.address() {
            return Self::of(task);
        }
        Self::of_leader(task, &names)
    }

    /// Looks at a process by its leader.
    #[inline(always)]
    pub(crate) fn of_leader(leader: impl Object, names: &Names) -> Self {
        let thread_pid = Probed(names.thread_pid);
        Self {
            thread_pid,
            level: thread_pid.get(off!(pid_level)),
            start_boottime_ns: leader.get(off!(task_start_boottime)),
            tgid_init: names.tgid,
            tid_init: names.pid,
        }
    }

    /// Gives it its names in the observer's pid namespace (0 when not visible) and in its own.
    #[inline(always)]
    pub(crate) fn named(self, control: &Control) -> ProcRef {
        let init = self.tgid_init;
        let (mut tgid, mut inner) = (init, init);
        if self.level != 0 || control.observer_level != 0 {
            // From here on offsets depend on `level`, which no verifier accepts on a typed pointer.
            let pid = self.thread_pid;
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

/// The resident sizes of an mm in pages, by file, memory of its own, and shared memory. By probe: they
/// are an array of a typedef, which the verifiers of 5.10 and 6.1 do not follow.
#[inline(always)]
pub(crate) fn resident(mm: Probed) -> [u64; 3] {
    let first = off!(mm_rss_stat);
    if first == ABSENT {
        return [0; 3];
    }
    [RSS_FILE, RSS_ANON, RSS_SHMEM].map(
        #[inline(always)]
        |index| {
            let pages: i64 = mm.get(first + index * off!(mm_rss_stride));
            // Per-CPU counters may stand a little below zero. At least 0, without a branch.
            (pages & !(pages >> 63)) as u64
        },
    )
}

/// The highest resident size of the image of `task` that the kernel knows, in pages; 0 when the mm is
/// gone: what cannot be read is 0.
#[inline(always)]
pub(crate) fn image_peak(task: Probed) -> u64 {
    let mm = task.follow(off!(task_mm));
    let hiwater: u64 = mm.get(off!(mm_hiwater_rss));
    let [file, anon, shmem] = resident(mm);
    let rss = file + anon + shmem;
    if hiwater > rss { hiwater } else { rss }
}
