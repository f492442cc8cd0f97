//! Signals to tracer reach the command, once; stopping and going on; what is left behind.

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tracer_tests::check::until_noted;
use tracer_tests::launch::Running;
use tracer_tests::pty::Pty;
use tracer_tests::room::Room;
use tracer_tests::truth::Fact;
use tracer_tests::wait::{PATIENCE, wait_for};
use tracer_tests::{place, proc};

/// The signals that `listener` says it got, in order; with the terminal's size where it has one.
fn got(room: &Room) -> Result<Vec<String>> {
    let signals = room
        .truth()?
        .into_iter()
        .filter_map(|(_, fact)| match fact {
            Fact::Note { key, value } if key == "signal" => Some(value),
            _ => None,
        });
    Ok(signals.collect())
}

fn until_got(room: &Room, expected: &[i32]) -> Result<()> {
    let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
    wait_for(&format!("signals {expected:?}"), PATIENCE, || {
        let got = got(room)?;
        ensure!(expected.starts_with(&got), "{got:?}, {expected:?} expected");
        Ok((got == expected).then_some(()))
    })
}

fn listening(room: &Room) -> Result<(Running, i32)> {
    let launch = room
        .run()?
        .args(["-q", "--require-trace", "--interval", "50ms"]);
    let tracer = launch.observe("listener", &[])?.spawn()?;
    let pid = until_noted(room, "ready")?.parse()?;
    Ok((tracer, pid))
}

#[test]
fn signals_sent_to_tracer_reach_the_command_once_each_and_it_decides() -> Result<()> {
    let room = Room::new()?;
    let (tracer, _) = listening(&room)?;
    let mut expected = Vec::new();
    for signal in [
        Signal::USR1,
        Signal::HUP,
        Signal::INT,
        Signal::QUIT,
        Signal::USR2,
        Signal::USR1,
    ] {
        tracer.signal(signal)?;
        expected.push(signal.as_raw());
        until_got(&room, &expected)?;
    }
    ensure!(!tracer.has_ended()?, "the command goes on, so tracer does");
    tracer.signal(Signal::TERM)?;
    tracer.finish(PATIENCE)?.expect_code(42)?;
    expected.push(Signal::TERM.as_raw());
    until_got(&room, &expected)?;
    room.session()?.expect_complete()
}

#[test]
fn a_command_without_handlers_dies_of_the_forwarded_signal_and_that_is_the_record() -> Result<()> {
    for (signal, name) in [
        (Signal::TERM, "SIGTERM"),
        (Signal::HUP, "SIGHUP"),
        (Signal::USR1, "SIGUSR1"),
    ] {
        let room = Room::new()?;
        let launch = room
            .run()?
            .args(["-q", "--require-trace"])
            .observe("idle", &[])?;
        let tracer = launch.spawn()?;
        until_noted(&room, "ready")?;
        tracer.signal(signal)?;
        tracer
            .finish(PATIENCE)?
            .expect_code(128 + signal.as_raw())?;
        let session = room.session()?;
        let verdict = &session.summary["verdict"];
        ensure!(
            verdict["outcome"] == "signaled" && verdict["signal"] == name,
            "{verdict}"
        );
        session.expect_complete()?;
    }
    Ok(())
}

#[test]
fn ctrl_c_at_the_terminal_reaches_the_command_once_and_not_twice() -> Result<()> {
    let room = Room::new()?;
    let mut pty = Pty::new(24, 80)?;
    let launch = room
        .run()?
        .args(["-q", "--require-trace"])
        .observe("listener", &[])?;
    let tracer = pty.spawn(launch)?;
    until_noted(&room, "ready")?;
    pty.type_in(b"\x03")?;
    wait_for("the first signal", PATIENCE, || {
        Ok((!got(&room)?.is_empty()).then_some(()))
    })?;
    // What tracer might forward besides would be there before what comes after it.
    tracer.signal(Signal::USR1)?;
    wait_for("USR1", PATIENCE, || {
        Ok(got(&room)?
            .last()
            .is_some_and(|s| s.starts_with("10 "))
            .then_some(()))
    })?;
    tracer.signal(Signal::TERM)?;
    pty.watch_to_end(&tracer, PATIENCE)?;
    tracer.finish(PATIENCE)?.expect_code(42)?;
    ensure!(
        got(&room)? == ["2 24x80", "10 24x80", "15 24x80"],
        "{:?}",
        got(&room)?
    );
    Ok(())
}

