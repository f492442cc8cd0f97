//! Streams of rows and events made by hand, and what a detector makes of them.

mod alternate;
mod calm;
mod documented;
mod drift;
mod events;
mod exact;
mod resumed;
mod rows;
mod threads;

use super::{Change, Detail, Detector, Ended, Kind, Life, Phase, Pinned, Thresholds, oom::Scale};
use crate::{
    event::{
        EventKind,
        made::{self, Told as _},
    },
    snapshot::{Role, SnapshotRow},
    tree::Tree,
    units::{BootNs, ProcKey, Process, Ticks},
};

/// Between two rows.
const STEP: u64 = 5_000_000_000;
/// When the stories begin.
const BEGIN: u64 = 1_000_000_000_000;

/// A detector, a tree, and a clock that goes on by itself.
struct Story {
    detector: Detector,
    tree: Tree,
    t: BootNs,
    life: Life,
    changes: Vec<Change>,
}

impl Story {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(thresholds: &[(&str, f64)]) -> Self {
        let thresholds = Thresholds::with(thresholds.iter().copied());
        Self {
            detector: Detector::new(thresholds, Scale::Plain),
            tree: Tree::new(),
            t: BootNs(BEGIN),
            life: Life::Untold,
            changes: Vec::new(),
        }
    }

    fn pass(&mut self, ns: u64) {
        self.t = BootNs(self.t.0 + ns);
    }

    /// One tick with these rows.
    fn tick(&mut self, rows: &[SnapshotRow]) -> Vec<Change> {
        self.pass(STEP);
        for row in rows {
            self.detector.row(self.t, row, self.life);
        }
        self.detector.tick(self.t, &self.tree, ticks);
        self.told()
    }

    /// One tick with a row of one process.
    fn row(&mut self, change: impl FnOnce(&mut SnapshotRow)) -> Vec<Change> {
        let mut row = row();
        change(&mut row);
        self.tick(&[row])
    }

    fn event(&mut self, event: &EventKind) -> Vec<Change> {
        self.detector.event(self.t, event, &self.tree, ticks);
        self.tree.apply(self.t, event);
        self.told()
    }

    fn told(&mut self) -> Vec<Change> {
        let told = self.detector.changes();
        self.changes.extend(told.iter().cloned());
        told
    }

    fn end(&mut self) -> Vec<Change> {
        self.detector.end(self.t);
        self.told()
    }
}

fn ticks(start: BootNs) -> Ticks {
    start.to_ticks(100)
}

/// A process like any other, in every respect.
fn row() -> SnapshotRow {
    SnapshotRow {
        captured_at: String::new(),
        pid: 100,
        ppid: Some(1),
        starttime_ticks: 1000,
        role: Role::Descendant,
        comm: Some("calm".to_owned()),
        state: Some("sleeping".to_owned()),
        vm_rss_kb: Some(100_000),
        vm_hwm_kb: Some(100_000),
        threads: Some(4),
        fd_count: Some(20),
        fd_soft_limit: Some(1024),
        sig_pnd: Some("0000000000000000".to_owned()),
        sig_blk: Some("0000000000000000".to_owned()),
        sig_cgt: Some("0000000000000000".to_owned()),
        oom_score: Some(12),
        oom_score_adj: Some(0),
        wchan: Some("do_wait".to_owned()),
        cpu_percent: Some(3.0),
        threads_disk_sleep: Some(0),
        threads_disk_sleep_wchan: Some(Vec::new()),
        cgroup_memory_limit_kb: Some(-1),
        ..serde_row()
    }
}

/// What the rows of these stories say nothing of.
fn serde_row() -> SnapshotRow {
    let empty = serde_json::json!({
        "captured_at": "", "pid": 0, "starttime_ticks": 0, "role": "descendant",
    });
    serde_json::from_value(empty).unwrap()
}

/// No value at all but whose it is.
fn unread(row: &mut SnapshotRow) {
    *row = SnapshotRow {
        pid: row.pid,
        starttime_ticks: row.starttime_ticks,
        role: row.role,
        ..serde_row()
    };
}

fn process(pid: u32) -> Process {
    made::process(pid, u64::from(pid) * 10_000_000)
}

fn fork(child: u32, parent: u32) -> EventKind {
    made::fork(process(child), process(parent)).told()
}

fn exec(pid: u32, words: &[&str]) -> EventKind {
    made::exec(process(pid), words).told()
}

fn exit(pid: u32, parent: u32, status: u32) -> EventKind {
    made::exit(process(pid), process(parent), status).told()
}

/// `+kind` for what opens, `-kind` for what closes.
fn signs(changes: &[Change]) -> Vec<String> {
    let sign = |change: &Change| match change.phase {
        Phase::Opened(_) => '+',
        Phase::Closed(_) => '-',
    };
    changes
        .iter()
        .map(|change| format!("{}{}", sign(change), change.kind.name()))
        .collect()
}

/// Opens once over a hundred rows that are the same, closes once when it is over, and a row without a
/// value in between changes nothing.
#[track_caller]
fn opens_and_closes_once(
    kind: Kind,
    bad: impl Fn(&mut SnapshotRow),
    good: impl Fn(&mut SnapshotRow),
) {
    let mut story = Story::new();
    for n in 0..200 {
        // Every other row says nothing, and the stream begins and ends with rows that do.
        if n % 2 == 1 {
            assert_eq!(story.row(unread), [], "{kind:?}, row {n}");
        } else {
            story.row(&bad);
        }
    }
    let opened = |story: &Story| {
        story
            .changes
            .iter()
            .filter(|change| change.kind == kind)
            .count()
    };
    assert_eq!(opened(&story), 1, "{kind:?}: {:?}", signs(&story.changes));
    let closed = story.row(&good);
    let closed: Vec<_> = closed.iter().filter(|change| change.kind == kind).collect();
    let [closed] = closed.as_slice() else {
        panic!("{kind:?} did not close once: {closed:?}");
    };
    assert_eq!(closed.phase, Phase::Closed(Ended::Condition));
    assert!(closed.span.last > closed.span.first || closed.span.count == 1);
    for _ in 0..10 {
        assert_eq!(story.row(&good), [], "{kind:?} after its end");
    }
    assert_eq!(story.end(), []);
}

fn detail_of(changes: &[Change], kind: Kind) -> Option<&Detail> {
    changes.iter().find_map(|change| match &change.phase {
        Phase::Opened(detail) if change.kind == kind => Some(detail),
        _ => None,
    })
}
