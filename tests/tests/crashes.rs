//! How a record ends when its observer does not: by a fatal signal, by being killed at any step, by a
//! disk that does not answer. The target lives on, and no two kinds of ending look alike.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tracer_tests::crash::{crash_lines, end, kill, recover, until_dead, until_gone, waiting};
use tracer_tests::hold::{Call, Hold};
use tracer_tests::journal::{read_growing, read_journal};
use tracer_tests::launch::Running;
use tracer_tests::proc;
use tracer_tests::room::Room;
use tracer_tests::wait::{PATIENCE, wait_for};

/// The thread that owns the journal.
const OWNER: &str = "recorder";

#[test]
fn a_fatal_signal_leaves_its_name_in_the_lease_and_is_what_tracer_dies_of() -> Result<()> {
    for (signal, name) in [
        (Signal::SEGV, "SIGSEGV"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::ILL, "SIGILL"),
        (Signal::FPE, "SIGFPE"),
        (Signal::SYS, "SIGSYS"),
    ] {
        let room = Room::new()?;
        let (tracer, target) = waiting(&room)?;
        let folder = room.session_folder()?;
        let before = tracer_tests::sys::boot_ns();
        tracer.signal(signal)?;
        let tracer_pid = i64::from(tracer.pid());
        let died = tracer.finish(PATIENCE)?;
        let after = tracer_tests::sys::boot_ns();
        ensure!(died.signal == Some(signal.as_raw()), "{name}: {died:?}");
        let lines = crash_lines(&folder)?;
        ensure!(lines.len() == 1, "{name}: {lines:?}");
        let said = &lines[0];
        ensure!(said["cause"] == name && said["pid"] == tracer_pid, "{said}");
        ensure!(
            said["sender_pid"] == i64::from(tracer_tests::sys::getpid()),
            "{said}"
        );
        let at = said["t_boot_ns"].as_u64().context("no time")?;
        ensure!((before..=after).contains(&at), "{said}");
        // Nothing else was going on: what was accepted was written.
        let journal = read_growing(&folder.join("journal.0.jsonl"))?;
        let last = journal.last().context("empty")?.seq;
        let written = said["last_written"].as_u64().context("no watermark")?;
        ensure!(last.abs_diff(written) <= 3, "{said}: {last} in the file");
        ensure!(
            !journal.iter().any(|record| record.kind == "end"),
            "{name}: it has an end"
        );

        ensure!(
            matches!(proc::state(target), Some('S' | 'R')),
            "{name}: the target was harmed"
        );
        end(target)?;
        let summary = recover(&room)?;
        let observer = &summary["observer"];
        ensure!(observer["ending"] == "crashed", "{summary:#}");
        let cause = observer["cause"].as_str().context("no cause")?;
        ensure!(cause.starts_with(&format!("{name}: ")), "{cause}");
        ensure!(summary["termination_reason"] == "CRASHED", "{summary:#}");
        ensure!(summary["kill_reason"] == "exception", "{summary:#}");
    }
    Ok(())
}

#[test]
fn n3_a_killed_tracer_is_found_interrupted_and_recovered_as_crashed_without_a_word() -> Result<()> {
    let room = Room::new()?;
    let (tracer, target) = waiting(&room)?;
    let folder = room.session_folder()?;
    tracer.signal(Signal::KILL)?;
    tracer.finish(PATIENCE)?;
    ensure!(crash_lines(&folder)?.is_empty());
    ensure!(!folder.join("summary.json").exists());
    end(target)?;
    let summary = recover(&room)?;
    ensure!(summary["observer"]["ending"] == "crashed", "{summary:#}");
    let cause = summary["observer"]["cause"].as_str().context("no cause")?;
    ensure!(!cause.is_empty() && !cause.contains("SIG"), "{cause}");
    Ok(())
}

/// Lets the target of a held tracer end, and holds the owner of the journal at its first append after
/// that.
fn held_at_the_end(room: &Room) -> Result<(Running, Hold)> {
    let (tracer, target) = waiting(room)?;
    let mut held = Hold::thread(tracer.pid(), OWNER, PATIENCE)?;
    kill(target, Signal::TERM)?;
    let call = held.at(Call::is_append, PATIENCE)?;
    ensure!(call.is_some(), "it ended without an append");
    // The end has begun when the thread is there that listens meanwhile.
    wait_for("the end to be asked for", PATIENCE, || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", tracer.pid()))?;
        let listens = tasks.filter_map(Result::ok).any(|task| {
            std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm == "signals\n")
        });
        Ok(listens.then_some(()))
    })?;
    Ok((tracer, held))
}