#[test]
fn a_command_that_stops_is_not_taken_for_ended_and_goes_on() -> Result<()> {
    let room = Room::new()?;
    let (tracer, pid) = listening(&room)?;
    let workload = rustix::process::Pid::from_raw(pid).context("pid 0")?;
    rustix::process::kill_process(workload, Signal::STOP)?;
    wait_for("a row that says stopped", PATIENCE, || {
        let journal =
            tracer_tests::journal::read_growing(&room.session_folder()?.join("journal.0.jsonl"))?;
        let stopped = |record: &tracer_tests::journal::Record| record.text("state") == "stopped";
        Ok(journal.iter().any(stopped).then_some(()))
    })?;
    ensure!(!tracer.has_ended()?, "stopped is not ended");
    rustix::process::kill_process(workload, Signal::CONT)?;
    tracer.signal(Signal::TERM)?;
    tracer.finish(PATIENCE)?.expect_code(42)?;
    ensure!(room.session()?.exit_of(pid)?.int("status")? == 42 << 8);
    Ok(())
}

#[test]
fn job_control_of_an_interactive_shell_works_on_tracer_and_command_together() -> Result<()> {
    let room = Room::new()?;
    let mut pty = Pty::new(24, 200)?;
    let bash = room
        .program("bash")
        .args(["--norc", "--noprofile", "-i"])
        .env("PS1", "READY> ");
    let bash = pty.spawn(bash)?;
    pty.wait_for_text("READY> ", PATIENCE)?;
    let line = format!(
        "{} run -q --require-trace --state-dir {} -- {}\n",
        place::text(&place::tracer()?)?,
        place::text(&room.state())?,
        place::fixture_text("idle")?
    );
    pty.type_in(line.as_bytes())?;
    let idle: i32 = until_noted(&room, "ready")?.parse()?;
    pty.type_in(b"\x1a")?;
    pty.wait_for_text("Stopped", PATIENCE)?;
    wait_for("the command to stop", PATIENCE, || {
        Ok((proc::state(idle) == Some('T')).then_some(()))
    })?;
    pty.type_in(b"fg\n")?;
    wait_for("the command to go on", PATIENCE, || {
        Ok((proc::state(idle) == Some('S')).then_some(()))
    })?;
    pty.type_in(b"\x03")?;
    wait_for("the command's end", PATIENCE, || {
        Ok(proc::state(idle).is_none().then_some(()))
    })?;
    pty.type_in(b"echo code=$?\n")?;
    pty.wait_for_text("code=130", PATIENCE)?;
    pty.type_in(b"exit\n")?;
    pty.watch_to_end(&bash, PATIENCE)?;
    bash.finish(PATIENCE)?;
    let verdict = room.session()?.summary["verdict"].clone();
    ensure!(
        verdict["signal"] == "SIGINT" && verdict["cause"] == "interrupt",
        "{verdict}"
    );
    Ok(())
}

#[test]
fn a_process_left_behind_does_not_hold_up_the_end_and_is_counted_as_alive() -> Result<()> {
    let room = Room::new()?;
    let shell =
        "\"$0\" & while ! grep -q ready \"$TRUTH_LOG\" 2>/dev/null; do sleep 0.01; done; exit 3";
    let launch = room
        .run()?
        .args(["-q", "--require-trace"])
        .command(["sh", "-c", shell]);
    launch
        .arg(place::fixture("idle")?)
        .finish(PATIENCE)?
        .expect_code(3)?;
    let left: i32 = until_noted(&room, "ready")?.parse()?;
    ensure!(
        proc::state(left).is_some(),
        "what the command left behind was killed"
    );
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(left).context("pid 0")?,
        Signal::KILL,
    )?;
    let session = room.session()?;
    ensure!(
        session.number("/completeness/alive")? == 1,
        "{}",
        session.summary["completeness"]
    );
    session.expect_complete()
}

#[test]
fn killing_tracer_leaves_the_command_alone() -> Result<()> {
    let room = Room::new()?;
    let (tracer, pid) = listening(&room)?;
    tracer.signal(Signal::KILL)?;
    tracer.finish(PATIENCE)?;
    let workload = rustix::process::Pid::from_raw(pid).context("pid 0")?;
    ensure!(
        matches!(proc::state(pid), Some('S' | 'R')),
        "{:?}",
        proc::state(pid)
    );
    let pidfd = rustix::process::pidfd_open(workload, rustix::process::PidfdFlags::empty())?;
    rustix::process::pidfd_send_signal(&pidfd, Signal::TERM)?;
    ensure!(
        tracer_tests::wait::readable(&pidfd, PATIENCE)?,
        "it does not end"
    );
    until_got(&room, &[Signal::TERM.as_raw()])
}
