//! `--pty`: tracer owns the terminal of the command, and gives its own back as it was.

use anyhow::{Result, ensure};
use rustix::process::Signal;
use rustix::termios::{LocalModes, Termios};
use tracer_tests::check::until_noted;
use tracer_tests::launch::{Launch, Running};
use tracer_tests::pty::Pty;
use tracer_tests::room::Room;
use tracer_tests::truth::Fact;
use tracer_tests::wait::{PATIENCE, wait_for};
use tracer_tests::{need, outline, place};

fn with_pty(room: &Room) -> Result<Launch> {
    Ok(room.run()?.args(["-q", "--require-trace", "--pty"]))
}

fn same_settings(before: &Termios, after: &Termios) -> Result<()> {
    ensure!(
        before.input_modes == after.input_modes,
        "{before:?}\n{after:?}"
    );
    ensure!(
        before.output_modes == after.output_modes,
        "{before:?}\n{after:?}"
    );
    ensure!(
        before.control_modes == after.control_modes,
        "{before:?}\n{after:?}"
    );
    ensure!(
        before.local_modes == after.local_modes,
        "{before:?}\n{after:?}"
    );
    Ok(())
}

fn until_raw(pty: &Pty) -> Result<()> {
    wait_for("raw mode", PATIENCE, || {
        Ok((!pty.settings()?.local_modes.contains(LocalModes::ICANON)).then_some(()))
    })
}

/// A listener under `--pty`, ready.
fn listening(room: &Room, pty: &Pty) -> Result<(Running, i32)> {
    let tracer = pty.spawn(with_pty(room)?.observe("listener", &[])?)?;
    let pid = until_noted(room, "ready")?.parse()?;
    until_raw(pty)?;
    Ok((tracer, pid))
}

fn until_got(room: &Room, signal: &str) -> Result<()> {
    wait_for(&format!("signal {signal}"), PATIENCE, || {
        let is_it = |(_, fact): &(u64, Fact)| matches!(fact, Fact::Note { key, value } if key == "signal" && value == signal);
        Ok(room.truth()?.iter().any(is_it).then_some(()))
    })
}

#[test]
fn the_command_has_a_terminal_of_the_same_size_of_its_own() -> Result<()> {
    let room = Room::new()?;
    let mut pty = Pty::new(33, 99)?;
    let show = place::fixture("show_self")?;
    let launch = with_pty(&room)?
        .arg("--")
        .arg(show)
        .arg(room.path("report"))
        .arg("6");
    let tracer = pty.spawn(launch)?;
    pty.wait_for_text("said on stderr", PATIENCE)?;
    pty.watch_to_end(&tracer, PATIENCE)?;
    tracer.finish(PATIENCE)?.expect_code(6)?;
    let report = std::fs::read_to_string(room.path("report"))?;
    for fd in 0..3 {
        ensure!(
            report.contains(&format!("fd {fd} size 33x99\n")),
            "{report}"
        );
    }
    for line in ["in the foreground true", "leads session true, group true"] {
        ensure!(
            report.lines().any(|found| found == line),
            "no {line:?} in\n{report}"
        );
    }
    // No other descriptor than the three is open: neither a master nor tracer's own.
    let others = report
        .lines()
        .filter(|line| line.starts_with("fd ") && !line.contains(" size "));
    let alone = outline::alone(&room, "0", &[], &Ok)?;
    let expected = alone
        .lines
        .iter()
        .filter(|line| line.starts_with("fd ") && !line.contains(" size "));
    ensure!(
        others.clone().count() == expected.clone().count(),
        "{report}\n{:#?}",
        alone.lines
    );
    Ok(())
}

#[test]
fn the_terminal_is_raw_meanwhile_and_afterwards_as_before_however_it_ends() -> Result<()> {
    for (end, code) in [(Signal::TERM, 42), (Signal::KILL, 137)] {
        let room = Room::new()?;
        let mut pty = Pty::new(24, 80)?;
        let before = pty.settings()?;
        let (tracer, pid) = listening(&room, &pty)?;
        let workload =
            rustix::process::Pid::from_raw(pid).ok_or_else(|| anyhow::anyhow!("pid 0"))?;
        rustix::process::kill_process(workload, end)?;
        pty.watch_to_end(&tracer, PATIENCE)?;
        tracer.finish(PATIENCE)?.expect_code(code)?;
        same_settings(&before, &pty.settings()?)?;
    }
    Ok(())
}

#[test]
fn a_new_size_reaches_the_command_with_its_signal() -> Result<()> {
    let room = Room::new()?;
    let mut pty = Pty::new(24, 80)?;
    let (tracer, _) = listening(&room, &pty)?;
    for (rows, columns) in [(40, 120), (7, 13)] {
        pty.resize(rows, columns)?;
        until_got(&room, &format!("{} {rows}x{columns}", libc::SIGWINCH))?;
    }
    tracer.signal(Signal::TERM)?;
    pty.watch_to_end(&tracer, PATIENCE)?;
    tracer.finish(PATIENCE)?.expect_code(42)?;
    Ok(())
}

#[test]
fn keys_that_mean_signals_reach_the_command_and_not_tracer() -> Result<()> {
    let room = Room::new()?;
    let mut pty = Pty::new(24, 80)?;
    let (tracer, _) = listening(&room, &pty)?;
    pty.type_in(b"\x03")?;
    until_got(&room, "2 24x80")?;
    pty.type_in(b"\x1c")?;
    until_got(&room, "3 24x80")?;
    ensure!(!tracer.has_ended()?);
    tracer.signal(Signal::TERM)?;
    pty.watch_to_end(&tracer, PATIENCE)?;
    tracer.finish(PATIENCE)?.expect_code(42)?;
    Ok(())
}

