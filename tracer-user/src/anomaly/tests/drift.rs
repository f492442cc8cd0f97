//! Names of the workload: what explains them, and what does not.

use super::*;

fn pinned(comm: &str, key: Option<ProcKey>) -> Pinned {
    Pinned {
        key,
        pid: 100,
        starttime_ticks: 1000,
        comm: comm.to_owned(),
        wrappers: ["script".to_owned()].into(),
    }
}

fn workload(change: impl FnOnce(&mut SnapshotRow)) -> SnapshotRow {
    let mut row = row();
    row.role = Role::Workload;
    row.comm = Some("claude".to_owned());
    change(&mut row);
    row
}

/// `process(100)` as rows have it.
fn key() -> ProcKey {
    ProcKey {
        init: 100,
        start: BootNs(10_000_000_000),
    }
}

fn executed(comm: &str) -> EventKind {
    let mut event = exec(100, &[comm]);
    if let EventKind::Exec(exec) = &mut event {
        exec.process.key = key();
    }
    event
}

#[test]
fn rows_of_the_wrapper_are_a_drift_at_once() {
    let mut story = Story::new();
    story.detector.pin(pinned("claude", None));
    let told = story.tick(&[workload(|row| row.comm = Some("script".to_owned()))]);
    let expected = Detail::IdentityDrift {
        expected_comm: "claude".to_owned(),
        actual_comm: "script".to_owned(),
    };
    assert_eq!(detail_of(&told, Kind::IdentityDrift), Some(&expected));
    assert_eq!(told[0].kind.severity().name(), "critical");
}

#[test]
fn a_tracked_workload_that_renames_itself_drifts_only_to_the_name_of_its_wrapper() {
    let named = |comm: &'static str| workload(|row| row.comm = Some(comm.to_owned()));
    let mut story = Story::new();
    story.detector.pin(pinned("claude", Some(key())));
    for _ in 0..5 {
        assert_eq!(story.tick(&[named("node-worker")]), []);
    }
    // The first row may be older than the exec that explains it.
    assert_eq!(story.tick(&[named("script")]), []);
    let told = story.tick(&[named("script")]);
    assert_eq!(signs(&told), ["+identity_drift"]);
    assert_eq!(told[0].span.count, 2);
    assert_eq!(signs(&story.tick(&[named("claude")])), ["-identity_drift"]);
}

#[test]
fn a_chain_of_execs_is_no_drift() {
    let mut story = Story::new();
    story.detector.pin(pinned("python", Some(key())));
    for comm in ["bash", "pyenv", "script", "python3.12"] {
        story.event(&executed(comm));
        let row = workload(|row| row.comm = Some(comm.to_owned()));
        assert_eq!(story.tick(&[row.clone(), row]), [], "{comm}");
    }
    // A row read a moment before its exec was told.
    assert_eq!(
        story.tick(&[workload(|row| row.comm = Some("script".to_owned()))]),
        []
    );
}

#[test]
fn another_process_under_the_workloads_role_is_a_drift() {
    let mut story = Story::new();
    story.detector.pin(pinned("claude", Some(key())));
    let told = story.tick(&[workload(|row| {
        row.pid = 7;
        row.comm = Some("bash".to_owned());
    })]);
    assert_eq!(signs(&told), ["+identity_drift"]);
}

#[test]
fn rows_of_the_wrapper_are_one_drift_however_many() {
    let drifted = |row: &mut SnapshotRow| row.comm = Some("script".to_owned());
    let mut story = Story::new();
    story.detector.pin(pinned("claude", None));
    for _ in 0..100 {
        story.tick(&[workload(drifted)]);
    }
    assert_eq!(signs(&story.changes), ["+identity_drift"]);
    assert_eq!(signs(&story.end()), ["-identity_drift"]);
}
