//! What cannot be known is said to be unknown, and why.

use anyhow::{Result, ensure};
use rustix::process::{Signal, kill_process};
use tracer_tests::check::{started, until_armed, until_noted, while_stopped};
use tracer_tests::room::Room;
use tracer_tests::verdict::{Expected, again_and_again, pid};
use tracer_tests::wait::{PATIENCE, wait_for};

use super::memory::Cgroup;
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

#[test]
fn events_that_were_lost_between_signal_and_end_lower_the_confidence() -> Result<()> {
    again_and_again("a full ring", || {
        let room = Room::new()?;
        let go = room.path("go");
        let storm = "while ! grep -q ready \"$TRUTH_LOG\" 2>/dev/null; do sleep 0.01; done; \
                     while ! [ -e \"$2\" ]; do sleep 0.01; done; \
                     kill -TERM $!; i=0; while [ $i -lt 700 ]; do /bin/true; i=$((i+1)); done; \
                     touch \"$1\"; wait $!; code=$?; touch \"$3\"; exit $code";
        let text = format!("\"$0\" block \"$1\" & {storm}");
        let launch = run(&room)?.args(["--expect", "mortal", "--ring-bytes", "65536"]);
        let launch = launch.command(["bash", "-c", &text]);
        let launch = launch.arg(tracer_tests::place::fixture("mortal")?).arg(&go);
        let (storm, done) = (room.path("storm"), room.path("done"));
        let tracer = launch.arg(&storm).arg(&done).spawn()?;
        let (folder, _) = until_armed(&room, &tracer)?;
        until_noted(&room, "ready")?;
        wait_for("the pin", PATIENCE, || {
            Ok(folder.join("enrollment.json").exists().then_some(()))
        })?;
        while_stopped(&tracer, || {
            std::fs::write(&storm, "")?;
            wait_for("the storm's end", PATIENCE, || {
                Ok(done.exists().then_some(()))
            })
        })?;
        tracer.finish(PATIENCE)?.expect_code(143)?;
        let session = room.session()?;
        ensure!(session.count("loss") > 0, "nothing was lost");
        let verdict = &session.summary["verdict"];
        ensure!(verdict["confidence"] != "certain", "{verdict:#}");
        let sentence = verdict["sentence"].to_string();
        // Its own end may be among what was lost.
        ensure!(
            sentence.contains("lost"),
            "the loss is not told: {sentence}"
        );
        Ok(())
    })
}
