//! `--timeout`: the whole tree is ended, whoever its members are and whatever they do about it, the
//! command's own status is kept, and the record says who did it.

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tracer_tests::ended::{
    expect_decided_first, expect_nobody_left, expect_reasons, notes_on, until_listed, until_note,
};
use tracer_tests::launch::Launch;
use tracer_tests::need;
use tracer_tests::pty::Pty;
use tracer_tests::room::Room;
use tracer_tests::session::Session;
use tracer_tests::verdict::Expected;
use tracer_tests::wait::PATIENCE;

/// Every way to stay that a shell has: ignoring, forking while dying, being stopped, leaving session,
/// group and parents behind. Each says its pid in the file `$0`.
const UNRULY: &str = r#"
bash -c 'trap "" TERM; echo $$ >> "$0"; while :; do sleep 0.1; done' "$0" &
bash -c 'trap "(trap \"\" TERM; echo \$BASHPID >> \"$0\"; while :; do sleep 0.1; done) &" TERM
         echo $$ >> "$0"; while :; do sleep 0.1; done' "$0" &
bash -c 'echo $$ >> "$0"; kill -STOP $$; sleep 300' "$0" &
bash -c 'trap "" TERM; echo $$ >> "$0"; kill -STOP $$; while :; do sleep 0.1; done' "$0" &
( setsid bash -c 'echo $$ >> "$0"; (trap "" TERM; echo $BASHPID >> "$0"; exec sleep 301) & exit' "$0" & )
while :; do wait; sleep 0.1; done
"#;

fn run(room: &Room) -> Result<Launch> {
    Ok(room.run()?.args(["-q", "--require-trace"]))
}

/// Runs a shell text with these options.
fn shell(options: &[&str], text: &str, code: i32) -> Result<Session> {
    let room = Room::new()?;
    let launch = run(&room)?.args(options).command(["sh", "-c", text]);
    launch.finish(PATIENCE)?.expect_code(code)?;
    room.session()
}

#[test]
fn a_tree_that_does_all_it_can_to_stay_is_gone() -> Result<()> {
    let room = Room::new()?;
    let list = room.path("list");
    let options = ["--timeout", "3s", "--kill-after", "1h", "--expect", "bash"];
    let launch = run(&room)?.args(options).command(["bash", "-c", UNRULY]);
    let tracer = launch.arg(&list).spawn()?;
    until_listed(&list, 6)?;
    // The seventh is forked by one that was asked to end.
    let members = until_listed(&list, 7)?;
    tracer.signal(Signal::INT)?;
    tracer.finish(PATIENCE)?.expect_code(143)?;
    let session = room.session()?;
    expect_nobody_left(&session)?;
    expect_decided_first(&session)?;
    expect_reasons(&session, "timed_out", "infra_kill")?;
    for pid in members {
        session.exit_of(pid)?;
    }
    let words = ["tracer ended it after 3.0 s (--timeout): killed by SIGTERM"];
    Expected::killed("SIGTERM", "timeout", "outside", &words).of(&session)
}

#[test]
fn who_forks_faster_than_it_dies_is_gone_too() -> Result<()> {
    need::program("python3", "python3")?;
    // Each one makes the next and ends: nobody is there for long.
    let text = "import os, signal, time\n\
                signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
                if os.fork() == 0:\n\
                \x20   os.setsid()\n\
                \x20   while True:\n\
                \x20       if os.fork(): os._exit(0)\n\
                time.sleep(300)\n";
    let room = Room::new()?;
    let options = ["--timeout", "2s", "--kill-after", "100ms"];
    let launch = run(&room)?.args(options).command(["python3", "-c", text]);
    launch.finish(PATIENCE)?.expect_code(137)?;
    let session = room.session()?;
    ensure!(
        session.summary["completeness"]["alive"] == 0,
        "{:#}",
        session.summary
    );
    expect_reasons(&session, "timed_out", "infra_kill")
}

