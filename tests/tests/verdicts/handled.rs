//! Signals that a program handles: it leaves by itself, or ends itself the way it would have ended.

use anyhow::{Result, ensure};
use tracer_tests::check::until_noted;
use tracer_tests::pty::Pty;
use tracer_tests::room::Room;
use tracer_tests::session::Session;
use tracer_tests::verdict::{Expected, again_and_again};
use tracer_tests::wait::{PATIENCE, wait_for};

use super::run;

/// Runs a program at a terminal, types `keys` when it is ready (it appends to `$READY`), and waits for
/// tracer's end with `code`.
fn typed(words: &[&str], keys: &[u8], code: i32) -> Result<Session> {
    let room = Room::new()?;
    let mut pty = Pty::new(24, 80)?;
    let mut launch = run(&room)?.command(words);
    launch.raw().env("READY", room.path("ready"));
    let tracer = pty.spawn(launch)?;
    wait_for("the program", PATIENCE, || {
        Ok(room.path("ready").exists().then_some(()))
    })?;
    pty.type_in(keys)?;
    pty.watch_to_end(&tracer, PATIENCE)?;
    tracer.finish(PATIENCE)?.expect_code(code)?;
    room.session()
}

#[test]
fn a_key_that_a_program_handles_and_then_repeats_is_what_ended_it() -> Result<()> {
    let perl = "$SIG{INT} = sub { $SIG{INT} = 'DEFAULT'; kill 'INT', $$ }; \
                open my $f, '>', $ENV{READY}; close $f; sleep 1 while 1";
    // bash ends itself so when its child was interrupted, Python for KeyboardInterrupt.
    for words in [
        ["perl", "-e", perl],
        [
            "bash",
            "-c",
            "trap 'trap - INT; kill -INT $$' INT; : > \"$READY\"; while :; do sleep 0.05; done",
        ],
    ] {
        again_and_again(words[0], || {
            let session = typed(&words, b"\x03", 130)?;
            let words = ["Ctrl-C at its terminal; it handled that and sent itself SIGINT"];
            let expected = Expected::killed("SIGINT", "interrupt", "kernel", &words);
            expected.likely().of(&session)
        })?;
    }
    Ok(())
}

#[test]
fn a_key_that_a_program_handles_and_then_leaves_after_is_told() -> Result<()> {
    let text = |code| {
        format!(
            "$SIG{{INT}} = sub {{ exit {code} }}; open my $f, '>', $ENV{{READY}}; close $f; \
             sleep 1 while 1"
        )
    };
    for (code, words) in [
        (
            130,
            "exited 130 by choice, |after SIGINT, which did not kill it (Ctrl-C at its terminal)",
        ),
        (4, "exited 4; |before: Ctrl-C at its terminal"),
    ] {
        again_and_again(words, || {
            let session = typed(&["perl", "-e", &text(code)], b"\x03", code)?;
            let words: Vec<&str> = words.split('|').collect();
            Expected::killed("", "error_exit", "", &words).of(&session)
        })?;
    }
    Ok(())
}

#[test]
fn a_fault_whose_handler_sends_it_again_is_still_that_fault() -> Result<()> {
    again_and_again("report and crash", || {
        let room = Room::new()?;
        let session = super::mortal(&room, &["report-and-crash"], 139)?;
        let words = [
            "SIGSEGV in mortal",
            "an address that is not mapped; it handled that and sent itself SIGSEGV",
        ];
        Expected::killed("SIGSEGV", "fault", "self", &words).of(&session)
    })
}

#[test]
fn a_fault_that_is_only_sent_is_told_from_a_real_one() -> Result<()> {
    again_and_again("kill -SEGV $$", || {
        let room = Room::new()?;
        let session = super::shell(&room, &[], "kill -SEGV $$", 139)?;
        let words = ["SIGSEGV in bash", "it sent that to itself"];
        Expected::killed("SIGSEGV", "fault", "self", &words).of(&session)
    })?;
    again_and_again("kill -FPE by another", || {
        let room = Room::new()?;
        let (tracer, target) = super::waiting(&room, &["wait"])?;
        let sender = room.fixture("sender")?;
        let sender = sender.args(["kill", &target.to_string(), "8"]);
        sender.finish(PATIENCE)?.expect_code(0)?;
        tracer.finish(PATIENCE)?.expect_code(136)?;
        let words = ["killed by SIGFPE from sender (pid "];
        Expected::killed("SIGFPE", "killed", "outside", &words).of(&room.session()?)
    })
}

#[test]
fn a_terminal_that_goes_away_under_tracer_takes_the_command_along() -> Result<()> {
    for own in [true, false] {
        again_and_again("tracer leads the session", || {
            let room = Room::new()?;
            let pty = Pty::new(24, 80)?;
            let options: &[&str] = if own { &["--pty"] } else { &[] };
            let launch = run(&room)?.args(options).observe("mortal", &["wait"])?;
            let tracer = pty.spawn(launch)?;
            until_noted(&room, "ready")?;
            drop(pty);
            tracer.finish(PATIENCE)?.expect_code(129)?;
            let words = ["tracer's terminal went away, passed on by tracer"];
            Expected::killed("SIGHUP", "hangup", "kernel", &words).of(&room.session()?)
        })?;
    }
    Ok(())
}

#[test]
fn a_command_that_left_the_foreground_gets_the_keys_from_tracer() -> Result<()> {
    again_and_again("timeout(1) makes a group of its own", || {
        let room = Room::new()?;
        let mut pty = Pty::new(24, 80)?;
        let launch = run(&room)?.command(["timeout", "60"]);
        let launch = launch.arg(tracer_tests::place::fixture("mortal")?);
        let tracer = pty.spawn(launch.arg("wait"))?;
        until_noted(&room, "ready")?;
        let root = super::sent::below(&tracer, "timeout")?;
        // From its fork on it takes a moment until it knows whom to pass signals on to.
        wait_for("timeout to wait", PATIENCE, || {
            Ok((tracer_tests::proc::state(root) == Some('S')).then_some(()))
        })?;
        pty.type_in(b"\x03")?;
        pty.watch_to_end(&tracer, PATIENCE)?;
        tracer.finish(PATIENCE)?;
        let session = room.session()?;
        let verdict = &session.summary["verdict"];
        ensure!(verdict["signal"] == "SIGINT", "{verdict:#}");
        let sentence = verdict["sentence"].to_string();
        ensure!(sentence.contains("Ctrl-C at tracer's"), "{sentence}");
        Ok(())
    })
}
