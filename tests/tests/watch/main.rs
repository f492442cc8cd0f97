//! `tracer watch`: tells once of what was left behind, again after a restart nothing, and of its end.

mod kinds;
mod reload;
mod scene;

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use scene::{Sleeper, alerts, decisions, mark, of_pid, told, watch};
use serde_json::Value;
use tracer_tests::place;
use tracer_tests::proc;
use tracer_tests::pty::Pty;
use tracer_tests::room::Room;
use tracer_tests::wait::{PATIENCE, wait_for};

#[test]
fn one_alert_none_from_the_next_watcher_and_one_recovery() -> Result<()> {
    let room = Room::without_kernel()?;
    let mut sleeper = Sleeper::called("restart")?;
    let pid = sleeper.pid()?;
    let first = watch(&room, "restart")?.spawn()?;
    wait_for("the alert", PATIENCE, || {
        Ok(first.stdout().contains("\"alert\"").then_some(()))
    })?;
    first.signal(Signal::TERM)?;
    let first = first.finish(PATIENCE)?.expect_code(0)?;
    let first = alerts(std::str::from_utf8(&first.stdout)?)?;
    ensure!(decisions(&first, pid) == ["alert"], "{first:#?}");
    let (_, alert) = of_pid(&first, pid)[0];
    let text = alert["text"].as_str().context("no text")?;
    for word in [
        "sleep",
        &pid.to_string(),
        &mark("restart"),
        "CPU time",
        "to end it: ",
    ] {
        ensure!(text.contains(word), "{text}");
    }
    // Killed, not ended: what it told is on disk all the same.
    let second = watch(&room, "restart")?.spawn()?;
    wait_for("its looks", PATIENCE, || {
        Ok(room.state().join("watch.json").exists().then_some(()))
    })?;
    second.signal(Signal::KILL)?;
    let second = second.finish(PATIENCE)?;
    ensure!(decisions(&alerts(std::str::from_utf8(&second.stdout)?)?, pid).is_empty());
    sleeper.end()?;
    let third = watch(&room, "restart")?
        .arg("--once")
        .finish(PATIENCE)?
        .expect_code(0)?;
    let third = alerts(std::str::from_utf8(&third.stdout)?)?;
    ensure!(decisions(&third, pid) == ["recovery"], "{third:#?}");
    ensure!(third[0]["key"] == alert["key"] && third[0]["labels"] == alert["labels"]);
    let fourth = watch(&room, "restart")?
        .arg("--once")
        .finish(PATIENCE)?
        .expect_code(0)?;
    ensure!(fourth.stdout.is_empty(), "{fourth:?}");
    Ok(())
}

#[test]
fn news_of_a_watcher_that_was_killed_are_told_once_more_and_not_twice() -> Result<()> {
    let room = Room::without_kernel()?;
    let sleeper = Sleeper::called("pending")?;
    let first = watch(&room, "pending")?.spawn()?;
    told(&first, sleeper.pid()?, &["alert"])?;
    first.signal(Signal::TERM)?;
    first.finish(PATIENCE)?.expect_code(0)?;
    // As it is on disk when the watcher is killed before the notifiers have the news.
    let file = room.state().join("watch.json");
    let mut state: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    ensure!(state["pending"] == Value::Array(vec![]), "{state:#}");
    state["pending"] = Value::Array(vec![state["open"][0]["alert"].clone()]);
    std::fs::write(&file, state.to_string())?;
    for wanted in [&["alert"][..], &[]] {
        let next = watch(&room, "pending")?.arg("--once").finish(PATIENCE)?;
        let next = alerts(std::str::from_utf8(&next.expect_code(0)?.stdout)?)?;
        ensure!(decisions(&next, sleeper.pid()?) == wanted, "{next:#?}");
    }
    Ok(())
}

#[test]
fn a_cooldown_that_is_over_is_told_again() -> Result<()> {
    let room = Room::without_kernel()?;
    let sleeper = Sleeper::called("again")?;
    let running = watch(&room, "again")?.args(["--cooldown-s", "1"]).spawn()?;
    wait_for("two realerts", PATIENCE, || {
        Ok((running.stdout().matches("\"realert\"").count() >= 2).then_some(()))
    })?;
    running.signal(Signal::TERM)?;
    let finished = running.finish(PATIENCE)?.expect_code(0)?;
    let found = alerts(std::str::from_utf8(&finished.stdout)?)?;
    let told = decisions(&found, sleeper.pid()?);
    ensure!(told[..3] == ["alert", "realert", "realert"], "{told:?}");
    Ok(())
}

#[test]
fn a_second_watcher_of_the_same_state_is_refused() -> Result<()> {
    let room = Room::without_kernel()?;
    let first = watch(&room, "twice")?.spawn()?;
    wait_for("the first", PATIENCE, || {
        Ok(room.state().join("watch.json").exists().then_some(()))
    })?;
    let second = watch(&room, "twice")?
        .arg("--once")
        .finish(PATIENCE)?
        .expect_code(125)?;
    second.expect_words(&["another tracer watch is at work"])?;
    first.signal(Signal::INT)?;
    first.finish(PATIENCE)?.expect_code(0)?;
    Ok(())
}