#[test]
fn the_status_is_the_commands_own_however_it_ends() -> Result<()> {
    let soon = ["--timeout", "200ms", "--kill-after", "100ms"];
    let plain = shell(&soon, "exec sleep 60", 143)?;
    let words = ["tracer ended it after 200 ms (--timeout): killed by SIGTERM"];
    Expected::killed("SIGTERM", "timeout", "outside", &words).of(&plain)?;
    let deaf = shell(&soon, "trap '' TERM; while :; do sleep 0.05; done", 137)?;
    let words = ["(--timeout): killed by SIGKILL, ", " after SIGTERM"];
    Expected::killed("SIGKILL", "timeout", "outside", &words).of(&deaf)?;
    let polite = shell(&soon, "trap 'exit 7' TERM; while :; do sleep 0.05; done", 7)?;
    let words = ["exited 7; tracer ended it after 200 ms (--timeout): it had got SIGTERM"];
    Expected::killed("", "timeout", "outside", &words)
        .likely()
        .of(&polite)?;
    let interrupted = shell(
        &["--timeout", "200ms", "--signal", "INT"],
        "exec sleep 60",
        130,
    )?;
    let words = ["(--timeout): killed by SIGINT"];
    Expected::killed("SIGINT", "timeout", "outside", &words).of(&interrupted)?;
    let killed = shell(
        &["--timeout", "200ms", "--signal", "9"],
        "exec sleep 60",
        137,
    )?;
    let words = ["(--timeout): killed by SIGKILL"];
    Expected::killed("SIGKILL", "timeout", "outside", &words).of(&killed)?;
    for session in [plain, deaf, polite, interrupted, killed] {
        expect_nobody_left(&session)?;
        expect_decided_first(&session)?;
        expect_reasons(&session, "timed_out", "infra_kill")?;
    }
    Ok(())
}

#[test]
fn a_stopped_process_is_continued_so_that_it_can_end_in_its_own_way() -> Result<()> {
    let text = "trap 'exit 9' TERM; kill -STOP $$; while :; do sleep 0.05; done";
    let session = shell(&["--timeout", "300ms", "--kill-after", "1h"], text, 9)?;
    expect_nobody_left(&session)
}

#[test]
fn a_deadline_longer_than_the_run_leaves_no_trace() -> Result<()> {
    let options = [
        "--timeout",
        "1h",
        "--idle-timeout",
        "1h",
        "--stale-timeout",
        "1h",
    ];
    let session = shell(&options, "exit 3", 3)?;
    ensure!(notes_on(&session, "ending").next().is_none());
    ensure!(notes_on(&session, "stall").next().is_none());
    expect_reasons(&session, "natural_exit", "natural_exit")?;
    ensure!(session.summary["verdict"]["cause"] == "error_exit");
    Ok(())
}

#[test]
fn a_deadline_of_ten_milliseconds_is_kept() -> Result<()> {
    for _ in 0..5 {
        let session = shell(&["--timeout", "10ms"], "exec sleep 60", 143)?;
        expect_nobody_left(&session)?;
        expect_reasons(&session, "timed_out", "infra_kill")?;
    }
    Ok(())
}

#[test]
fn whoever_asks_again_meanwhile_does_not_wait_for_the_grace_period() -> Result<()> {
    for signal in [Signal::INT, Signal::TERM] {
        let room = Room::new()?;
        let options = ["--timeout", "200ms", "--kill-after", "1h"];
        let text = "trap '' TERM INT; while :; do sleep 0.05; done";
        let launch = run(&room)?.args(options).command(["sh", "-c", text]);
        let tracer = launch.spawn()?;
        until_note(&room, &tracer, "ending")?;
        tracer.signal(signal)?;
        tracer.finish(PATIENCE)?.expect_code(137)?;
        let session = room.session()?;
        expect_nobody_left(&session)?;
        expect_reasons(&session, "timed_out", "infra_kill")?;
    }
    Ok(())
}

#[test]
fn a_command_that_the_user_stops_before_its_deadline_is_interrupted() -> Result<()> {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let room = Room::new()?;
        let launch = run(&room)?.args(["--timeout", "1h"]).observe("idle", &[])?;
        let tracer = launch.spawn()?;
        tracer_tests::check::until_noted(&room, "ready")?;
        tracer.signal(signal)?;
        tracer.finish(PATIENCE)?.expect_code(code)?;
        expect_reasons(&room.session()?, "interrupted", "not_applicable")?;
    }
    Ok(())
}

