//! Signals that somebody sent: by whom, from where, by which call.

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tracer_tests::cgroup::Cgroup;
use tracer_tests::check::until_noted;
use tracer_tests::launch::Running;
use tracer_tests::room::Room;
use tracer_tests::verdict::{Expected, again_and_again, by_timer, on, pid};
use tracer_tests::wait::{PATIENCE, wait_for};
use tracer_tests::{place, proc, sys};

use super::{run, shell, waiting};

/// One that leaves at once sends `signal` in this way.
fn from_sender(how: &str, signal: i32, name: &str) -> Result<()> {
    let room = Room::new()?;
    // tracer shares a group with what waits; a group of the target's own is what is meant.
    let act = if how == "killpg" { "group" } else { "wait" };
    let (tracer, target) = waiting(&room, &[act])?;
    let (to, number) = (target.to_string(), signal.to_string());
    let sender = room.fixture("sender")?.args([how, &to, &number]);
    sender.finish(PATIENCE)?.expect_code(0)?;
    tracer.finish(PATIENCE)?.expect_code(128 + signal)?;
    let session = room.session()?;
    let from = until_noted(&room, "sender")?;
    let words = format!("killed by {name} from sender (pid {from}, \"");
    let started = format!("started by {} {}", own_comm()?, sys::getpid());
    let words = [&words, how, &started, "uid 0", "outside the tree)"];
    Expected::killed(name, "killed", "outside", &words).of(&session)?;
    let killer = &session.summary["verdict"]["killer"];
    let from: u64 = from.parse()?;
    ensure!(killer["pid"] == from, "{killer}");
    ensure!(killer["comm"] == "sender", "{killer}");
    Ok(())
}

fn own_comm() -> Result<String> {
    proc::comm(sys::getpid())
}

#[test]
fn a_sender_that_is_gone_at_once_is_known_by_every_way_to_send() -> Result<()> {
    for how in ["kill", "tgkill", "pidfd", "killpg", "sigqueue"] {
        for (signal, name) in [
            (libc::SIGTERM, "SIGTERM"),
            (libc::SIGKILL, "SIGKILL"),
            (libc::SIGINT, "SIGINT"),
            (libc::SIGHUP, "SIGHUP"),
        ] {
            again_and_again(&format!("{how} {name}"), || from_sender(how, signal, name))?;
        }
    }
    Ok(())
}

#[test]
fn a_sender_in_another_pid_namespace_is_known() -> Result<()> {
    again_and_again("from outside into a namespace", || {
        let room = Room::new()?;
        let unshare = tracer_tests::need::program("unshare", "util-linux")?;
        let launch = run(&room)?
            .args(["--expect", "mortal"])
            .arg("--")
            .arg(unshare);
        let launch = launch.args([
            "--pid",
            "--fork",
            "bash",
            "-c",
            "\"$0\" wait & wait; exit 0",
        ]);
        let tracer = launch.arg(place::fixture("mortal")?).spawn()?;
        until_noted(&room, "ready")?;
        let target = below(&tracer, "mortal")?;
        let sender = room
            .fixture("sender")?
            .args(["kill", &target.to_string(), "15"]);
        sender.finish(PATIENCE)?.expect_code(0)?;
        tracer.finish(PATIENCE)?.expect_code(0)?;
        let from = until_noted(&room, "sender")?;
        let words = format!("killed by SIGTERM from sender (pid {from}, \"");
        Expected::killed("SIGTERM", "killed", "outside", &[&words]).of(&room.session()?)
    })?;
    again_and_again("from within a namespace", || {
        let room = Room::new()?;
        let folder = Cgroup::unified(&room)?;
        let (tracer, target) = waiting(&room, &["wait"])?;
        folder.join(target)?;
        let sender = room.fixture("sender")?.arg("cgroup-from-namespace");
        sender.arg(folder.path()).finish(PATIENCE)?.expect_code(0)?;
        tracer.finish(PATIENCE)?.expect_code(137)?;
        let from = until_noted(&room, "sender")?;
        let words = format!("killed by SIGKILL from sender (pid {from}, \"");
        let words = [words.as_str(), "started by sender "];
        Expected::killed("SIGKILL", "killed", "outside", &words).of(&room.session()?)
    })
}

