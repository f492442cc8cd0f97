//! Whatever is seen: each anomaly opens once and closes once, and only one of a kind is open at a time.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Rows(Vec<SnapshotRow>),
    Event(EventKind),
    Pass(u64),
}

fn any_row() -> impl Strategy<Value = SnapshotRow> {
    let percent = prop_oneof![
        Just(None),
        (0..2000_u32).prop_map(|n| Some(f64::from(n) / 10.0))
    ];
    let count = proptest::option::of(0..1100_u64);
    let score = proptest::option::of(0..1100_i64);
    let mask = prop_oneof![
        Just(None),
        Just(Some("0000000000000000".to_owned())),
        Just(Some("0000000000000200".to_owned())),
    ];
    let state = prop_oneof![
        Just(None),
        Just(Some("zombie".to_owned())),
        Just(Some("disk-sleep".to_owned())),
        Just(Some("sleeping".to_owned())),
    ];
    let rss = proptest::option::of(0..1_000_000_u64);
    let comm = prop_oneof![Just("claude"), Just("script"), Just("other")];
    (
        1..5_u32,
        percent,
        count,
        score,
        mask,
        state,
        rss,
        comm,
        any::<bool>(),
    )
        .prop_map(
            |(pid, cpu_percent, fd_count, oom_score, sig_pnd, state, vm_rss_kb, comm, workload)| {
                SnapshotRow {
                    pid,
                    starttime_ticks: u64::from(pid),
                    cpu_percent,
                    fd_count,
                    oom_score,
                    sig_pnd,
                    state,
                    vm_rss_kb,
                    comm: Some(comm.to_owned()),
                    role: if workload {
                        Role::Workload
                    } else {
                        Role::Descendant
                    },
                    ..row()
                }
            },
        )
}

fn any_step() -> impl Strategy<Value = Step> {
    let pid = 1..5_u32;
    prop_oneof![
        4 => proptest::collection::vec(any_row(), 0..4).prop_map(Step::Rows),
        2 => (pid.clone(), pid.clone()).prop_map(|(child, parent)| Step::Event(fork(child, parent))),
        2 => (pid.clone(), 0..2_u32).prop_map(|(pid, n)| Step::Event(exec(pid, &[["a", "b"][n as usize]]))),
        2 => (pid.clone(), pid, 0..2_u32).prop_map(|(pid, parent, code)| Step::Event(exit(pid, parent, code << 8))),
        1 => (0..100_000_000_000_u64).prop_map(Step::Pass),
    ]
}

/// The two records of each anomaly belong together, and nothing is open twice.
pub(super) fn check(changes: &[Change], all_closed: bool) {
    let mut open: HashMap<u64, (Kind, u32)> = HashMap::new();
    let mut numbers = HashSet::new();
    for change in changes {
        match &change.phase {
            Phase::Opened(_) => {
                assert!(numbers.insert(change.no), "{} opens twice", change.no);
                // Several commands may fail at one time.
                let twice = open.values().any(|&(kind, pid)| {
                    kind == change.kind && kind != Kind::RetryLoop && pid == change.subject.pid
                });
                assert!(!twice, "{change:?} is open already");
                open.insert(change.no, (change.kind, change.subject.pid));
            }
            Phase::Closed(_) => {
                let was = open.remove(&change.no);
                assert_eq!(was.map(|(kind, _)| kind), Some(change.kind), "{change:?}");
            }
        }
        let span = &change.span;
        assert!(
            span.first <= span.last && span.count > 0 && span.worst.is_finite(),
            "{change:?}"
        );
    }
    assert!(!all_closed || open.is_empty(), "left open: {open:?}");
}

proptest! {
    #[test]
    fn openings_and_closings_alternate(steps in proptest::collection::vec(any_step(), 0..200), tracked in any::<bool>()) {
        let thresholds = [
            ("retry_loop_failures", 2.0),
            ("fork_storm_forks", 2.0),
            ("zombie_pileup_count", 2.0),
            ("orphan_left_s", 1.0),
            ("rss_growth_rows", 2.0),
        ];
        let mut story = Story::with(&thresholds);
        story.life = if tracked { Life::Tracked } else { Life::Untold };
        story.detector.pin(Pinned {
            pid: 1,
            starttime_ticks: 1,
            comm: "claude".to_owned(),
            wrappers: ["script".to_owned()].into(),
            key: tracked.then(|| process(1).key),
        });
        for step in steps {
            match step {
                Step::Rows(rows) => drop(story.tick(&rows)),
                Step::Event(event) => drop(story.event(&event)),
                Step::Pass(ns) => story.pass(ns),
            }
            check(&story.changes, false);
        }
        story.end();
        check(&story.changes, true);
        prop_assert_eq!(story.end(), []);
    }
}
