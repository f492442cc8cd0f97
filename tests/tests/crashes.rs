//! How a record ends when its observer does not: by a fatal signal, by being killed at any step, by a
//! disk that does not answer. The target lives on, and no two kinds of ending look alike.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal};
use serde_json::Value;
use tracer_tests::check::{until_armed, until_noted};
use tracer_tests::hold::Hold;
use tracer_tests::journal::{crc32, read_growing, read_journal};
use tracer_tests::launch::{Launch, Running};
use tracer_tests::proc;
use tracer_tests::room::Room;
use tracer_tests::session::read_json;
use tracer_tests::wait::{PATIENCE, wait_for};

/// The thread that owns the journal.
const OWNER: &str = "recorder";

/// tracer that leaves no core behind, whatever it dies of.
fn quiet(launch: Launch) -> Launch {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    launch
        .args(["-q", "--interval", "50ms"])
        .before_exec(move || Ok(rustix::process::setrlimit(Resource::Core, none)?))
}

/// tracer with a target that waits; its pid.
fn waiting(room: &Room) -> Result<(Running, i32)> {
    let launch = quiet(room.run()?).arg("--require-trace");
    let tracer = launch.observe("idle", &[])?.spawn()?;
    until_armed(room, &tracer)?;
    let pid = until_noted(room, "ready")?.parse()?;
    Ok((tracer, pid))
}

fn kill(pid: i32, signal: Signal) -> Result<()> {
    Ok(rustix::process::kill_process(
        Pid::from_raw(pid).context("pid 0")?,
        signal,
    )?)
}

/// Ends a process whose parent, if it has one left, is tracer or init, and waits until it is gone.
fn end(pid: i32) -> Result<()> {
    kill(pid, Signal::KILL)?;
    wait_for("the target to be gone", PATIENCE, || {
        Ok(matches!(proc::state(pid), None | Some('Z')).then_some(()))
    })
}

/// The crash lines of a lease that are whole, by a reader of our own.
fn crash_lines(folder: &Path) -> Result<Vec<Value>> {
    let lease = std::fs::read(folder.join("lease"))?;
    let mut found = Vec::new();
    for line in lease.split(|&byte| byte == b'\n') {
        let Ok(value) = serde_json::from_slice::<Value>(line) else {
            continue;
        };
        if value["kind"] == "crash" {
            let tail = br#","crc":"xxxxxxxx"}"#.len();
            let crc = format!("{:08x}", crc32(&line[..line.len() - tail]));
            ensure!(
                value["crc"] == crc.as_str(),
                "{value}: the checksum is {crc}"
            );
            found.push(value);
        }
    }
    Ok(found)
}

fn recover(room: &Room) -> Result<Value> {
    room.tracer("recover")?.finish(PATIENCE)?.expect_code(0)?;
    read_json(&room.session_folder()?.join("summary.json"))
}

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
    let call = held.at(tracer_tests::hold::Call::is_append, PATIENCE)?;
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
        let pid = tracer.pid();
        // The thread is held by us, so the process cannot be gone before we let go.
        wait_for("tracer to give up", PATIENCE, || {
            Ok(matches!(proc::state(pid), None | Some('Z')).then_some(()))
        })?;
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
        loop {
            let room = Room::new()?;
            let (tracer, target) = waiting(&room)?;
            let folder = room.session_folder()?;
            let mut held = Hold::thread(tracer.pid(), OWNER, PATIENCE)?;
            kill(target, Signal::TERM)?;
            let mut call = None;
            for _ in 0..=steps {
                call = held.at(tracer_tests::hold::Call::is_effect, PATIENCE)?;
            }
            let Some(call) = call else { break };
            let written = read_growing(&folder.join("journal.0.jsonl"))?;
            tracer.signal(signal)?;
            let died = tracer.finish(PATIENCE);
            drop(held);
            let died = died?;
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
        ensure!(steps >= 8, "only {steps} steps");
        ensure!(
            (1..steps).contains(&ended_before),
            "{ended_before} of {steps} had their end"
        );
    }
    Ok(())
}

#[test]
fn c26_a_clean_end_an_error_a_crash_of_either_and_a_kill_look_different() -> Result<()> {
    let seen = |summary: &Value| {
        let text = |pointer: &str| {
            let value = summary.pointer(pointer).and_then(Value::as_str);
            value.unwrap_or("-").to_owned()
        };
        let cause = text("/observer/cause");
        let cause = cause.split(':').next().unwrap_or_default().to_owned();
        [
            text("/observer/ending"),
            cause,
            text("/verdict/outcome"),
            text("/verdict/cause"),
            text("/subtype"),
            text("/completeness/status"),
        ]
    };
    let mut endings = Vec::new();

    let room = Room::new()?;
    quiet(room.run()?)
        .command(["true"])
        .finish(PATIENCE)?
        .expect_code(0)?;
    endings.push(("clean", seen(&room.session()?.summary)));

    let room = Room::new()?;
    let idle = tracer_tests::check::started(&room, "idle", &[])?;
    let attach = quiet(room.attach(idle.pid())?);
    let options = ["--expect", "nobody-of-that-name", "--timeout", "100ms"];
    attach.args(options).finish(PATIENCE)?.expect_code(3)?;
    endings.push(("error", seen(&room.session()?.summary)));
    drop(idle);

    let room = Room::new()?;
    let text = "kill -SEGV $$";
    let end_of = quiet(room.run()?)
        .command(["sh", "-c", text])
        .finish(PATIENCE)?;
    end_of.expect_code(139)?;
    endings.push(("target", seen(&room.session()?.summary)));

    for (kind, signal) in [("crash", Signal::SEGV), ("kill", Signal::KILL)] {
        let room = Room::new()?;
        let (tracer, target) = waiting(&room)?;
        tracer.signal(signal)?;
        tracer.finish(PATIENCE)?;
        end(target)?;
        endings.push((kind, seen(&recover(&room)?)));
    }

    let expected = [
        (
            "clean",
            [
                "completed",
                "the root ended",
                "exited",
                "success",
                "success",
                "complete",
            ],
        ),
        (
            "error",
            [
                "failed",
                "no workload",
                "still_running",
                "unknown",
                "detached",
                "complete",
            ],
        ),
        (
            "target",
            [
                "completed",
                "the root ended",
                "signaled",
                "fault",
                "killed",
                "complete",
            ],
        ),
        (
            "crash",
            [
                "crashed",
                "SIGSEGV",
                "unknown",
                "unknown",
                "crashed",
                "incomplete",
            ],
        ),
        (
            "kill",
            [
                "crashed",
                "the observer was killed, or crashed without a word",
                "unknown",
                "unknown",
                "crashed",
                "incomplete",
            ],
        ),
    ];
    for ((kind, found), (_, wanted)) in endings.iter().zip(&expected) {
        ensure!(found == wanted, "{kind}: {found:?}, {wanted:?} expected");
    }
    for (at, (kind, ending)) in endings.iter().enumerate() {
        let twin = endings[..at].iter().find(|(_, other)| other == ending);
        ensure!(twin.is_none(), "{kind} looks like {twin:?}");
    }
    Ok(())
}
