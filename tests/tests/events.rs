//! Twenty thousand processes, to the last one; and when the kernel cannot deliver, exact losses.

use std::time::Duration;

use anyhow::Result;
use tracer_tests::check::{expect_loss, recorded_with, until_noted, while_stopped};
use tracer_tests::room::Room;
use tracer_tests::session::lost_total;
use tracer_tests::wait::{PATIENCE, wait_for};

/// A storm of this size takes about six seconds alone on two slow cores; other tests run beside it.
const STORM: Duration = Duration::from_secs(180);

#[test]
fn of_twenty_thousand_processes_by_eight_workers_none_is_missing_doubled_or_misjudged() -> Result<()>
{
    let run = recorded_with("storm", &["vfork", "8", "2500"], &[], STORM)?;
    assert_eq!(run.session.facts()?.sizes(), [20_008, 20_000, 20_008]);
    assert_eq!(lost_total(&run.session.summary["completeness"]), 0);
    // Some of each: codes above 127, and deaths by signal that the shell convention would hide.
    let statuses = || {
        run.session
            .of_kind("exit")
            .filter_map(|exit| exit.small("status").ok())
    };
    assert!(statuses().any(|status| status == 255 << 8));
    for signal in [
        libc::SIGKILL,
        libc::SIGTERM,
        libc::SIGSEGV,
        libc::SIGABRT,
        libc::SIGUSR1,
    ] {
        assert!(
            statuses().any(|status| status & 0x7f == signal),
            "nobody died of {signal}"
        );
    }
    Ok(())
}

#[test]
fn a_ring_too_small_for_a_vfork_and_exec_storm_loses_what_it_says_it_loses() -> Result<()> {
    let room = Room::new()?;
    let tracer = room
        .run()?
        .args(["-q", "--require-trace", "--ring-bytes", "4096"])
        .observe("storm", &["vfork", "4", "3000"])?
        .spawn()?;
    // The storm flushes its log every 256 processes a worker: the first flush shows that it runs.
    wait_for("the storm", PATIENCE, || {
        Ok(room.truth_path().exists().then_some(()))
    })?;
    // However slowly this test gets on: the storm is far from its end, or has lost enough.
    while_stopped(&tracer, || {
        let facts = || room.truth().map_or(0, |truth| truth.len());
        let before = facts();
        let enough = (before + 3000).min(30_000);
        wait_for("3000 more facts", STORM, || {
            Ok((facts() > enough).then_some(()))
        })
    })?;
    tracer.finish(STORM)?.expect_code(0)?;
    let session = room.session()?;
    let missing = room.true_facts()?.missing_in(&session.facts()?)?;
    assert!(
        missing.iter().all(|&kind| kind > 100),
        "the ring was not too small: {missing:?}"
    );
    expect_loss(&session, missing)?;
    let account = &session.summary["completeness"];
    assert_eq!(account["status"], "incomplete", "{account}");
    assert!(account["reasons"].to_string().contains("ring"), "{account}");
    Ok(())
}

#[test]
fn an_observer_that_was_stopped_for_a_while_catches_up_without_loss() -> Result<()> {
    let room = Room::new()?;
    let stop = room.path("stop");
    let tracer = room
        .run()?
        .args(["-q", "--require-trace"])
        .observe("forever", &["4", &stop.to_string_lossy()])?
        .spawn()?;
    until_noted(&room, "ready")?;
    while_stopped(&tracer, || {
        let before = room.truth()?.len();
        wait_for("1000 more facts", PATIENCE, || {
            Ok((room.truth()?.len() > before + 1000).then_some(()))
        })
    })?;
    std::fs::write(&stop, "")?;
    tracer.finish(PATIENCE)?.expect_code(0)?;
    let session = room.session()?;
    room.true_facts()?.expect_same(&session.facts()?)?;
    session.expect_complete()
}