#[test]
fn who_is_killed_by_somebody_else_was_not_timed_out() -> Result<()> {
    let session = shell(&["--timeout", "1h"], "kill -KILL $$", 137)?;
    expect_reasons(&session, "natural_exit", "exception")
}

#[test]
fn with_a_terminal_of_its_own_it_is_ended_too_and_the_real_one_is_given_back() -> Result<()> {
    let room = Room::new()?;
    let mut pty = Pty::new(24, 80)?;
    let before = pty.settings()?;
    let text = "trap '' HUP; echo begun; while :; do sleep 0.05; done";
    let options = ["--pty", "--timeout", "500ms"];
    let launch = run(&room)?.args(options).command(["sh", "-c", text]);
    let tracer = pty.spawn(launch)?;
    pty.wait_for_text("begun", PATIENCE)?;
    pty.watch_to_end(&tracer, PATIENCE)?;
    tracer.finish(PATIENCE)?.expect_code(143)?;
    let after = pty.settings()?;
    ensure!(
        before.local_modes == after.local_modes,
        "{before:?}\n{after:?}"
    );
    let session = room.session()?;
    expect_nobody_left(&session)?;
    expect_reasons(&session, "timed_out", "infra_kill")
}

#[test]
fn the_first_process_of_a_pid_namespace_is_ended_with_all_in_it() -> Result<()> {
    need::program("unshare", "util-linux")?;
    // It ignores what it does not handle, and goes on when its child has ended.
    let text = "while :; do sleep 310 & wait; done";
    let room = Room::new()?;
    let options = ["--timeout", "500ms", "--kill-after", "200ms"];
    let command = ["unshare", "-pf", "--mount-proc", "sh", "-c", text];
    let end = run(&room)?
        .args(options)
        .command(command)
        .finish(PATIENCE)?;
    ensure!(end.code == Some(137) || end.code == Some(143), "{end:?}");
    let session = room.session()?;
    expect_nobody_left(&session)?;
    expect_reasons(&session, "timed_out", "infra_kill")
}

#[test]
fn without_tracing_the_tree_is_found_in_proc_and_that_is_said() -> Result<()> {
    let room = Room::new()?;
    let list = room.path("list");
    let options = ["--timeout", "3s", "--kill-after", "1h"];
    let launch = room.run()?.args(options).command(["bash", "-c", UNRULY]);
    let launch = launch.arg(&list);
    let tracer = launch
        .before_exec(tracer_tests::sys::drop_capabilities)
        .spawn()?;
    let members = until_listed(&list, 7)?;
    tracer.signal(Signal::INT)?;
    let end = tracer.finish(PATIENCE)?.expect_code(143)?;
    let end = end.expect_words(&["looked up in /proc, which is less sure"])?;
    for pid in members {
        ensure!(
            tracer_tests::proc::state(pid).is_none(),
            "{pid} is left: {}",
            end.stderr
        );
    }
    let session = room.session()?;
    expect_reasons(&session, "timed_out", "infra_kill")?;
    let verdict = &session.summary["verdict"];
    let sentence = verdict["sentence"].as_str().context("no sentence")?;
    ensure!(
        verdict["cause"] == "timeout" && verdict["confidence"] == "likely",
        "{verdict:#}"
    );
    ensure!(sentence.contains("the signal was not seen"), "{sentence}");
    Ok(())
}

#[test]
fn what_has_nothing_to_act_on_is_an_error_that_says_what_is_missing() -> Result<()> {
    for (options, word) in [
        (&["--kill-after", "1s"][..], "--kill-after"),
        (&["--signal", "INT"], "--signal"),
        (&["--on-idle", "end", "--timeout", "1s"], "--on-idle"),
        (&["--timeout", "1s", "--signal", "CONT"], "SIGCONT"),
        (&["--timeout", "0s"], "0"),
        (&["--timeout", "5"], "unit"),
    ] {
        let room = Room::without_kernel()?;
        let end = room
            .run()?
            .args(options)
            .command(["true"])
            .finish(PATIENCE)?;
        let end = end
            .expect_code(125)
            .with_context(|| format!("{options:?}"))?;
        end.expect_words(&[word])?;
        ensure!(room.session_folders()?.is_empty(), "nothing was begun");
    }
    Ok(())
}