#[test]
fn what_a_killed_agent_left_is_told_with_its_session_and_its_terminal() -> Result<()> {
    let room = Room::new()?;
    let list = room.path("list");
    std::fs::write(&list, "")?;
    let pty = Pty::new(24, 80)?;
    // The agent starts a grandchild that moves to init, holds the terminal, and is not called pytest.
    let text = "( setsid sh -c 'echo $$ >> \"$0\"; exec sleep 321' \"$0\" <\"$1\" & )
                while [ ! -s \"$0\" ]; do sleep 0.01; done; kill -KILL $$";
    let launch = room
        .run()?
        .args(["--require-trace", "-q", "--label", "agent=a1"]);
    let launch = launch
        .command(["bash", "-c", text])
        .arg(&list)
        .arg(pty.slave_name()?);
    launch.finish(PATIENCE)?.expect_code(137)?;
    let pid: i32 = std::fs::read_to_string(&list)?.trim().parse()?;
    let watching = watch(&room, "nobody")?.spawn()?;
    wait_for("the alert", PATIENCE, || {
        Ok(watching.stdout().contains("\"alert\"").then_some(()))
    })?;
    let reaped = room.tracer("reap")?.stdio(0, Stdio::null()).args(["--all"]);
    reaped.finish(PATIENCE)?.expect_code(0)?;
    wait_for("the recovery", PATIENCE, || {
        Ok(watching.stdout().contains("\"recovery\"").then_some(()))
    })?;
    watching.signal(Signal::TERM)?;
    let finished = watching.finish(PATIENCE)?.expect_code(0)?;
    let found = alerts(std::str::from_utf8(&finished.stdout)?)?;
    ensure!(
        decisions(&found, pid) == ["alert", "recovery"],
        "{found:#?}"
    );
    let (_, alert) = of_pid(&found, pid)[0];
    ensure!(alert["labels"]["session_agent"] == "a1", "{alert:#}");
    let text = alert["text"].as_str().context("no text")?;
    let session = alert["labels"]["session"].as_str().context("no session")?;
    for word in [
        "left it behind",
        session,
        &pty.slave_name()?,
        "tracer reap --session",
    ] {
        ensure!(text.contains(word), "{text}");
    }
    ensure!(proc::state(pid).is_none_or(|state| state == 'Z'));
    Ok(())
}

/// What a watcher opens, as strace sees it.
fn opened(room: &Room, enable: bool) -> Result<Vec<String>> {
    let log = room.path("strace");
    let launch =
        room.program("strace")
            .args(["-f", "-qq", "-e", "trace=open,openat,openat2", "-o"]);
    let launch = launch
        .arg(&log)
        .arg(place::tracer()?)
        .args(["watch", "--once"]);
    let launch = launch.arg("--state-dir").arg(room.state());
    let launch = launch.arg("--bpffs").arg(room.path("no-bpffs"));
    let launch = if enable {
        launch.args(["--enable", "--age-min", "0", "--pattern", &mark("environ")])
    } else {
        launch
    };
    let finished = launch.finish(PATIENCE)?.expect_code(0)?;
    // With everything that an alert takes: who it is, and what it holds with whom.
    let told = alerts(std::str::from_utf8(&finished.stdout)?)?.len();
    ensure!(told == usize::from(enable), "{told} alerts");
    let text = std::fs::read_to_string(&log)?;
    Ok(text.lines().map(str::to_owned).collect())
}

#[test]
fn switched_off_it_opens_nothing_in_proc_and_never_environ() -> Result<()> {
    let room = Room::without_kernel()?;
    let off = opened(&room, false)?;
    // The C library asks for the bounds of the first thread's stack before anything of ours runs.
    let proc: Vec<&String> = off
        .iter()
        .filter(|line| line.contains("/proc") && !line.contains("\"/proc/self/maps\""))
        .collect();
    ensure!(proc.is_empty() && !room.state().exists(), "{proc:#?}");
    let sleeper = Sleeper::called("environ")?;
    let begun = proc::start_ticks(sleeper.pid()?)?;
    wait_for("it to be older than a second", PATIENCE, || {
        Ok((tracer_tests::sys::boot_ns() / 10_000_000 > begun + 200).then_some(()))
    })?;
    let on = opened(&room, true)?;
    for looked_at in ["cmdline", "fdinfo", "wchan"] {
        ensure!(
            on.iter().any(|line| line.contains(looked_at)),
            "{looked_at} was not looked at"
        );
    }
    ensure!(on.iter().all(|line| !line.contains("environ")));
    drop(sleeper);
    Ok(())
}

#[test]
fn a_value_of_the_environment_that_makes_no_sense_is_named_once() -> Result<()> {
    let room = Room::without_kernel()?;
    let launch = room.tracer("watch")?.env("TRACER_WATCH_AGE_MIN", "soon");
    let finished = launch.finish(PATIENCE)?.expect_code(0)?;
    let named = finished.stderr.matches("TRACER_WATCH_AGE_MIN").count();
    ensure!(named == 1, "{}", finished.stderr);
    finished.expect_words(&["\"soon\"", "60", "the watch is off"])?;
    Ok(())
}
