//! What cannot be known is said to be unknown, and why.

use anyhow::{Result, ensure};
use rustix::process::{Signal, kill_process};
use tracer_tests::cgroup::Cgroup;
use tracer_tests::check::{started, until_armed, until_noted, while_stopped};
use tracer_tests::room::Room;
use tracer_tests::verdict::{Expected, again_and_again, pid};
use tracer_tests::wait::{PATIENCE, wait_for};

use super::run;

#[test]
fn a_process_that_was_dying_already_is_unknown() -> Result<()> {
    again_and_again("killed while frozen, then attached to", || {
        let room = Room::new()?;
        let freezer = Cgroup::of(&room, "freezer")?;
        let target = started(&room, "mortal", &["wait"])?;
        freezer.join(target.pid())?;
        freezer.set("freezer.state", "FROZEN")?;
        wait_for("the freeze", PATIENCE, || {
            let state = std::fs::read_to_string(freezer.path().join("freezer.state"))?;
            Ok((state.trim() == "FROZEN").then_some(()))
        })?;
        // It is dead from now on, and dies when it is let go.
        kill_process(pid(target.pid())?, Signal::KILL)?;
        let tracer = room.attach(target.pid())?.arg("-q").spawn()?;
        let armed = until_armed(&room, &tracer);
        freezer.set("freezer.state", "THAWED")?;
        armed?;
        let end = target.finish(PATIENCE)?;
        ensure!(end.signal == Some(9), "{end:?}");
        tracer.finish(PATIENCE)?.expect_code(0)?;
        let session = room.session()?;
        let words = ["unknown: it was already dying when tracing began"];
        let expected = Expected::killed("SIGKILL", "unknown", "", &words);
        Expected {
            confidence: "unknown",
            ..expected
        }
        .of(&session)
    })
}

#[test]
fn a_signal_that_was_sent_before_is_unknown() -> Result<()> {
    again_and_again("blocked and sent before the attach", || {
        let room = Room::new()?;
        let go = room.path("go");
        let target = started(&room, "mortal", &["block", &go.to_string_lossy()])?;
        kill_process(pid(target.pid())?, Signal::TERM)?;
        let tracer = room.attach(target.pid())?.arg("-q").spawn()?;
        until_armed(&room, &tracer)?;
        std::fs::write(&go, "")?;
        target.finish(PATIENCE)?;
        tracer.finish(PATIENCE)?.expect_code(0)?;
        let words = ["unknown: ended by SIGTERM, which was sent before tracing began"];
        let expected = Expected::killed("SIGTERM", "unknown", "", &words);
        Expected {
            confidence: "unknown",
            ..expected
        }
        .of(&room.session()?)
    })
}

/// Runs `mortal`, which blocks SIGTERM; sends that to it and then fills the ring of a tracer that is
/// stopped meanwhile. `dies_unseen`: it dies while tracer does not look.
fn with_a_full_ring(dies_unseen: bool) -> Result<tracer_tests::session::Session> {
    let room = Room::new()?;
    let [go, storm, done] = ["go", "storm", "done"].map(|name| room.path(name));
    let text = "\"$0\" block \"$1\" & \
                while ! grep -q ready \"$TRUTH_LOG\" 2>/dev/null; do sleep 0.01; done; \
                while ! [ -e \"$2\" ]; do sleep 0.01; done; \
                kill -TERM $!; i=0; while [ $i -lt 400 ]; do /bin/true; i=$((i+1)); done; \
                touch \"$3\"; wait $!; exit $?";
    let launch = run(&room)?.args(["--expect", "mortal", "--ring-bytes", "65536"]);
    let launch = launch.command(["bash", "-c", text]);
    let launch = launch.arg(tracer_tests::place::fixture("mortal")?);
    let tracer = launch.args([&go, &storm, &done]).spawn()?;
    let (folder, _) = until_armed(&room, &tracer)?;
    let target: i32 = until_noted(&room, "ready")?.parse()?;
    wait_for("the pin", PATIENCE, || {
        Ok(folder.join("enrollment.json").exists().then_some(()))
    })?;
    while_stopped(&tracer, || {
        std::fs::write(&storm, "")?;
        wait_for("the storm's end", PATIENCE, || {
            Ok(done.exists().then_some(()))
        })?;
        if dies_unseen {
            std::fs::write(&go, "")?;
            wait_for("its end", PATIENCE, || {
                Ok(tracer_tests::proc::state(target).is_none().then_some(()))
            })?;
        }
        Ok(())
    })?;
    if !dies_unseen {
        // What there was is taken; what comes now has room.
        wait_for("the ring to be taken", PATIENCE, || {
            let records = tracer_tests::journal::read_growing(&folder.join("journal.0.jsonl"))?;
            Ok(records
                .iter()
                .any(|record| record.kind == "signal" && record.int("signal").ok() == Some(15))
                .then_some(()))
        })?;
        std::fs::write(&go, "")?;
    }
    tracer.finish(PATIENCE)?.expect_code(143)?;
    let session = room.session()?;
    ensure!(session.count("loss") > 0, "nothing was lost");
    Ok(session)
}

#[test]
fn events_that_were_lost_between_signal_and_end_lower_the_confidence() -> Result<()> {
    again_and_again("a full ring", || {
        let session = with_a_full_ring(false)?;
        let words = [
            "killed by SIGTERM from bash (pid ",
            "events were lost meanwhile",
        ];
        let expected = Expected::killed("SIGTERM", "killed", "wrapper", &words);
        expected.likely().of(&session)
    })
}

#[test]
fn a_process_whose_end_may_be_lost_is_not_said_to_run() -> Result<()> {
    again_and_again("an end that nobody saw", || {
        let session = with_a_full_ring(true)?;
        let verdict = &session.summary["verdict"];
        ensure!(verdict["outcome"] != "still_running", "{verdict}");
        ensure!(verdict["confidence"] != "certain", "{verdict:#}");
        let sentence = verdict["sentence"].to_string();
        ensure!(sentence.contains("lost"), "{sentence}");
        Ok(())
    })
}
