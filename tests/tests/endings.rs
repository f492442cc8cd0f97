//! How endings are told: by whom, why, and without a word that is not so.

use std::os::unix::process::CommandExt as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tracer_tests::check::{until_armed, until_noted};
use tracer_tests::ended::expect_reasons;
use tracer_tests::need;
use tracer_tests::pty::Pty;
use tracer_tests::room::Room;
use tracer_tests::session::Session;
use tracer_tests::wait::{PATIENCE, wait_for};

/// Runs a shell text and gives its session.
fn shell(text: &str, code: i32) -> Result<Session> {
    let room = Room::new()?;
    let launch = room.run()?.args(["-q", "--require-trace"]);
    let end = launch.command(["sh", "-c", text]).finish(PATIENCE)?;
    end.expect_code(code)?;
    room.session()
}

/// Checks outcome, signal, cause and the killer's relation, and that the evidence is in the journal.
fn expect_verdict(session: &Session, expected: [&str; 4]) -> Result<()> {
    let verdict = &session.summary["verdict"];
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let found = [
        text(&verdict["outcome"]),
        text(&verdict["signal"]),
        text(&verdict["cause"]),
        text(&verdict["killer"]["relation"]),
    ];
    ensure!(found == expected, "{expected:?} expected: {verdict:#}");
    let evidence = verdict["evidence"].as_array().context("no evidence")?;
    ensure!(
        !evidence.is_empty(),
        "a verdict that rests on nothing: {verdict}"
    );
    for seq in evidence {
        let seq = seq.as_u64().context("evidence is no number")?;
        let record = session.journal.iter().find(|record| record.seq == seq);
        let kind = &record.with_context(|| format!("no record {seq}"))?.kind;
        ensure!(
            ["exit", "signal", "oom", "note"].contains(&kind.as_str()),
            "record {seq} of the evidence is a {kind}"
        );
    }
    Ok(())
}

#[test]
fn a_killer_is_placed_by_its_relation() -> Result<()> {
    let own = shell("kill -KILL $$", 137)?;
    expect_verdict(&own, ["signaled", "SIGKILL", "killed", "self"])?;
    let room = Room::new()?;
    let launch = room
        .run()?
        .args(["-q", "--require-trace", "--expect", "sh"]);
    // The text goes on after it, so that the shell does not become its child.
    let text = "/bin/sh -c 'kill -TERM $PPID'; sleep 9";
    launch
        .command(["sh", "-c", text])
        .finish(PATIENCE)?
        .expect_code(143)?;
    expect_verdict(
        &room.session()?,
        ["signaled", "SIGTERM", "killed", "descendant"],
    )?;
    let choice = shell("exit 137", 137)?;
    expect_verdict(&choice, ["exited", "-", "error_exit", "-"])
}

#[test]
fn a_fault_of_its_own_and_a_timeout_are_told_apart() -> Result<()> {
    let fault = shell("kill -SEGV $$", 139)?;
    expect_verdict(&fault, ["signaled", "SIGSEGV", "fault", "self"])?;
    let slow = shell("exec timeout 0.2 sleep 9", 124)?;
    expect_verdict(&slow, ["signaled", "SIGTERM", "timeout", "wrapper"])
}

#[test]
fn a_stranger_who_kills_is_outside_the_tree() -> Result<()> {
    let room = Room::new()?;
    let launch = room
        .run()?
        .args(["-q", "--require-trace"])
        .observe("idle", &[])?;
    let tracer = launch.spawn()?;
    let pid = until_noted(&room, "ready")?.parse()?;
    let pid = rustix::process::Pid::from_raw(pid).context("no pid")?;
    rustix::process::kill_process(pid, Signal::KILL)?;
    tracer.finish(PATIENCE)?.expect_code(137)?;
    let session = room.session()?;
    expect_verdict(&session, ["signaled", "SIGKILL", "killed", "outside"])?;
    let killer = &session.summary["verdict"]["killer"];
    ensure!(
        killer["pid"] == std::process::id(),
        "we did it, not {killer}"
    );
    Ok(())
}

#[test]
fn ctrl_c_at_the_terminal_is_an_interrupt() -> Result<()> {
    let room = Room::new()?;
    let mut pty = Pty::new(24, 80)?;
    let launch = room
        .run()?
        .args(["-q", "--require-trace", "--pty"])
        .observe("idle", &[])?;
    let tracer = pty.spawn(launch)?;
    until_noted(&room, "ready")?;
    pty.type_in(b"\x03")?;
    pty.watch_to_end(&tracer, PATIENCE)?;
    tracer.finish(PATIENCE)?.expect_code(130)?;
    let session = room.session()?;
    expect_verdict(&session, ["signaled", "SIGINT", "interrupt", "kernel"])?;
    expect_reasons(&session, "interrupted", "not_applicable")
}

#[test]
fn an_attach_that_is_stopped_does_not_claim_that_its_root_ended() -> Result<()> {
    let room = Room::new()?;
    let target = room.fixture("idle")?.spawn()?;
    until_noted(&room, "ready")?;
    let launch = room.attach(target.pid())?;
    let tracer = launch
        .args(["--expect", "nobody", "--timeout", "1h"])
        .spawn()?;
    until_armed(&room, &tracer)?;
    tracer.signal(Signal::INT)?;
    tracer.finish(PATIENCE)?.expect_code(0)?;
    ensure!(!target.has_ended()?, "the target never notices");
    let session = room.session()?;
    expect_reasons(&session, "CANCELLED", "not_applicable")?;
    let summary = session.summary;
    let why = summary["unresolved"].as_str().context("it is unresolved")?;
    ensure!(
        why.starts_with("observation of root process"),
        "the root lives: {why}"
    );
    ensure!(
        summary["verdict"]["outcome"] == "still_running",
        "{summary}"
    );
    ensure!(summary["exit_code"] == -1, "{summary}");
    Ok(())
}

