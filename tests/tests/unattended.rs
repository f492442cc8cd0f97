//! Nobody observes: tracer is killed with SIGKILL, its command goes on, and recovery tells the rest.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tracer_tests::facts::Facts;
use tracer_tests::place;
use tracer_tests::room::Room;
use tracer_tests::session::Session;
use tracer_tests::sys;
use tracer_tests::unattended::{Watched, expect_whole, until_gone};
use tracer_tests::wait::{PATIENCE, wait_for};

#[test]
fn c4_what_runs_while_tracer_is_dead_is_told_by_recovery_as_if_it_had_lived() -> Result<()> {
    let script = "i=0; while [ $i -lt 100 ]; do /bin/true; i=$((i+1)); done; \
                  sh -c 'exit 9'; sh -c 'kill -11 $$'; exit 7";
    let mut watched = Watched::start(script, &[])?;
    let programs = watched.programs()?;
    let root = watched.pidfd()?;
    watched.kill()?;
    for &program in &programs {
        ensure!(sys::program_exists(program)?, "program {program} is gone");
    }
    watched.go()?;
    watched.until_over(&root)?;

    let session = watched.recovered()?;
    let summary = &session.summary;
    assert_eq!(summary["subtype"], "crashed");
    assert_eq!(summary["termination_reason"], "CRASHED");
    assert_eq!(summary["exit_code"], 7);
    assert_eq!(summary["verdict"]["outcome"], "exited");
    assert_eq!(summary["verdict"]["exit_code"], 7);
    expect_whole(&session)?;
    // The shell, 100 times true, and the two shells below.
    assert_eq!(session.number("/totals/processes")?, 103);
    let exits: Vec<i64> = session
        .of_kind("exit")
        .map(|exit| exit.int("status"))
        .collect::<Result<_>>()?;
    assert_eq!(exits.iter().filter(|&&status| status == 0x900).count(), 1);
    assert_eq!(exits.iter().filter(|&&status| status == 11).count(), 1);
    let root = session.exit_of(watched.root)?;
    assert_eq!(root.int("status")?, 0x700);
    assert!(root.int("wall_us")? > 0 && root.int("peak_rss_kb")? > 0);
    assert!(session.number("/totals/cpu_user_us")? + session.number("/totals/cpu_system_us")? > 0);
    until_gone(&programs)?;

    let again = watched.recover()?;
    assert_eq!(again["counts"].get("recovered"), None, "{again}");
    Ok(())
}

#[test]
fn what_a_full_ring_loses_while_tracer_is_dead_is_counted() -> Result<()> {
    let script = "i=0; while [ $i -lt 300 ]; do /bin/true; i=$((i+1)); done; exit 7";
    let mut watched = Watched::start(script, &["--ring-bytes", "8192"])?;
    let root = watched.pidfd()?;
    watched.kill()?;
    watched.go()?;
    watched.until_over(&root)?;
    let session = watched.recovered()?;
    let account = &session.summary["completeness"];
    assert_eq!(account["status"], "incomplete");
    let lost = |key: &str| account["lost"][key].as_u64().unwrap_or(0);
    // The shell is adopted before; it and 300 others end.
    assert_eq!(
        session.count("fork") + lost("ring_full_fork"),
        301,
        "{account}"
    );
    assert_eq!(
        session.count("exit") + lost("ring_full_exit"),
        301,
        "{account}"
    );
    // The shell itself, and what it runs.
    assert_eq!(
        session.count("exec") + lost("ring_full_exec"),
        301,
        "{account}"
    );
    assert!(lost("ring_full_exit") > 100, "{account}");
    assert_eq!(account["lost"].get("unrecorded"), None, "{account}");
    Ok(())
}

/// Kills tracer in the middle of a storm, when its journal has so many bytes, and recovers.
fn killed_in_a_storm(bytes: u64) -> Result<()> {
    let storm = place::fixture_text("storm")?;
    let mut watched = Watched::start(&format!("exec {storm} fork 4 500"), &[])?;
    let root = watched.pidfd()?;
    watched.go()?;
    let journal = watched.folder.join("journal.0.jsonl");
    wait_for("the journal to grow", PATIENCE, || {
        Ok((journal.metadata()?.len() >= bytes).then_some(()))
    })?;
    watched.kill()?;
    watched.until_over(&root)?;
    let session = watched.recovered()?;
    let truth = Facts::of_truth(&watched.room.truth()?);
    let mut seen = session.facts()?;
    // The root's own exec is not in the fixture's log, nor is the shell's.
    seen.execs.clear();
    let mut told = truth.clone();
    told.execs.clear();
    told.expect_same(&seen)
        .with_context(|| format!("killed at {bytes}: {}", session.summary["completeness"]))?;
    expect_whole(&session)
}

