//! Signals that wait, are refused, or are handled; stops.

use anyhow::{Result, ensure};
use rustix::process::{Signal, kill_process};
use tracer_tests::check::until_noted;
use tracer_tests::room::Room;
use tracer_tests::verdict::{Expected, again_and_again, pid};
use tracer_tests::wait::{PATIENCE, wait_for};

use super::waiting;

/// A sender of its own for each signal, so that they can be told apart. Gives its pid.
fn send(room: &Room, how: &str, to: i32, signal: i32) -> Result<i32> {
    let (to, signal) = (to.to_string(), signal.to_string());
    let sender = room.fixture("sender")?.args([how, &to, &signal]).spawn()?;
    let from = sender.pid();
    sender.finish(PATIENCE)?.expect_code(0)?;
    Ok(from)
}

#[test]
fn an_ignored_signal_is_not_what_killed() -> Result<()> {
    again_and_again("ignored, then killed", || {
        let room = Room::new()?;
        let (tracer, target) = waiting(&room, &["ignore"])?;
        send(&room, "kill", target, libc::SIGTERM)?;
        let killer = send(&room, "kill", target, libc::SIGHUP)?;
        tracer.finish(PATIENCE)?.expect_code(129)?;
        let words = format!("killed by SIGHUP from sender (pid {killer},");
        Expected::killed("SIGHUP", "killed", "outside", &[&words]).of(&room.session()?)
    })
}

#[test]
fn a_blocked_signal_kills_when_it_is_let_in() -> Result<()> {
    again_and_again("blocked, then unblocked", || {
        let room = Room::new()?;
        let go = room.path("go");
        let (tracer, target) = waiting(&room, &["block", &go.to_string_lossy()])?;
        let killer = send(&room, "kill", target, libc::SIGTERM)?;
        // One of a number is enough: this one is refused.
        send(&room, "kill", target, libc::SIGTERM)?;
        std::fs::write(&go, "")?;
        tracer.finish(PATIENCE)?.expect_code(143)?;
        let words = format!("killed by SIGTERM from sender (pid {killer},");
        Expected::killed("SIGTERM", "killed", "outside", &[&words]).of(&room.session()?)
    })
}

#[test]
fn a_signal_that_waits_is_not_what_killed_if_another_came_first() -> Result<()> {
    again_and_again("blocked, then another kills", || {
        let room = Room::new()?;
        let go = room.path("go");
        let (tracer, target) = waiting(&room, &["block", &go.to_string_lossy()])?;
        send(&room, "kill", target, libc::SIGTERM)?;
        let killer = send(&room, "kill", target, libc::SIGKILL)?;
        tracer.finish(PATIENCE)?.expect_code(137)?;
        let words = format!("killed by SIGKILL from sender (pid {killer},");
        Expected::killed("SIGKILL", "killed", "outside", &[&words]).of(&room.session()?)
    })
}

#[test]
fn of_two_that_wait_the_threads_own_goes_first() -> Result<()> {
    again_and_again("the process's, then the thread's", || {
        let room = Room::new()?;
        let go = room.path("go");
        let (tracer, target) = waiting(&room, &["block", &go.to_string_lossy()])?;
        send(&room, "kill", target, libc::SIGTERM)?;
        let killer = send(&room, "tgkill", target, libc::SIGTERM)?;
        std::fs::write(&go, "")?;
        tracer.finish(PATIENCE)?.expect_code(143)?;
        let words = format!("killed by SIGTERM from sender (pid {killer},");
        Expected::killed("SIGTERM", "killed", "outside", &[&words]).of(&room.session()?)
    })?;
    again_and_again("the thread's, then the process's", || {
        let room = Room::new()?;
        let go = room.path("go");
        let (tracer, target) = waiting(&room, &["block", &go.to_string_lossy()])?;
        let killer = send(&room, "tgkill", target, libc::SIGTERM)?;
        let other = send(&room, "kill", target, libc::SIGTERM)?;
        std::fs::write(&go, "")?;
        tracer.finish(PATIENCE)?.expect_code(143)?;
        let killer = format!("killed by SIGTERM from sender (pid {killer},");
        let other = format!("or from sender (pid {other},");
        let words = [killer.as_str(), other.as_str()];
        // The first might have been taken out meanwhile: nobody sees that.
        let expected = Expected::killed("SIGTERM", "killed", "outside", &words);
        expected.likely().of(&room.session()?)
    })
}

