//! What outlives the command: ended with `--end-leftovers`, named without, never waited for.

use std::io::Read as _;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;
use tracer_tests::ended::{
    expect_decided_first, expect_nobody_left, expect_reasons, notes_on, until_listed,
};
use tracer_tests::launch::Launch;
use tracer_tests::proc;
use tracer_tests::room::Room;
use tracer_tests::session::Session;
use tracer_tests::wait::{PATIENCE, wait_for};

fn run(room: &Room) -> Result<Launch> {
    Ok(room.run()?.args(["--require-trace"]))
}

/// The only leftover that the summary names.
fn the_leftover(session: &Session) -> Result<&Value> {
    let all = session.summary["leftovers"]
        .as_array()
        .context("no leftovers")?;
    ensure!(all.len() == 1, "one expected: {all:#?}");
    Ok(&all[0])
}

/// Ends a leftover that a test made, if it is still the one that the summary names.
fn end(left: &Value) -> Result<()> {
    let pid = i32::try_from(left["pid"].as_i64().context("no pid")?)?;
    if let Ok(pidfd) = pidfd_open(Pid::from_raw(pid).context("pid 0")?, PidfdFlags::empty())
        && proc::start_ticks(pid).ok() == left["starttime_ticks"].as_u64()
    {
        // It may have ended by itself.
        let _ = pidfd_send_signal(pidfd, Signal::KILL);
    }
    Ok(())
}

