//! Another observer goes on: what is open stays open, under its number.

use super::{alternate::check, *};
use crate::anomaly::Ongoing;

/// A new detector that knows what the changes so far say, and nothing else.
fn resumed(story: &Story) -> Story {
    let mut open: Vec<Ongoing> = Vec::new();
    let mut last_no = 0;
    for change in &story.changes {
        last_no = last_no.max(change.no);
        match &change.phase {
            Phase::Opened(detail) => open.push(Ongoing {
                no: change.no,
                kind: change.kind,
                subject: change.subject.clone(),
                span: change.span,
                initial_rss_kb: match detail {
                    Detail::RssGrowth { initial_rss_kb, .. } => Some(*initial_rss_kb),
                    _ => None,
                },
                command_id: match detail {
                    Detail::RetryLoop { command_id, .. } => {
                        u64::from_str_radix(command_id, 16).ok()
                    }
                    _ => None,
                },
            }),
            Phase::Closed(_) => open.retain(|one| one.no != change.no),
        }
    }
    let mut next = Story::new();
    next.t = story.t;
    next.tree = story.tree.clone();
    next.changes.clone_from(&story.changes);
    let root = Some(process(1).key);
    next.detector
        .restore(next.t, last_no, &open, &next.tree, root);
    next
}

fn all_wrong(pid: u32) -> SnapshotRow {
    SnapshotRow {
        pid,
        starttime_ticks: ticks(process(pid).key.start).0,
        cpu_percent: Some(99.0),
        fd_count: Some(1000),
        oom_score: Some(900),
        sig_pnd: Some("0000000000000200".to_owned()),
        state: Some("disk-sleep".to_owned()),
        wchan: Some("io_schedule".to_owned()),
        vm_rss_kb: Some(500_000),
        ..row()
    }
}

#[test]
fn what_is_open_stays_open_and_closes_once() {
    let mut story = Story::new();
    for event in [fork(1, 0), fork(2, 1), fork(3, 2), exit(2, 1, 0)] {
        story.event(&event);
    }
    let zombie = SnapshotRow {
        pid: 9,
        state: Some("zombie".to_owned()),
        ..row()
    };
    let calm = SnapshotRow {
        pid: 3,
        starttime_ticks: ticks(process(3).key.start).0,
        ..row()
    };
    for _ in 0..5 {
        story.tick(&[calm.clone(), zombie.clone()]);
    }
    for _ in 0..10 {
        story.tick(&[all_wrong(3), zombie.clone()]);
    }
    for pid in 20..31 {
        story.event(&fork(pid, 1));
        story.event(&exec(pid, &["false"]));
        story.event(&exit(pid, 1, 256));
    }
    let before = signs(&story.changes);
    let open = before.iter().filter(|sign| sign.starts_with('+')).count()
        - before.iter().filter(|sign| sign.starts_with('-')).count();
    assert_eq!(open, 10, "{before:?}");

    let mut story = resumed(&story);
    for _ in 0..5 {
        assert_eq!(story.tick(&[all_wrong(3), zombie.clone()]), []);
    }
    story.event(&fork(40, 1));
    story.event(&exec(40, &["false"]));
    assert_eq!(story.event(&exit(40, 1, 256)), []);
    story.event(&exit(3, 1, 0));
    story.tick(&[]);
    story.end();
    check(&story.changes, true);
    let after = signs(&story.changes);
    assert_eq!(after.len(), before.len() + open, "{after:?}");
}

#[test]
fn numbers_go_on() {
    let mut story = Story::new();
    story.row(|row| row.fd_count = Some(1000));
    story.row(|_| {});
    let mut story = resumed(&story);
    let told = story.row(|row| row.fd_count = Some(1000));
    assert_eq!(told[0].no, 2);
}

#[test]
fn a_process_that_is_gone_closes_what_was_wrong_with_it() {
    let mut story = Story::new();
    story.row(|row| row.fd_count = Some(1000));
    let mut story = resumed(&story);
    let told: Vec<_> = (0..4).flat_map(|_| story.tick(&[])).collect();
    assert_eq!(signs(&told), ["-fd_high"]);
    assert_eq!(told[0].phase, Phase::Closed(Ended::Process));
}