#[test]
fn c4_wherever_in_a_storm_tracer_is_killed_each_event_is_there_once() -> Result<()> {
    for bytes in [10_000, 50_000, 120_000, 250_000, 400_000, 600_000] {
        killed_in_a_storm(bytes)?;
    }
    Ok(())
}

#[test]
fn a_recovery_that_is_killed_as_well_is_finished_by_the_next() -> Result<()> {
    let storm = place::fixture_text("storm")?;
    let mut watched = Watched::start(&format!("exec {storm} fork 4 1000"), &[])?;
    let root = watched.pidfd()?;
    watched.kill()?;
    watched.go()?;
    watched.until_over(&root)?;
    for (epoch, bytes) in [(1, 1), (2, 30_000), (3, 200_000)] {
        let recovery = watched.room.tracer("recover")?.spawn()?;
        let journal = watched.folder.join(format!("journal.{epoch}.jsonl"));
        wait_for("the recovery to write", PATIENCE, || {
            let len = journal.metadata().map_or(0, |file| file.len());
            Ok((len >= bytes || recovery.has_ended()?).then_some(()))
        })?;
        recovery.signal(Signal::KILL).ok();
        if recovery.finish(PATIENCE)?.signal.is_none() {
            break;
        }
    }
    watched.recover()?;
    watched.nothing_is_left()?;
    let session = Session::read(&watched.folder)?;
    let mut truth = Facts::of_truth(&watched.room.truth()?);
    let mut seen = session.facts()?;
    truth.execs.clear();
    seen.execs.clear();
    truth.expect_same(&seen)?;
    expect_whole(&session)
}

#[test]
fn r1_where_nothing_can_be_pinned_tracer_says_so_once_and_goes_on() -> Result<()> {
    let room = Room::new()?;
    let done = room
        .program(place::tracer()?)
        .args(["run", "--require-trace", "--state-dir"])
        .arg(room.state())
        .arg("--bpffs")
        .arg(room.path("no-bpffs"))
        .command(["sh", "-c", "/bin/true; exit 3"])
        .finish(PATIENCE)?
        .expect_code(3)?;
    assert_eq!(
        done.stderr.matches("is on no bpffs").count(),
        1,
        "{}",
        done.stderr
    );
    let session = room.session()?;
    session.expect_complete()?;
    let degraded = session.summary["observer"]["degraded"].to_string();
    assert!(degraded.contains("pins: "), "{degraded}");
    assert!(!room.path("no-bpffs").exists());
    Ok(())
}

#[test]
fn after_a_clean_end_nothing_is_left_in_the_kernel() -> Result<()> {
    let mut watched = Watched::start("/bin/true; exit 4", &[])?;
    let programs = watched.programs()?;
    watched.go()?;
    let tracer = watched.tracer.take().context("tracer")?;
    tracer.finish(PATIENCE)?.expect_code(4)?;
    watched.nothing_is_left()?;
    until_gone(&programs)
}

#[test]
fn n3_however_early_tracer_is_killed_recovery_leaves_no_pins() -> Result<()> {
    let room = Room::new()?;
    let pinned = || std::fs::read_dir(room.pins()).map_or(0, Iterator::count);
    for files in 0..12 {
        let tracer = room.run()?.arg("-q").command(["/bin/true"]).spawn()?;
        let begun = std::time::Instant::now();
        // Somewhere between nothing pinned and the end of the run.
        while begun.elapsed() < Duration::from_millis(files * 10) && !tracer.has_ended()? {
            std::hint::spin_loop();
        }
        tracer.signal(Signal::KILL).ok();
        tracer.finish(PATIENCE)?;
    }
    let recovery = || -> Result<_> {
        let launch = room.tracer("recover")?.arg("--json");
        let done = launch.finish(PATIENCE)?.expect_code(0)?;
        let report: Value = serde_json::from_slice(&done.stdout)?;
        Ok((pinned() == 0).then_some(report))
    };
    // A command that was released goes on for a moment.
    wait_for("no pins to be left", PATIENCE, recovery)?;
    Ok(())
}
