//! `--idle-timeout` and `--stale-timeout`: a command that does nothing, and one from which nothing comes.

use anyhow::{Result, ensure};
use tracer_tests::ended::{expect_nobody_left, expect_reasons, notes_on};
use tracer_tests::pty::Pty;
use tracer_tests::room::Room;
use tracer_tests::session::Session;
use tracer_tests::verdict::Expected;
use tracer_tests::wait::PATIENCE;

const SPIN: &str = "while :; do :; done";
/// A shell's own writing: nobody is started and nobody ends.
const TALK: &str = "while :; do echo x; done";

fn shell(options: &[&str], text: &str, code: i32) -> Result<Session> {
    let room = Room::new()?;
    let launch = room.run()?.args(["-q", "--require-trace"]).args(options);
    let launch = launch.command(["sh", "-c", text]);
    launch.finish(PATIENCE)?.expect_code(code)?;
    let session = room.session()?;
    expect_nobody_left(&session)?;
    Ok(session)
}

#[test]
fn a_command_that_does_nothing_is_idle() -> Result<()> {
    let session = shell(&["--idle-timeout", "300ms"], "exec sleep 60", 143)?;
    let words = ["tracer ended it after 300 ms without output or CPU time (--idle-timeout)"];
    Expected::killed("SIGTERM", "timeout", "outside", &words).of(&session)?;
    expect_reasons(&session, "idle_stall", "infra_kill")?;
    // Both are over at the same time; it does nothing at all, which says more.
    let both = ["--idle-timeout", "300ms", "--stale-timeout", "300ms"];
    expect_reasons(
        &shell(&both, "exec sleep 60", 143)?,
        "idle_stall",
        "infra_kill",
    )
}

#[test]
fn a_busy_command_from_which_nothing_comes_is_stale_and_not_idle() -> Result<()> {
    let both = ["--idle-timeout", "500ms", "--stale-timeout", "1500ms"];
    let session = shell(&both, SPIN, 143)?;
    let words = ["tracer ended it after 1.5 s without output (--stale-timeout)"];
    Expected::killed("SIGTERM", "timeout", "outside", &words).of(&session)?;
    expect_reasons(&session, "stale", "infra_kill")
}

#[test]
fn a_command_that_says_something_is_neither() -> Result<()> {
    let both = [
        "--idle-timeout",
        "500ms",
        "--stale-timeout",
        "500ms",
        "--timeout",
        "2s",
    ];
    expect_reasons(&shell(&both, TALK, 143)?, "timed_out", "infra_kill")?;
    // What comes out of many short-lived processes counts too.
    let text = "while :; do /bin/echo x; done";
    expect_reasons(&shell(&both, text, 143)?, "timed_out", "infra_kill")
}

#[test]
fn processes_that_come_and_go_are_no_idle_tree() -> Result<()> {
    let options = ["--idle-timeout", "1s", "--timeout", "3s", "--expect", "sh"];
    let text = "while :; do sleep 0.1; done";
    expect_reasons(&shell(&options, text, 143)?, "timed_out", "infra_kill")
}

#[test]
fn with_a_terminal_of_its_own_what_comes_out_of_it_counts() -> Result<()> {
    for (text, reason) in [
        // Into a file, not to the terminal.
        ("while :; do echo x > \"$0\"; done", "stale"),
        (TALK, "timed_out"),
    ] {
        let room = Room::new()?;
        let mut pty = Pty::new(24, 80)?;
        let options = ["-q", "--pty", "--stale-timeout", "500ms", "--timeout", "2s"];
        let launch = room.run()?.args(["--require-trace"]).args(options);
        let launch = launch.command(["sh", "-c", text]).arg(room.path("file"));
        let tracer = pty.spawn(launch)?;
        pty.watch_to_end(&tracer, PATIENCE)?;
        tracer.finish(PATIENCE)?.expect_code(143)?;
        expect_reasons(&room.session()?, reason, "infra_kill")?;
    }
    Ok(())
}

#[test]
fn a_stall_that_is_only_reported_is_told_once_and_ends_nothing() -> Result<()> {
    let room = Room::new()?;
    let options = ["--idle-timeout", "100ms", "--on-idle", "report"];
    let launch = room.run()?.args(["--require-trace"]).args(options);
    let end = launch
        .command(["sleep", "1"])
        .finish(PATIENCE)?
        .expect_code(0)?;
    let said = end
        .stderr
        .matches("no output and no CPU time for 100 ms")
        .count();
    ensure!(said == 1, "{}", end.stderr);
    let session = room.session()?;
    ensure!(notes_on(&session, "stall").count() == 1);
    ensure!(notes_on(&session, "ending").next().is_none());
    expect_reasons(&session, "natural_exit", "natural_exit")
}

#[test]
fn without_tracing_a_stall_is_seen_in_proc() -> Result<()> {
    let room = Room::new()?;
    let launch = room.run()?.args(["--idle-timeout", "300ms"]);
    let launch = launch.before_exec(tracer_tests::sys::drop_capabilities);
    launch
        .command(["sh", "-c", "sleep 60; true"])
        .finish(PATIENCE)?
        .expect_code(143)?;
    expect_reasons(&room.session()?, "idle_stall", "infra_kill")
}