#[test]
fn a_sender_that_a_namespace_hides_is_said_to_be_hidden() -> Result<()> {
    again_and_again("from outside the observer's namespace", || {
        let room = Room::new()?;
        let unshare = tracer_tests::need::program("unshare", "util-linux")?;
        let launch = room
            .program(unshare)
            .args(["--pid", "--fork", "--mount-proc"]);
        let launch = launch.arg(place::tracer()?).args(["run", "--state-dir"]);
        let launch = launch
            .arg(room.state())
            .args(["-q", "--require-trace", "--"]);
        let tracer = launch.arg(place::fixture("mortal")?).arg("wait").spawn()?;
        until_noted(&room, "ready")?;
        let target = below(&tracer, "mortal")?;
        let sender = room
            .fixture("sender")?
            .args(["kill", &target.to_string(), "9"]);
        sender.finish(PATIENCE)?.expect_code(0)?;
        tracer.finish(PATIENCE)?.expect_code(137)?;
        let session = room.session()?;
        let words = ["killed by SIGKILL from sender (hidden by a pid namespace, \""];
        Expected::killed("SIGKILL", "killed", "unknown", &words).of(&session)?;
        ensure!(session.summary["verdict"]["killer"]["pid"].is_null());
        Ok(())
    })
}

/// The process of that name below a running program.
pub(crate) fn below(program: &Running, name: &str) -> Result<i32> {
    wait_for(name, PATIENCE, || {
        Ok(proc::descendants(program.pid())
            .into_iter()
            .find(|&pid| proc::comm(pid).is_ok_and(|comm| comm == name)))
    })
}

#[test]
fn cgroup_kill_leads_to_the_writer() -> Result<()> {
    again_and_again("cgroup.kill", || {
        let room = Room::new()?;
        let folder = Cgroup::unified(&room)?;
        let (tracer, target) = waiting(&room, &["wait"])?;
        folder.join(target)?;
        let sender = room.fixture("sender")?.arg("cgroup").arg(folder.path());
        sender.finish(PATIENCE)?.expect_code(0)?;
        tracer.finish(PATIENCE)?.expect_code(137)?;
        let words = ["killed by SIGKILL from sender (pid ", "through cgroup.kill"];
        Expected::killed("SIGKILL", "killed", "outside", &words).of(&room.session()?)
    })
}

#[test]
fn a_helper_that_finds_its_sibling_by_name_and_kills_it_is_found_out() -> Result<()> {
    again_and_again("pkill in the tree", || {
        let room = Room::new()?;
        let victim = room.path("my-server");
        std::fs::copy(place::fixture("mortal")?, &victim)?;
        let pkill = tracer_tests::need::program("pkill", "procps")?;
        // By its whole path in the room: nobody else's process can have that.
        let text = format!(
            "'{0}' wait & while ! grep -q ready \"$TRUTH_LOG\" 2>/dev/null; do sleep 0.01; done; \
             {1} -KILL -f '^{0} wait$'; wait $!",
            victim.display(),
            pkill.display()
        );
        let launch = run(&room)?.args(["--expect", "my-server"]);
        let launch = launch.command(["sh", "-c", &text]);
        launch.finish(PATIENCE)?.expect_code(137)?;
        let session = room.session()?;
        let words = [
            "killed by SIGKILL from pkill (pid ",
            "pkill -KILL -f",
            "started by sh ",
        ];
        Expected::killed("SIGKILL", "killed", "sibling", &words).of(&session)
    })
}

#[test]
fn killers_of_the_tree_are_placed() -> Result<()> {
    again_and_again("self", || {
        let room = Room::new()?;
        let session = shell(&room, &[], "kill -9 $$", 137)?;
        Expected::killed("SIGKILL", "killed", "self", &["from itself"]).of(&session)
    })?;
    again_and_again("descendant, also when its parent has left", || {
        let room = Room::new()?;
        // The middle one leaves, so that the killer is nobody's child any more.
        let text = "(bash -c 'kill -TERM '$$ & ); while :; do sleep 0.1; done";
        let session = shell(&room, &["--expect", "bash"], text, 143)?;
        let words = ["below it)"];
        Expected::killed("SIGTERM", "killed", "descendant", &words).of(&session)
    })?;
    again_and_again("wrapper", || {
        let room = Room::new()?;
        let text = "\"$0\" wait & while ! grep -q ready \"$TRUTH_LOG\" 2>/dev/null; do sleep 0.01; \
                    done; kill -USR1 $!; wait $!";
        let session = shell(&room, &["--expect", "mortal"], text, 138)?;
        let words = ["its wrapper)", "started by tracer "];
        Expected::killed("SIGUSR1", "killed", "wrapper", &words).of(&session)
    })
}

#[test]
fn a_killer_above_is_an_ancestor() -> Result<()> {
    again_and_again("ancestor", || {
        let text = "bash -c 'while :; do sleep 0.1; done' & kill -KILL $!; wait $!; exit 0";
        let room = Room::new()?;
        let session = shell(&room, &["--expect", "bash"], text, 0)?;
        let killed = session
            .of_kind("exit")
            .find(|exit| exit.text("signal") == "SIGKILL")
            .context("nobody was killed")?;
        let verdict = on(&room, &session, killed.small("pid")?)?;
        // The workload is the outer shell itself.
        Expected::killed("SIGKILL", "killed", "ancestor", &["above it)"]).check(&verdict, &session)
    })
}