#[test]
fn the_first_process_of_a_namespace_is_refused_rather_than_followed_in_silence() -> Result<()> {
    let room = Room::new()?;
    let end = room.attach(1)?.args(["--timeout", "200ms"]);
    let end = end.finish(PATIENCE)?;
    // Where it can be followed it is; what may not be is a session that followed nobody.
    if end.code == Some(125) {
        end.expect_words(&["process 1"])?;
    } else {
        let forks = room.session()?.number("/completeness/forks")?;
        ensure!(forks > 0, "nobody was followed: {end:?}");
    }
    Ok(())
}

#[test]
fn a_fifo_that_nobody_reads_delays_nothing() -> Result<()> {
    let room = Room::new()?;
    let mkfifo = need::program("mkfifo", "coreutils")?;
    let fifo = room.path("fifo");
    room.program(mkfifo)
        .arg(&fifo)
        .finish(PATIENCE)?
        .expect_code(0)?;
    let json = format!("--json={}", fifo.display());
    let before = std::time::Instant::now();
    let launch = room.run()?.args(["--require-trace", &json]);
    launch
        .command(["true"])
        .finish(PATIENCE)?
        .expect_code(0)?
        .expect_words(&["lines of --json were not written"])?;
    // Less than the disk is given for the end of a session.
    ensure!(
        before.elapsed() < Duration::from_secs(8),
        "the end waited for a reader: {:?}",
        before.elapsed()
    );
    room.session()?.expect_complete()
}

#[test]
fn a_file_of_json_that_cannot_be_opened_costs_the_lines_and_not_the_record() -> Result<()> {
    let room = Room::new()?;
    let launch = room.run()?.arg("--json=/proc/nope/lines");
    launch
        .command(["true"])
        .finish(PATIENCE)?
        .expect_code(0)?
        .expect_words(&["/proc/nope/lines"])?;
    room.session()?.expect_complete()
}

#[test]
fn a_closed_stdout_and_stderr_change_nothing() -> Result<()> {
    let room = Room::new()?;
    let mut launch = room
        .run()?
        .args(["-v", "--json"])
        .command(["sh", "-c", "exit 5"]);
    let (read, write) = std::io::pipe()?;
    drop(read);
    let other = write.try_clone()?;
    launch.raw().process_group(0);
    let launch = launch
        .stdio(1, std::os::fd::OwnedFd::from(write).into())
        .stdio(2, std::os::fd::OwnedFd::from(other).into());
    launch.finish(PATIENCE)?.expect_code(5)?;
    room.session()?.expect_complete()
}

#[test]
fn followed_to_the_workload_an_attach_outlives_its_wrapper() -> Result<()> {
    let room = Room::new()?;
    let go = room.path("go");
    let idle = tracer_tests::place::fixture("idle")?;
    // The wrapper leaves when it is told to; the workload stays.
    let text = "\"$0\" & while ! [ -e \"$1\" ]; do sleep 0.02; done; exit 0";
    let wrapper = room
        .program("sh")
        .args(["-c", text])
        .arg(idle)
        .arg(&go)
        .spawn()?;
    let workload: i32 = until_noted(&room, "ready")?.parse()?;
    let launch = room.attach(wrapper.pid())?;
    let launch = launch.args(["-q", "--expect", "idle", "--follow", "workload"]);
    let tracer = launch.spawn()?;
    let (folder, _) = until_armed(&room, &tracer)?;
    wait_for("the pin", PATIENCE, || {
        Ok(folder.join("enrollment.json").exists().then_some(()))
    })?;
    std::fs::write(&go, "")?;
    wrapper.finish(PATIENCE)?;
    // Its end is in the journal, and the session goes on.
    wait_for("the wrapper's exit record", PATIENCE, || {
        let records = tracer_tests::journal::read_growing(&folder.join("journal.0.jsonl"))?;
        Ok(records
            .iter()
            .any(|record| record.kind == "exit" && record.text("comm") == "sh")
            .then_some(()))
    })?;
    ensure!(!tracer.has_ended()?, "the workload is what is followed");
    let pid = rustix::process::Pid::from_raw(workload).context("no pid")?;
    rustix::process::kill_process(pid, Signal::USR1)?;
    tracer.finish(PATIENCE)?.expect_code(0)?;
    let session = room.session()?;
    expect_verdict(&session, ["signaled", "SIGUSR1", "killed", "outside"])
}

#[test]
fn a_storm_leaves_moments_for_ticks_and_for_the_end_of_patience() -> Result<()> {
    let room = Room::new()?;
    let storm = room
        .program("sh")
        .args(["-c", "while :; do /bin/true & /bin/true & wait; done"])
        .spawn()?;
    let launch = room.attach(storm.pid())?;
    let launch = launch.args([
        "--expect",
        "nobody",
        "--timeout",
        "300ms",
        "--interval",
        "20ms",
    ]);
    let begin = std::time::Instant::now();
    launch.finish(PATIENCE)?.expect_code(3)?;
    ensure!(
        begin.elapsed() < PATIENCE / 2,
        "patience of 300 ms took {:?}",
        begin.elapsed()
    );
    let ticks = room.session()?.count("tick");
    ensure!(ticks >= 3, "{ticks} ticks in 300 ms");
    Ok(())
}
