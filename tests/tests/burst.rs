//! A burst of events larger than any queue, and tracer is killed in the middle of it.

use anyhow::{Result, ensure};
use tracer_tests::facts::Facts;
use tracer_tests::journal::read_growing;
use tracer_tests::place;
use tracer_tests::session::Session;
use tracer_tests::unattended::{Watched, expect_whole};
use tracer_tests::wait::{PATIENCE, readable, stretched, wait_for};

/// Holds the whole burst: what is not to be lost has to have room somewhere.
const RING_BYTES: &str = "--ring-bytes=33554432";

#[test]
fn c4_of_100_000_events_each_that_was_taken_is_readable_after_sigkill_and_each_other_once()
-> Result<()> {
    let storm = place::fixture_text("storm")?;
    let mut watched = Watched::start(&format!("exec {storm} fork 4 12500"), &[RING_BYTES])?;
    let root = watched.pidfd()?;
    watched.go()?;
    let journal = watched.folder.join("journal.0.jsonl");
    wait_for("some 20,000 events to be written", PATIENCE, || {
        Ok((journal.metadata()?.len() > 6_000_000).then_some(()))
    })?;
    // Somebody else reads what there is; then nothing of that may go.
    let taken = read_growing(&journal)?;
    watched.kill()?;
    let written = read_growing(&journal)?;
    let over = readable(&root, stretched(PATIENCE * 4))?;
    ensure!(over, "the storm goes on");
    let recover = watched.room.tracer("recover")?;
    recover.finish(PATIENCE * 4)?.expect_code(0)?;
    watched.nothing_is_left()?;

    let session = Session::read(&watched.folder)?;
    for (seq, record) in taken
        .iter()
        .chain(&written)
        .map(|record| (record.seq, record))
    {
        let now = &session.journal[usize::try_from(seq)?];
        ensure!(
            now.value == record.value,
            "{seq}: {} {}",
            record.value,
            now.value
        );
    }
    ensure!(
        written.len() >= taken.len() && taken.len() > 10_000,
        "{}",
        taken.len()
    );
    let events = session.count("fork") + session.count("exit");
    ensure!(events > 100_000, "{events}");
    let (mut truth, mut seen) = (Facts::of_truth(&watched.room.truth()?), session.facts()?);
    truth.execs.clear();
    seen.execs.clear();
    truth.expect_same(&seen)?;
    expect_whole(&session)
}