#[test]
fn a_wrapper_that_is_killed_is_not_its_workloads_end() -> Result<()> {
    again_and_again("SIGKILL for the wrapper", || {
        let room = Room::new()?;
        let launch = run(&room)?.args(["--expect", "mortal"]);
        let launch = launch.command(["bash", "-c", "\"$0\" wait; exit 5"]);
        let tracer = launch.arg(place::fixture("mortal")?).spawn()?;
        let target: i32 = until_noted(&room, "ready")?.parse()?;
        let root = below(&tracer, "bash")?;
        rustix::process::kill_process(pid(root)?, Signal::KILL)?;
        tracer.finish(PATIENCE)?.expect_code(137)?;
        let session = room.session()?;
        let told = on(&room, &session, root)?;
        // Ours: it waits for ever.
        rustix::process::kill_process(pid(target)?, Signal::KILL)?;
        let own = format!(
            "killed by SIGKILL from {} (pid {}",
            own_comm()?,
            sys::getpid()
        );
        Expected::killed("SIGKILL", "killed", "outside", &[&own]).check(&told, &session)?;
        let verdict = &session.summary["verdict"];
        ensure!(verdict["outcome"] == "still_running", "{verdict:#}");
        Ok(())
    })
}

#[test]
fn what_tracer_passes_on_is_its_senders() -> Result<()> {
    again_and_again("passed on by tracer", || {
        let room = Room::new()?;
        let (tracer, _) = waiting(&room, &["wait"])?;
        let to = tracer.pid().to_string();
        let sender = room.fixture("sender")?.args(["kill", &to, "15"]);
        let sent = sender.finish(PATIENCE)?;
        sent.expect_code(0)?;
        tracer.finish(PATIENCE)?.expect_code(143)?;
        let from = until_noted(&room, "sender")?;
        let session = room.session()?;
        // It may be gone before tracer can ask for its name; never is tracer the killer.
        let words = format!("(pid {from}, ");
        let words = [words.as_str(), "passed on by tracer"];
        Expected::killed("SIGTERM", "killed", "outside", &words).of(&session)
    })
}

#[test]
fn a_wrapper_that_passes_a_signal_on_is_told_with_its_sender() -> Result<()> {
    again_and_again("timeout(1) passes on", || {
        let room = Room::new()?;
        let launch = run(&room)?.command(["timeout", "60"]);
        let launch = launch.arg(place::fixture("mortal")?).arg("wait");
        let tracer = launch.spawn()?;
        until_noted(&room, "ready")?;
        let root = below(&tracer, "timeout")?;
        // From its fork on it takes a moment until it knows whom to pass signals on to.
        wait_for("timeout to wait", PATIENCE, || {
            Ok((proc::state(root) == Some('S')).then_some(()))
        })?;
        rustix::process::kill_process(pid(root)?, Signal::TERM)?;
        tracer.finish(PATIENCE)?;
        let session = room.session()?;
        let own = format!("which had got SIGTERM from {}", own_comm()?);
        let words = ["killed by SIGTERM from timeout (pid ", own.as_str()];
        Expected::killed("SIGTERM", "killed", "wrapper", &words).of(&session)
    })
}

#[test]
fn timeout_ran_out_of_time() -> Result<()> {
    for (option, signal) in [
        ("TERM", "SIGTERM"),
        ("KILL", "SIGKILL"),
        ("USR1", "SIGUSR1"),
    ] {
        let words = ["timeout(1) ended it after ", ": killed by ", "its wrapper)"];
        let seen = Expected::killed(signal, "timeout", "wrapper", &words);
        let case = format!("timeout -s {option}");
        by_timer(&case, "SIGALRM", [seen, seen.likely()], || {
            let room = Room::new()?;
            let launch = run(&room)?.command(["timeout", "-s", option, "0.3", "sleep", "60"]);
            let code = if option == "KILL" { 137 } else { 124 };
            launch.finish(PATIENCE)?.expect_code(code)?;
            room.session()
        })?;
    }
    Ok(())
}

#[test]
fn a_program_that_is_only_called_timeout_is_not_believed() -> Result<()> {
    let room = Room::new()?;
    // It kills without a timer of its own.
    let fake = room.script(
        "timeout",
        "#!/bin/bash\n\"$1\" wait & \
         while ! grep -q ready \"$TRUTH_LOG\" 2>/dev/null; do sleep 0.01; done; kill $!; wait $!\n",
    )?;
    let launch = run(&room)?.args(["--expect", "mortal"]).arg("--").arg(fake);
    let launch = launch.arg(place::fixture("mortal")?);
    launch.finish(PATIENCE)?;
    let verdict = &room.session()?.summary["verdict"];
    ensure!(
        verdict["confidence"] != "certain" || verdict["cause"] == "killed",
        "{verdict}"
    );
    Ok(())
}