#[test]
fn without_the_option_it_is_named_and_lives_on() -> Result<()> {
    let room = Room::new()?;
    let text = "setsid sleep 304 &
                while [ \"$(cat /proc/$!/comm)\" != sleep ]; do sleep 0.01; done; exit 5";
    let launch = run(&room)?.command(["sh", "-c", text]);
    let finished = launch.finish(PATIENCE)?.expect_code(5)?;
    let session = room.session()?;
    let left = the_leftover(&session)?.clone();
    let pid = i32::try_from(left["pid"].as_i64().context("no pid")?)?;
    let parent = proc::status_line(pid, "PPid");
    end(&left)?;
    finished.expect_words(&[&format!("left behind sleep (pid {pid}, \"sleep 304\")")])?;
    ensure!(
        left["comm"] == "sleep" && left["cmdline"] == "sleep 304",
        "{left}"
    );
    ensure!(
        left["holds"] == Value::Array(vec![]) && left["refused"] == Value::Null,
        "{left}"
    );
    ensure!(
        session.summary["completeness"]["alive"] == 1,
        "{:#}",
        session.summary
    );
    let observer = session.journal[0].value["observer"]["pid"].to_string();
    ensure!(
        parent?.trim() != observer,
        "tracer has ended and cannot be its parent"
    );
    expect_reasons(&session, "natural_exit", "natural_exit")
}

#[test]
fn with_the_option_it_is_ended_and_the_commands_code_is_kept() -> Result<()> {
    let room = Room::new()?;
    let list = room.path("list");
    // Deaf, in a session of its own, without a parent; and an ordinary one.
    let text = "( setsid sh -c 'trap \"\" TERM; echo $$ >> \"$0\"; while :; do sleep 0.05; done' \"$0\" & )
                sh -c 'echo $$ >> \"$0\"; exec sleep 305' \"$0\" &
                while [ \"$(wc -l < \"$0\")\" != 2 ]; do sleep 0.01; done; exit 5";
    std::fs::write(&list, "")?;
    let options = [
        "-q",
        "--end-leftovers",
        "--kill-after",
        "200ms",
        "--expect",
        "bash",
    ];
    let launch = run(&room)?
        .args(options)
        .command(["bash", "-c", text])
        .arg(&list);
    launch.finish(PATIENCE)?.expect_code(5)?;
    let session = room.session()?;
    expect_nobody_left(&session)?;
    let note = expect_decided_first(&session)?;
    ensure!(
        note.value["data"]["reason"] == "leftovers",
        "{}",
        note.value
    );
    let [deaf, plain] = until_listed(&list, 2)?[..] else {
        anyhow::bail!("two leftovers expected");
    };
    let signals = [deaf, plain].map(|pid| {
        session
            .exit_of(pid)
            .map(|exit| exit.value["signal"].clone())
    });
    let mut signals = signals.into_iter().collect::<Result<Vec<_>>>()?;
    signals.sort_by_key(Value::to_string);
    ensure!(signals == ["SIGKILL", "SIGTERM"], "{signals:?}");
    ensure!(
        session.summary["leftovers"] == Value::Array(vec![]),
        "{:#}",
        session.summary
    );
    ensure!(session.summary["exit_code"] == 5, "{:#}", session.summary);
    expect_reasons(&session, "natural_exit", "kill_after_completion")
}

#[test]
fn where_nothing_is_left_nothing_is_said() -> Result<()> {
    let room = Room::new()?;
    let launch = run(&room)?.args(["-q", "--end-leftovers"]);
    launch
        .command(["sh", "-c", "sleep 0.01 & wait"])
        .finish(PATIENCE)?
        .expect_code(0)?;
    let session = room.session()?;
    ensure!(notes_on(&session, "ending").next().is_none());
    expect_reasons(&session, "natural_exit", "natural_exit")
}

#[test]
fn who_holds_a_pipe_is_named_and_does_not_hold_up_the_run() -> Result<()> {
    let room = Room::new()?;
    let (mut read, write) = std::io::pipe()?;
    let launch = run(&room)?.stdio(1, Stdio::from(write));
    let launch = launch.command(["sh", "-c", "echo said; sleep 306 2>/dev/null & exit 0"]);
    // Ends although whoever reads the pipe still waits for its end.
    let finished = launch.finish(PATIENCE)?.expect_code(0)?;
    let session = room.session()?;
    let left = the_leftover(&session)?.clone();
    end(&left)?;
    ensure!(left["holds"] == serde_json::json!(["stdout"]), "{left}");
    finished.expect_words(&["still holds standard output"])?;
    let mut text = String::new();
    read.read_to_string(&mut text)?;
    ensure!(text == "said\n", "{text:?}");
    Ok(())
}

#[test]
fn orphans_come_to_tracer_and_are_reaped_while_the_command_runs() -> Result<()> {
    let room = Room::new()?;
    let (list, go) = (room.path("list"), room.path("go"));
    let text = "i=0; while [ $i -lt 20 ]; do (sh -c 'sleep 0.2; sed -n s/PPid:.//p /proc/$$/status >> \"$0\"' \"$0\" &); i=$((i+1)); done
                while ! [ -e \"$1\" ]; do sleep 0.01; done; exit 3";
    let launch = run(&room)?
        .args(["-q", "--expect", "bash"])
        .command(["bash", "-c", text]);
    let tracer = launch.arg(&list).arg(&go).spawn()?;
    let parents = until_listed(&list, 20)?;
    ensure!(
        parents.iter().all(|&parent| parent == tracer.pid()),
        "{parents:?}"
    );
    wait_for("the orphans' end", PATIENCE, || {
        let below = proc::descendants(tracer.pid());
        let zombies = below.iter().filter(|&&pid| proc::state(pid) == Some('Z'));
        Ok((zombies.count() == 0 && below.len() <= 2).then_some(()))
    })?;
    std::fs::write(&go, "")?;
    tracer.finish(PATIENCE)?.expect_code(3)?;
    expect_nobody_left(&room.session()?)
}

#[test]
fn a_command_line_of_a_leftover_is_redacted_like_any_other() -> Result<()> {
    let room = Room::new()?;
    let text = "sh -c 'while :; do sleep 0.05; done' x --password=hunter2 & exit 0";
    let launch = run(&room)?
        .args(["--end-leftovers"])
        .command(["bash", "-c", text]);
    let ended = launch.finish(PATIENCE)?.expect_code(0)?;
    ensure!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    let named = Room::new()?;
    let launch = run(&named)?.command(["bash", "-c", text]);
    let finished = launch.finish(PATIENCE)?.expect_code(0)?;
    let session = named.session()?;
    for left in session.summary["leftovers"]
        .as_array()
        .into_iter()
        .flatten()
    {
        end(left)?;
    }
    ensure!(!finished.stderr.contains("hunter2"), "{}", finished.stderr);
    let text = std::fs::read_to_string(session.folder.join("summary.json"))?;
    ensure!(!text.contains("hunter2"), "{text}");
    Ok(())
}