#[test]
fn n4_one_signal_while_the_end_is_written_changes_nothing() -> Result<()> {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        let room = Room::new()?;
        let (tracer, held) = held_at_the_end(&room)?;
        tracer.signal(signal)?;
        wait_for("the signal to be taken", PATIENCE, || {
            let pending = proc::status_line(tracer.pid(), "ShdPnd")?;
            Ok(pending
                .trim()
                .bytes()
                .all(|byte| byte == b'0')
                .then_some(()))
        })?;
        ensure!(!tracer.has_ended()?, "{signal:?} ended it");
        drop(held);
        let end = tracer.finish(PATIENCE)?;
        end.expect_code(128 + Signal::TERM.as_raw())?;
        let session = room.session()?;
        ensure!(
            session.summary["observer"]["ending"] == "completed",
            "{signal:?}"
        );
        ensure!(session.count("end") == 1);
        session.expect_complete()?;
    }
    Ok(())
}

#[test]
fn a_second_signal_shortens_the_wait_for_a_disk_that_does_not_answer() -> Result<()> {
    for (signals, at_most) in [
        (2, Duration::from_secs(5)),
        (3, Duration::from_millis(2_500)),
    ] {
        let room = Room::new()?;
        let (tracer, held) = held_at_the_end(&room)?;
        let begun = Instant::now();
        for _ in 0..signals {
            // Two that are pending at once are one.
            wait_for("the signal before to be taken", PATIENCE, || {
                let pending = proc::status_line(tracer.pid(), "ShdPnd")?;
                Ok(pending
                    .trim()
                    .bytes()
                    .all(|byte| byte == b'0')
                    .then_some(()))
            })?;
            tracer.signal(Signal::TERM)?;
        }
        until_dead(&tracer)?;
        let took = begun.elapsed();
        drop(held);
        // The command's own code, and the target was waited for.
        tracer
            .finish(PATIENCE)?
            .expect_code(128 + Signal::TERM.as_raw())?;
        ensure!(took < at_most, "{signals} signals: {took:?}");
        let journal = read_growing(&room.session_folder()?.join("journal.0.jsonl"))?;
        ensure!(
            journal.iter().all(|record| record.kind != "end"),
            "an end that was given up"
        );
        let summary = recover(&room)?;
        ensure!(summary["observer"]["ending"] == "crashed", "{summary:#}");
    }
    Ok(())
}

#[test]
fn c5_n1_killed_or_crashing_at_every_step_of_the_end_there_is_one_ending_and_it_is_true()
-> Result<()> {
    for signal in [Signal::SEGV, Signal::KILL] {
        let mut steps = 0_usize;
        let mut ended_before = 0;
        let mut given_up = 0;
        loop {
            let room = Room::new()?;
            let (tracer, target) = waiting(&room)?;
            let folder = room.session_folder()?;
            let mut held = Hold::thread(tracer.pid(), OWNER, PATIENCE)?;
            kill(target, Signal::TERM)?;
            let mut call = None;
            for _ in 0..=steps {
                call = held.at(Call::is_effect, PATIENCE)?;
            }
            let Some(call) = call else {
                if folder.join("summary.json").exists() {
                    break;
                }
                // Stepping took so long that the disk was taken for one that does not answer.
                given_up += 1;
                ensure!(given_up < 20, "tracer gives up before step {steps}");
                continue;
            };
            let written = read_growing(&folder.join("journal.0.jsonl"))?;
            tracer.signal(signal)?;
            until_dead(&tracer)?;
            drop(held);
            let died = tracer.finish(PATIENCE)?;
            until_gone(target)?;
            ensure!(
                died.signal == Some(signal.as_raw()),
                "step {steps} ({call:?}): {died:?}"
            );
            let has_end = written.iter().any(|record| record.kind == "end");
            ended_before += usize::from(has_end);

            let summary = recover(&room)?;
            let observer = &summary["observer"];
            let expected = if has_end { "completed" } else { "crashed" };
            ensure!(
                observer["ending"] == expected,
                "step {steps} ({call:?}) after {signal:?}: {observer}"
            );
            let cause = observer["cause"].as_str().unwrap_or_default();
            let named = !has_end && signal == Signal::SEGV;
            ensure!(
                cause.starts_with("SIGSEGV: ") == named,
                "step {steps}: {cause}"
            );
            let now = read_journal(&folder.join("journal.0.jsonl"))
                .or_else(|_| read_growing(&folder.join("journal.0.jsonl")))?;
            ensure!(
                now.len() == written.len(),
                "step {steps}: an old epoch was written to"
            );
            // Again: nothing is left to do.
            let before = std::fs::read(folder.join("summary.json"))?;
            recover(&room)?;
            ensure!(std::fs::read(folder.join("summary.json"))? == before);
            steps += 1;
        }
        ensure!(steps >= 12, "only {steps} steps");
        ensure!(
            (1..steps).contains(&ended_before),
            "{ended_before} of {steps} had their end"
        );
    }
    Ok(())
}
