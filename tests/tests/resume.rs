//! `tracer recover --resume`: another observer goes on where a killed one stopped.

use anyhow::{Result, ensure};
use tracer_tests::journal;
use tracer_tests::launch::Running;
use tracer_tests::session::Session;
use tracer_tests::unattended::{AWAIT_GO, Watched, expect_whole};
use tracer_tests::wait::{PATIENCE, wait_for};

/// Starts the next observer and waits until it follows.
fn resumed(watched: &Watched, epoch: u32) -> Result<Running> {
    let tracer = watched.room.tracer("recover")?.arg("--resume").spawn()?;
    let path = watched.folder.join(format!("journal.{epoch}.jsonl"));
    wait_for("the session to go on", PATIENCE, || {
        let records = journal::read_growing(&path)?;
        ensure!(!tracer.has_ended()?, "it has ended: {}", tracer.stderr());
        Ok(records
            .iter()
            .any(|record| record.kind == "note")
            .then_some(()))
    })?;
    Ok(tracer)
}

/// Runs a program while observed, one while not, and ends while observed again.
fn parts() -> String {
    format!("sh -c 'exit 1'; {AWAIT_GO}; sh -c 'exit 2'; {AWAIT_GO}; sh -c 'exit 3'; exit 5")
}

fn statuses(session: &Session) -> Result<Vec<i64>> {
    session
        .of_kind("exit")
        .map(|exit| exit.int("status"))
        .collect()
}

fn until_exits(watched: &Watched, epoch: u32, count: usize) -> Result<()> {
    let path = watched.folder.join(format!("journal.{epoch}.jsonl"));
    wait_for("the exit", PATIENCE, || {
        let records = journal::read_growing(&path)?;
        let exits = records
            .iter()
            .filter(|record| record.kind == "exit")
            .count();
        Ok((exits >= count).then_some(()))
    })
}

#[test]
fn l12_another_observer_goes_on_with_the_session_and_one_summary_covers_both() -> Result<()> {
    let mut watched = Watched::start(&parts(), &["--label", "a=b"])?;
    watched.go()?;
    until_exits(&watched, 0, 1)?;
    watched.kill()?;
    watched.go()?;

    let tracer = resumed(&watched, 1)?;
    until_exits(&watched, 1, 1)?;
    watched.go()?;
    let done = tracer.finish(PATIENCE)?.expect_code(0)?;
    assert!(done.stderr.contains("exited 5"), "{}", done.stderr);

    watched.nothing_is_left()?;
    let session = Session::read(&watched.folder)?;
    assert_eq!(statuses(&session)?, [0x100, 0x200, 0x300, 0x500]);
    assert_eq!(session.count("session"), 2);
    let epochs: Vec<i64> = session
        .of_kind("session")
        .map(|record| record.int("epoch"))
        .collect::<Result<_>>()?;
    assert_eq!(epochs, [0, 1]);
    let gap = session.of_kind("gap").next().map(|gap| gap.text("reason"));
    assert_eq!(gap, Some("unsampled"));
    assert_eq!(session.count("end"), 1);
    let summary = &session.summary;
    assert_eq!(summary["exit_code"], 5);
    assert_eq!(summary["subtype"], "error");
    assert_eq!(summary["termination_reason"], "natural_exit");
    assert_eq!(summary["kill_reason"], "natural_exit");
    assert_eq!(summary["labels"]["a"], "b");
    assert_eq!(summary["observer"]["ending"], "completed");
    assert_eq!(session.number("/totals/processes")?, 4);
    assert_eq!(summary["completeness"]["status"], "complete", "{summary}");
    expect_whole(&session)?;
    let own = |record: &journal::Record| record.value["observer"]["pid"].as_i64();
    let observers: Vec<_> = session.of_kind("session").map(own).collect();
    assert_ne!(observers[0], observers[1]);
    Ok(())
}

#[test]
fn l9_an_observer_that_resumed_can_be_killed_and_resumed_as_well() -> Result<()> {
    let mut watched = Watched::start(&parts(), &[])?;
    watched.kill()?;
    let second = resumed(&watched, 1)?;
    watched.go()?;
    until_exits(&watched, 1, 1)?;
    watched.tracer = Some(second);
    watched.kill()?;
    watched.go()?;
    let third = resumed(&watched, 2)?;
    until_exits(&watched, 2, 1)?;
    watched.go()?;
    third.finish(PATIENCE)?.expect_code(0)?;
    watched.nothing_is_left()?;
    let session = Session::read(&watched.folder)?;
    assert_eq!(statuses(&session)?, [0x100, 0x200, 0x300, 0x500]);
    assert_eq!(session.summary["exit_code"], 5);
    expect_whole(&session)
}

#[test]
fn a_storm_over_two_observers_is_recorded_whole() -> Result<()> {
    let storm = tracer_tests::place::fixture_text("storm")?;
    let mut watched = Watched::start(&format!("exec {storm} fork 4 1500"), &[])?;
    watched.go()?;
    let journal = watched.folder.join("journal.0.jsonl");
    wait_for("the journal to grow", PATIENCE, || {
        Ok((journal.metadata()?.len() > 60_000).then_some(()))
    })?;
    watched.kill()?;
    let second = resumed(&watched, 1)?;
    second.finish(PATIENCE)?.expect_code(0)?;
    let session = Session::read(&watched.folder)?;
    let truth = tracer_tests::facts::Facts::of_truth(&watched.room.truth()?);
    let (mut told, mut seen) = (truth, session.facts()?);
    told.execs.clear();
    seen.execs.clear();
    told.expect_same(&seen)?;
    expect_whole(&session)
}

#[test]
fn l16_a_session_that_somebody_observes_is_not_resumed() -> Result<()> {
    let watched = Watched::start("exit 6", &[])?;
    let launch = watched.room.tracer("recover")?.arg("--resume");
    let done = launch.finish(PATIENCE)?.expect_code(0)?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(said.contains("running"), "{said}");
    watched.go()?;
    Ok(())
}

#[test]
fn without_pins_the_living_are_adopted_and_the_gap_is_named() -> Result<()> {
    let mut watched = Watched::start(&parts(), &[])?;
    watched.go()?;
    until_exits(&watched, 0, 1)?;
    watched.kill()?;
    std::fs::remove_dir_all(watched.room.pins())?;
    let tracer = resumed(&watched, 1)?;
    watched.go()?;
    until_exits(&watched, 1, 1)?;
    watched.go()?;
    tracer.finish(PATIENCE)?.expect_code(0)?;
    watched.nothing_is_left()?;
    let session = Session::read(&watched.folder)?;
    assert_eq!(statuses(&session)?, [0x100, 0x200, 0x300, 0x500]);
    assert_eq!(session.summary["exit_code"], 5);
    let gap = session.of_kind("gap").next().map(|gap| gap.text("reason"));
    assert_eq!(gap, Some("unwatched"));
    assert_eq!(session.summary["completeness"]["status"], "incomplete");
    Ok(())
}
