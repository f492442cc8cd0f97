//! The two ways to a row: files, and what the kernel side writes down.

use tracer::{
    probe::{
        attached::Attached,
        loader::{Loader, Settings},
    },
    sampler::{KernelRows, Sampler, Subject, Tick},
    snapshot::{SnapshotRow, kernel::KernelRow},
    units::Tgid,
};

use crate::fixture::{now, sampler, subject};

/// A kernel side of its own, which tracks what it is told to.
pub(crate) struct KernelSide(Attached);

impl KernelSide {
    pub(crate) fn new() -> Self {
        let settings = Settings {
            ring_bytes: 1 << 16,
            ..Settings::default()
        };
        Self(Loader::new(settings).load().unwrap().attach().unwrap())
    }

    pub(crate) fn track(&mut self, pid: u32) {
        assert!(self.0.adopt_held(Tgid(pid)).unwrap().adopted >= 1, "{pid}");
    }

    pub(crate) fn rows(&mut self) -> Vec<KernelRow> {
        let mut rows = Vec::new();
        assert!(self.0.snapshot(&mut rows).unwrap());
        rows
    }
}

impl KernelRows for KernelSide {
    fn read(&mut self, rows: &mut Vec<KernelRow>) -> bool {
        self.0.snapshot(rows).unwrap()
    }
}

/// A sampler that asks the kernel side of a single process already.
pub(crate) fn asking() -> Sampler {
    let mut sampler = sampler();
    sampler.ask_kernel_from(0);
    sampler
}

/// One tick over these processes.
pub(crate) fn tick(sampler: &mut Sampler, kernel: &mut KernelSide, subjects: &[Subject]) -> Tick {
    let now = now(sampler);
    sampler.tick_from(now, subjects.iter().copied(), kernel)
}

/// One row of one process from the kernel side; the second, for which what is learned from files has been.
pub(crate) fn kernel_row(pid: u32) -> SnapshotRow {
    let mut kernel = KernelSide::new();
    kernel.track(pid);
    let mut sampler = asking();
    for _ in 0..8 {
        tick(&mut sampler, &mut kernel, &[subject(pid)]);
    }
    let mut tick = tick(&mut sampler, &mut kernel, &[subject(pid)]);
    assert_eq!(tick.totals.rows_from_kernel, 1, "{:?}", tick.ends);
    let mut row = tick.rows.remove(0).row;
    // The others here are first rows.
    row.cpu_percent = None;
    row.unread.remove("cpu_percent");
    row
}
