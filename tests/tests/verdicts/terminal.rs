//! Keys, hang-ups, leaders and parents.

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Signal, kill_process};
use tracer_tests::check::until_noted;
use tracer_tests::pty::Pty;
use tracer_tests::room::Room;
use tracer_tests::verdict::{Expected, again_and_again, on, pid};
use tracer_tests::wait::{PATIENCE, wait_for};
use tracer_tests::{need, place, proc};

use super::run;

#[test]
fn keys_typed_at_the_terminal_are_told() -> Result<()> {
    for (key, code, signal, words) in [
        (b"\x03", 130, "SIGINT", "Ctrl-C at "),
        (b"\x1c", 131, "SIGQUIT", "Ctrl-\\ at "),
    ] {
        for own in [true, false] {
            again_and_again(words, || {
                let room = Room::new()?;
                let mut pty = Pty::new(24, 80)?;
                let options: &[&str] = if own { &["--pty"] } else { &[] };
                let launch = run(&room)?.args(options).observe("mortal", &["wait"])?;
                let tracer = pty.spawn(launch)?;
                until_noted(&room, "ready")?;
                pty.type_in(key)?;
                pty.watch_to_end(&tracer, PATIENCE)?;
                tracer.finish(PATIENCE)?.expect_code(code)?;
                let expected = Expected::killed(signal, "interrupt", "kernel", &[]);
                Expected {
                    words: &[words],
                    ..expected
                }
                .of(&room.session()?)
            })?;
        }
    }
    Ok(())
}

#[test]
fn a_terminal_that_goes_away_names_who_closed_it() -> Result<()> {
    again_and_again("the master of script's terminal", || {
        let room = Room::new()?;
        let script = need::program("script", "bsdutils")?;
        let text = format!("exec '{}' wait", place::fixture_text("mortal")?);
        // script gives its command a session and a terminal of its own, and dies with its master.
        let launch = run(&room)?.arg("--").arg(script);
        let tracer = launch.args(["-qefc", &text, "/dev/null"]).spawn()?;
        let target: i32 = until_noted(&room, "ready")?.parse()?;
        let root = root_of(target, tracer.pid())?;
        kill_process(pid(root)?, Signal::KILL)?;
        tracer.finish(PATIENCE)?.expect_code(137)?;
        let session = room.session()?;
        let closed = format!("its terminal went away: script (pid {root},");
        let words = [closed.as_str(), "closed it by ending"];
        Expected::killed("SIGHUP", "hangup", "wrapper", &words).of(&session)
    })
}

/// The child of tracer that `pid` descends from.
fn root_of(pid: i32, tracer: i32) -> Result<i32> {
    wait_for("the root", PATIENCE, || {
        let below = proc::descendants(tracer);
        ensure!(below.contains(&pid), "{pid} is not below tracer: {below:?}");
        Ok(below.first().copied())
    })
}

#[test]
fn who_holds_the_master_and_closes_it_is_named() -> Result<()> {
    again_and_again("the master is closed", || {
        let room = Room::new()?;
        let pty = Pty::new(24, 80)?;
        let slave = pty.slave_name()?;
        // The workload is the leader of a session on that terminal.
        let setsid = need::program("setsid", "util-linux")?;
        let text = format!(
            "exec {} -c bash -c 'exec \"$0\" wait' \"$0\" < {slave}",
            setsid.display()
        );
        let launch = run(&room)?.args(["--expect", "mortal"]);
        let launch = launch.command(["bash", "-c", &text]);
        let tracer = launch.arg(place::fixture("mortal")?).spawn()?;
        until_noted(&room, "ready")?;
        drop(pty);
        tracer.finish(PATIENCE)?.expect_code(129)?;
        let session = room.session()?;
        let closed = format!("(pid {},", std::process::id());
        let words = ["its terminal went away: ", closed.as_str(), "closed it"];
        Expected::killed("SIGHUP", "hangup", "outside", &words).of(&session)
    })
}

#[test]
fn the_death_of_a_session_leader_takes_its_group_along() -> Result<()> {
    again_and_again("the session's leader ends", || {
        let room = Room::new()?;
        let pty = Pty::new(24, 80)?;
        let slave = pty.slave_name()?;
        let go = room.path("go");
        let setsid = need::program("setsid", "util-linux")?;
        // The leader goes when it is told to; its child is in the foreground group.
        let text = format!(
            "{} -c bash -c '\"$0\" wait & while ! [ -e \"$1\" ]; do sleep 0.02; done; exit 5' \
             \"$0\" \"$1\" < {slave}; sleep 0.1; while kill -0 $(cat \"$2\") 2>/dev/null; do \
             sleep 0.02; done; exit 7",
            setsid.display()
        );
        let launch = run(&room)?.args(["--expect", "mortal"]);
        let launch = launch.command(["bash", "-c", &text]);
        let launch = launch.arg(place::fixture("mortal")?).arg(&go);
        let tracer = launch.arg(room.path("pid")).spawn()?;
        let target = until_noted(&room, "ready")?;
        std::fs::write(room.path("pid"), &target)?;
        std::fs::write(&go, "")?;
        tracer.finish(PATIENCE)?.expect_code(7)?;
        let words = ["its session leader bash (pid ", "ended"];
        Expected::killed("SIGHUP", "hangup", "wrapper", &words).of(&room.session()?)?;
        drop(pty);
        Ok(())
    })
}

#[test]
fn a_parents_death_is_followed_by_who_asked_for_it() -> Result<()> {
    again_and_again("PDEATHSIG", || {
        let room = Room::new()?;
        let go = room.path("go");
        let text = "\"$0\" follow & while ! [ -e \"$1\" ]; do sleep 0.02; done; exit 7";
        let launch = run(&room)?.args(["--expect", "mortal"]);
        let launch = launch.command(["bash", "-c", text]);
        let tracer = launch.arg(place::fixture("mortal")?).arg(&go).spawn()?;
        until_noted(&room, "ready")?;
        std::fs::write(&go, "")?;
        tracer.finish(PATIENCE)?.expect_code(7)?;
        let words = ["because its parent bash (pid ", "PR_SET_PDEATHSIG"];
        Expected::killed("SIGTERM", "parent_death", "wrapper", &words).of(&room.session()?)
    })
}

#[test]
fn the_first_process_of_a_namespace_takes_all_along() -> Result<()> {
    again_and_again("the init of a pid namespace is killed", || {
        let room = Room::new()?;
        let unshare = need::program("unshare", "util-linux")?;
        let text = "\"$0\" wait & wait";
        let launch = run(&room)?
            .args(["--expect", "mortal"])
            .arg("--")
            .arg(unshare);
        let launch = launch.args(["--pid", "--fork", "--mount-proc", "bash", "-c", text]);
        let tracer = launch.arg(place::fixture("mortal")?).spawn()?;
        until_noted(&room, "ready")?;
        let init = wait_for("the first process", PATIENCE, || {
            Ok(proc::descendants(tracer.pid())
                .into_iter()
                .find(|&pid| proc::comm(pid).is_ok_and(|comm| comm == "bash")))
        })?;
        kill_process(pid(init)?, Signal::KILL)?;
        tracer.finish(PATIENCE)?;
        let session = room.session()?;
        let words = [
            "killed by SIGKILL: bash (pid ",
            "the first process of its pid namespace, ended",
        ];
        Expected::killed("SIGKILL", "killed", "wrapper", &words).of(&session)?;
        let verdict = on(&room, &session, init)?;
        let killer = verdict["killer"]["pid"].as_u64().context("no killer")?;
        ensure!(killer == u64::from(std::process::id()), "{verdict}");
        Ok(())
    })
}
