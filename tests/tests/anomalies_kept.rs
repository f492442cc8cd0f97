//! Anomalies that were open when their observer was killed.

use anyhow::{Result, ensure};
use tracer_tests::anomalies::{anomalies, one, until, verified};
use tracer_tests::journal;
use tracer_tests::session::Session;
use tracer_tests::unattended::{AWAIT_GO, Watched};
use tracer_tests::wait::{PATIENCE, wait_for};

/// A shell that holds more than 0.7 of the 13 descriptors it may have, and does nothing else until it is
/// told to go on; that it does so is told already.
fn hoarding() -> Result<Watched> {
    let hoard = "ulimit -n 13; exec 3</dev/null 4</dev/null 5</dev/null 6</dev/null 7</dev/null 8</dev/null 9</dev/null";
    let watched = Watched::start(
        &format!("{hoard}; {AWAIT_GO}; exit 0"),
        &["--interval", "20ms", "--threshold", "fd_high_ratio=0.7"],
    )?;
    watched.go()?;
    until(&watched.folder, "opened", "fd_high", 1)?;
    Ok(watched)
}

#[test]
fn what_was_open_when_the_observer_was_killed_stays_one_anomaly() -> Result<()> {
    let mut watched = hoarding()?;
    watched.kill()?;
    let tracer = watched.room.tracer("recover")?.arg("--resume").spawn()?;
    let path = watched.folder.join("journal.1.jsonl");
    wait_for("rows by the next observer", PATIENCE, || {
        let records = journal::read_growing(&path)?;
        ensure!(!tracer.has_ended()?, "it has ended: {}", tracer.stderr());
        let rows = records.iter().filter(|record| record.kind == "snapshot");
        Ok((rows.count() > 5).then_some(()))
    })?;
    watched.go()?;
    tracer.finish(PATIENCE)?.expect_code(0)?;
    let session = Session::read(&watched.folder)?;
    let anomalies = anomalies(&session)?;
    let hoard = one(&anomalies, "fd_high")?;
    ensure!(hoard["ended"] == "process", "{hoard}");
    let epochs = session.count("session");
    ensure!(epochs == 2, "{epochs} epochs");
    ensure!(
        hoard["count"].as_u64() > Some(5),
        "the next observer saw none of it: {hoard}"
    );
    Ok(())
}

#[test]
fn what_was_open_when_the_observer_died_for_good_has_no_end() -> Result<()> {
    let mut watched = hoarding()?;
    let root = watched.pidfd()?;
    watched.kill()?;
    watched.go()?;
    ensure!(
        tracer_tests::wait::readable(&root, PATIENCE)?,
        "the command goes on"
    );
    watched
        .room
        .tracer("recover")?
        .finish(PATIENCE)?
        .expect_code(0)?;
    let session = Session::read(&watched.folder)?;
    let anomalies = anomalies(&session)?;
    let hoard = one(&anomalies, "fd_high")?;
    ensure!(hoard["ended"].is_null(), "{hoard}");
    verified(&watched.room)
}