#[test]
fn a_handled_signal_is_not_what_killed() -> Result<()> {
    again_and_again("handled, then default", || {
        let room = Room::new()?;
        let go = room.path("go");
        let (tracer, target) = waiting(&room, &["shrug-once", &go.to_string_lossy()])?;
        send(&room, "tgkill", target, libc::SIGTERM)?;
        std::fs::write(&go, "")?;
        until_noted(&room, "default")?;
        let killer = send(&room, "kill", target, libc::SIGTERM)?;
        tracer.finish(PATIENCE)?.expect_code(143)?;
        let words = format!("killed by SIGTERM from sender (pid {killer},");
        Expected::killed("SIGTERM", "killed", "outside", &[&words]).of(&room.session()?)
    })
}

#[test]
fn who_exits_from_a_handler_was_not_killed() -> Result<()> {
    again_and_again("handler exits 143", || {
        let room = Room::new()?;
        let (tracer, target) = waiting(&room, &["handle"])?;
        let from = send(&room, "kill", target, libc::SIGTERM)?;
        tracer.finish(PATIENCE)?.expect_code(143)?;
        let session = room.session()?;
        let from = format!("after SIGTERM from sender (pid {from},");
        let words = ["exited 143 by choice", from.as_str(), "did not kill it"];
        Expected::killed("", "error_exit", "", &words).of(&session)?;
        ensure!(session.summary["verdict"]["outcome"] == "exited");
        Ok(())
    })
}

#[test]
fn without_room_for_details_a_signal_still_kills() -> Result<()> {
    again_and_again("RLIMIT_SIGPENDING", || {
        let room = Room::new()?;
        let (tracer, target) = waiting(&room, &["no-details"])?;
        send(&room, "tgkill", target, libc::SIGTERM)?;
        tracer.finish(PATIENCE)?.expect_code(143)?;
        Expected::killed("SIGTERM", "killed", "outside", &["from sender"]).of(&room.session()?)
    })
}

#[test]
fn a_stopped_process_is_killed_by_what_killed_it_and_its_stop_is_told() -> Result<()> {
    again_and_again("stopped, then killed", || {
        let room = Room::new()?;
        let (tracer, target) = waiting(&room, &["wait"])?;
        kill_process(pid(target)?, Signal::STOP)?;
        stopped(target)?;
        let begin = std::time::Instant::now();
        wait_for("20 ms to pass", PATIENCE, || {
            Ok((begin.elapsed().as_millis() > 20).then_some(()))
        })?;
        // SIGTERM waits for the process to go on; SIGKILL waits for nobody.
        send(&room, "kill", target, libc::SIGTERM)?;
        let killer = send(&room, "kill", target, libc::SIGKILL)?;
        tracer.finish(PATIENCE)?.expect_code(137)?;
        let session = room.session()?;
        let killer = format!("killed by SIGKILL from sender (pid {killer},");
        let words = [killer.as_str(), "it had been stopped for "];
        Expected::killed("SIGKILL", "killed", "outside", &words).of(&session)?;
        let stopped = session.number("/verdict/stopped_us")?;
        ensure!(stopped > 20_000, "stopped for {stopped} µs");
        Ok(())
    })?;
    again_and_again("stopped, signalled, continued", || {
        let room = Room::new()?;
        let (tracer, target) = waiting(&room, &["wait"])?;
        kill_process(pid(target)?, Signal::STOP)?;
        stopped(target)?;
        let killer = send(&room, "kill", target, libc::SIGTERM)?;
        kill_process(pid(target)?, Signal::CONT)?;
        tracer.finish(PATIENCE)?.expect_code(143)?;
        let killer = format!("killed by SIGTERM from sender (pid {killer},");
        let words = [killer.as_str(), "it had been stopped for "];
        Expected::killed("SIGTERM", "killed", "outside", &words).of(&room.session()?)
    })
}

fn stopped(pid: i32) -> Result<()> {
    wait_for("the stop", PATIENCE, || {
        Ok((tracer_tests::proc::thread_state(pid, pid) == Some('T')).then_some(()))
    })
}

#[test]
fn a_process_whose_leader_left_first_is_killed_like_any_other() -> Result<()> {
    again_and_again("leader first", || {
        let room = Room::new()?;
        let (tracer, target) = waiting(&room, &["leaderless"])?;
        let killer = send(&room, "kill", target, libc::SIGKILL)?;
        tracer.finish(PATIENCE)?.expect_code(137)?;
        let words = format!("killed by SIGKILL from sender (pid {killer},");
        Expected::killed("SIGKILL", "killed", "outside", &[&words]).of(&room.session()?)
    })
}