#[test]
fn ctrl_c_is_recorded_as_an_interrupt() -> Result<()> {
    let room = Room::new()?;
    let mut pty = Pty::new(24, 80)?;
    let tracer = pty.spawn(with_pty(&room)?.observe("idle", &[])?)?;
    until_noted(&room, "ready")?;
    until_raw(&pty)?;
    pty.type_in(b"\x03")?;
    pty.watch_to_end(&tracer, PATIENCE)?;
    tracer.finish(PATIENCE)?.expect_code(130)?;
    let verdict = room.session()?.summary["verdict"].clone();
    ensure!(
        verdict["cause"] == "interrupt" && verdict["signal"] == "SIGINT",
        "{verdict}"
    );
    Ok(())
}

#[test]
fn what_is_typed_and_the_end_of_input_reach_the_command() -> Result<()> {
    let room = Room::new()?;
    let mut pty = Pty::new(24, 80)?;
    let shell = "echo ask; read one; echo \"<$one>\"; cat; echo done; exit 5";
    let tracer = pty.spawn(with_pty(&room)?.command(["sh", "-c", shell]))?;
    pty.wait_for_text("ask", PATIENCE)?;
    pty.type_in(b"some words\r")?;
    pty.wait_for_text("<some words>", PATIENCE)?;
    pty.type_in(b"more\r")?;
    pty.type_in(b"\x04")?;
    pty.wait_for_text("done", PATIENCE)?;
    pty.watch_to_end(&tracer, PATIENCE)?;
    tracer.finish(PATIENCE)?.expect_code(5)?;
    Ok(())
}

#[test]
fn not_a_byte_of_much_output_is_lost_at_the_end() -> Result<()> {
    let room = Room::new()?;
    let launch = with_pty(&room)?.command([
        "sh",
        "-c",
        "i=0; while test $i -lt 20000; do i=$((i+1)); echo line $i; done",
    ]);
    let end = launch.finish(PATIENCE)?.expect_code(0)?;
    let text = String::from_utf8_lossy(&end.stdout);
    let lines: Vec<_> = text.lines().collect();
    ensure!(
        lines.len() == 20_000,
        "{} lines, the last is {:?}",
        lines.len(),
        lines.last()
    );
    ensure!(
        lines
            .iter()
            .enumerate()
            .all(|(index, line)| *line == format!("line {}", index + 1))
    );
    Ok(())
}

#[test]
fn without_a_terminal_around_it_the_command_still_has_one() -> Result<()> {
    let room = Room::new()?;
    let launch =
        with_pty(&room)?.command(["sh", "-c", "test -t 0 && test -t 1 && test -t 2 && exit 9"]);
    launch.finish(PATIENCE)?.expect_code(9)?;
    let launch = room
        .tracer("run")?
        .args(["-q", "--pty"])
        .stdio(0, outline::pipe_with(b"hello\n")?);
    let end = launch
        .command(["sh", "-c", "read x; echo \"<$x>\""])
        .finish(PATIENCE)?
        .expect_code(0)?;
    ensure!(
        String::from_utf8_lossy(&end.stdout).contains("<hello>"),
        "{end:?}"
    );
    Ok(())
}

#[test]
fn a_shell_inside_has_job_control() -> Result<()> {
    let room = Room::new()?;
    let mut pty = Pty::new(24, 200)?;
    let launch = with_pty(&room)?.env("PS1", "READY> ");
    let tracer = pty.spawn(launch.command(["bash", "--norc", "--noprofile", "-i"]))?;
    let shown = pty.wait_for_text("READY> ", PATIENCE)?;
    ensure!(!shown.contains("no job control"), "{shown}");
    pty.type_in(format!("{}\r", place::fixture_text("idle")?).as_bytes())?;
    until_noted(&room, "ready")?;
    pty.type_in(b"\x1a")?;
    pty.wait_for_text("Stopped", PATIENCE)?;
    pty.type_in(b"kill -9 %1; fg %1; echo code=$?\r")?;
    // The shell may have heard of the end before it comes to `fg`, and then says so.
    let shown = pty.wait_for_text("code=1", PATIENCE)?;
    if !shown.contains("fg: job has terminated") {
        pty.wait_for_text("code=137", PATIENCE)?;
    }
    pty.type_in(b"exit 4\r")?;
    pty.watch_to_end(&tracer, PATIENCE)?;
    tracer.finish(PATIENCE)?.expect_code(4)?;
    room.session()?.expect_complete()
}

#[test]
fn inside_script_it_works_as_at_a_desk() -> Result<()> {
    need::program("script", "bsdutils")?;
    let room = Room::new()?;
    let line = format!(
        "{} run -q --pty --state-dir {} -- {} {} 6",
        place::text(&place::tracer()?)?,
        place::text(&room.state())?,
        place::fixture_text("show_self")?,
        place::text(&room.path("report"))?
    );
    let end = room
        .program("script")
        .args(["-qefc", &line, "/dev/null"])
        .finish(PATIENCE)?;
    end.expect_code(6)?;
    let report = std::fs::read_to_string(room.path("report"))?;
    ensure!(report.contains("in the foreground true"), "{report}");
    Ok(())
}
