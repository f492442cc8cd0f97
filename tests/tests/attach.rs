//! `tracer attach`: joining a live tree, leaving it as it was, and refusing what cannot be joined.

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tracer_tests::check::{attached_in_a_storm, started, until_armed, until_noted};
use tracer_tests::launch::Finished;
use tracer_tests::room::Room;
use tracer_tests::truth::notes;
use tracer_tests::wait::{PATIENCE, wait_for};
use tracer_tests::{place, proc, sys};

/// What refusing to attach must look like: exit code 1, the pid, and one of these phrases.
fn expect_refusal(end: &Finished, pid: i32, phrases: &[&str]) -> Result<()> {
    ensure!(
        end.code == Some(1),
        "exit code {:?}, 1 expected; stderr:\n{}",
        end.code,
        end.stderr
    );
    ensure!(
        end.stderr.contains(&pid.to_string()),
        "the message does not name {pid}:\n{}",
        end.stderr
    );
    let text = end.stderr.to_lowercase();
    ensure!(
        phrases.iter().any(|phrase| text.contains(phrase)),
        "the message says none of {phrases:?}:\n{}",
        end.stderr
    );
    ensure!(!text.contains("panicked"), "{}", end.stderr);
    Ok(())
}

fn refused(pid: i32, phrases: &[&str]) -> Result<()> {
    let room = Room::new()?;
    let end = room.attach(pid)?.finish(PATIENCE)?;
    expect_refusal(&end, pid, phrases)?;
    ensure!(
        room.session_folders()?.is_empty(),
        "a refusal left a session behind"
    );
    Ok(())
}

#[test]
fn attaching_to_a_storm_again_and_again_never_misses_anyone() -> Result<()> {
    for workers in [1, 2, 4, 8] {
        let run = attached_in_a_storm(workers, &["--interval", "50ms"])
            .with_context(|| format!("with {workers} workers"))?;
        let account = &run.session.summary["completeness"];
        ensure!(account["attach_converged"] == true, "{account}");
        ensure!(account["attach_passes"].as_u64() >= Some(1), "{account}");
        let adopted = run
            .session
            .of_kind("fork")
            .filter(|fork| fork.value["adopted"] == true);
        // The root, the workers and four idlers were there before.
        ensure!(adopted.count() >= workers as usize + 5, "too few adopted");
    }
    Ok(())
}

#[test]
fn those_found_at_attach_have_their_true_start_and_parent() -> Result<()> {
    let room = Room::new()?;
    let go = room.path("go");
    let target = room.fixture("renamer")?.arg("linger").arg(&go).spawn()?;
    let chain = wait_for("the chain of seven", PATIENCE, || {
        let chain = proc::descendants(target.pid());
        Ok((chain.len() == 6).then_some(chain))
    })?;
    let starts = chain
        .iter()
        .map(|&pid| proc::start_ticks(pid))
        .collect::<Result<Vec<_>>>()?;
    let tracer = room.attach(target.pid())?.arg("-q").spawn()?;
    until_armed(&room, &tracer)?;
    std::fs::write(&go, "")?;
    target.finish(PATIENCE)?.expect_code(0)?;
    tracer.finish(PATIENCE)?.expect_code(0)?;
    let session = room.session()?;
    session.expect_complete()?;
    let mut parent = session.root()?;
    for (pid, start) in chain.into_iter().zip(starts) {
        let fork = session
            .of_kind("fork")
            .find(|fork| fork.small("pid").ok() == Some(pid));
        let fork = fork.with_context(|| format!("{pid} was not adopted"))?;
        ensure!(fork.value["adopted"] == true, "{}", fork.value);
        ensure!(
            fork.small("ppid")? == parent,
            "parent {parent}: {}",
            fork.value
        );
        ensure!(
            fork.value["starttime_ticks"].as_u64() == Some(start),
            "{start}: {}",
            fork.value
        );
        parent = pid;
    }
    Ok(())
}

#[test]
fn ctrl_c_ends_the_observation_and_leaves_the_target_as_it_was() -> Result<()> {
    let room = Room::new()?;
    let target = started(&room, "listener", &[])?;
    let tracer = room.attach(target.pid())?.spawn()?;
    until_armed(&room, &tracer)?;
    let before = proc::stat_fields(target.pid())?;
    tracer.signal(Signal::INT)?;
    tracer.finish(PATIENCE)?.expect_code(0)?;
    let session = room.session()?;
    ensure!(
        session.summary["verdict"]["outcome"] == "still_running",
        "{}",
        session.summary
    );
    session.expect_complete()?;
    // State, parent, group, session, terminal: as before. Then it still does what it did.
    let after = proc::stat_fields(target.pid())?;
    ensure!(before[..6] == after[..6], "{before:?}\n{after:?}");
    ensure!(proc::status_line(target.pid(), "TracerPid")? == "0");
    target.signal(Signal::TERM)?;
    target.finish(PATIENCE)?.expect_code(42)?;
    let signals: Vec<_> = room.truth()?.into_iter().map(|(_, fact)| fact).collect();
    ensure!(
        !format!("{signals:?}").contains(&format!("\"{}\"", libc::SIGINT)),
        "{signals:?}"
    );
    Ok(())
}

#[test]
fn the_observation_ends_with_the_target_and_says_how_it_ended() -> Result<()> {
    let room = Room::new()?;
    let target = started(&room, "idle", &["20"])?;
    let pid = target.pid();
    let tracer = room.attach(pid)?.args(["--interval", "50ms"]).spawn()?;
    let (folder, _) = until_armed(&room, &tracer)?;
    // The first row comes with the pin, a moment later.
    wait_for("a row of the target", PATIENCE, || {
        let journal = std::fs::read_to_string(folder.join("journal.0.jsonl"))?;
        Ok(journal.contains("\"kind\":\"snapshot\"").then_some(()))
    })?;
    target.signal(Signal::KILL)?;
    target.finish(PATIENCE)?;
    tracer.finish(PATIENCE)?.expect_code(0)?;
    let session = room.session()?;
    session.expect_complete()?;
    ensure!(
        session.workload()? == pid,
        "workload {}, not {pid}",
        session.workload()?
    );
    let exit = session.exit_of(pid)?;
    ensure!(
        exit.int("status")? == 9 && exit.text("signal") == "SIGKILL",
        "{}",
        exit.value
    );
    ensure!(
        session.summary["verdict"]["signal"] == "SIGKILL",
        "{}",
        session.summary["verdict"]
    );
    ensure!(
        session
            .rows_of(pid)
            .any(|row| row["vm_rss_kb"].as_u64() > Some(20 << 10)),
        "no row of 20 MiB"
    );
    Ok(())
}

#[test]
fn a_process_whose_first_thread_has_ended_is_joined_like_any_other() -> Result<()> {
    let room = Room::new()?;
    let target = started(&room, "mortal", &["leaderless"])?;
    let pid = target.pid();
    wait_for("the end of its first thread", PATIENCE, || {
        Ok((proc::state(pid) == Some('Z')).then_some(()))
    })?;
    let tracer = room.attach(pid)?.spawn()?;
    until_armed(&room, &tracer)?;
    target.signal(Signal::KILL)?;
    target.finish(PATIENCE)?;
    tracer.finish(PATIENCE)?.expect_code(0)?;
    let session = room.session()?;
    session.expect_complete()?;
    let workload = session.workload()?;
    ensure!(workload == pid, "workload {workload}, not {pid}");
    let verdict = &session.summary["verdict"];
    ensure!(verdict["signal"] == "SIGKILL", "{verdict}");
    Ok(())
}

#[test]
fn a_pid_that_does_not_exist_is_named() -> Result<()> {
    // Reaped here and now, so it is free.
    let pid = sys::wait4(sys::fork(|| 0)?)?.pid;
    refused(
        pid,
        &[
            "no process",
            "no such process",
            "does not exist",
            "not exist",
        ],
    )
}

#[test]
fn a_process_that_has_ended_but_is_not_reaped_is_named_as_ended() -> Result<()> {
    let pid = sys::fork(|| 0)?;
    wait_for("a zombie", PATIENCE, || {
        Ok((proc::state(pid) == Some('Z')).then_some(()))
    })?;
    let result = refused(pid, &["has ended", "already ended", "zombie", "has exited"]);
    sys::wait4(pid)?;
    result
}

#[test]
fn a_thread_is_refused_and_its_process_is_named() -> Result<()> {
    let room = Room::new()?;
    let target = started(&room, "idle", &[])?;
    let thread: i32 = notes(&room.truth()?)
        .get("thread")
        .context("no thread noted")?
        .parse()?;
    ensure!(thread != target.pid());
    let end = room.attach(thread)?.finish(PATIENCE)?;
    expect_refusal(&end, thread, &["thread"])?;
    ensure!(
        end.stderr.contains(&target.pid().to_string()),
        "its process is not named:\n{}",
        end.stderr
    );
    Ok(())
}

#[test]
fn a_kernel_thread_is_refused_by_that_name() -> Result<()> {
    refused(proc::kernel_thread()?, &["kernel thread"])
}

#[test]
fn tracer_does_not_attach_to_itself() -> Result<()> {
    let room = Room::new()?;
    let shell = "exec \"$0\" attach --state-dir \"$1\" --pid $$";
    let launch = room
        .program("sh")
        .args(["-c", shell])
        .arg(place::tracer()?)
        .arg(room.state());
    let running = launch.spawn()?;
    let pid = running.pid();
    expect_refusal(
        &running.finish(PATIENCE)?,
        pid,
        &["itself", "tracer's own", "myself"],
    )
}

#[test]
fn a_pid_that_is_no_number_is_a_usage_error() -> Result<()> {
    for pid in ["abc", "-5", "99999999999999", ""] {
        let room = Room::new()?;
        let end = room
            .tracer("attach")?
            .arg(format!("--pid={pid}"))
            .finish(PATIENCE)?;
        ensure!(
            end.code == Some(2),
            "--pid={pid:?}: code {:?}\n{}",
            end.code,
            end.stderr
        );
    }
    let room = Room::new()?;
    let end = room
        .tracer("attach")?
        .args(["--pid", "0"])
        .finish(PATIENCE)?;
    ensure!(
        matches!(end.code, Some(1 | 2)),
        "--pid 0: code {:?}\n{}",
        end.code,
        end.stderr
    );
    Ok(())
}

#[test]
fn an_expected_name_that_is_not_there_ends_with_3_and_tells_what_was_seen() -> Result<()> {
    let room = Room::new()?;
    let target = started(&room, "idle", &[])?;
    let launch =
        room.attach(target.pid())?
            .args(["--expect", "no-such-name", "--timeout", "300ms"]);
    let pid = target.pid().to_string();
    let end = launch.finish(PATIENCE)?.expect_code(3)?;
    end.expect_words(&[&pid, "idle", "no-such-name", "timed out after 3"])?;
    ensure!(!target.has_ended()?, "the target must go on");
    Ok(())
}

#[test]
fn a_root_that_vanishes_while_it_is_waited_for_is_told_apart_from_a_timeout() -> Result<()> {
    let room = Room::new()?;
    let target = started(&room, "idle", &[])?;
    let launch = room
        .attach(target.pid())?
        .args(["--expect", "no-such-name", "--timeout", "20s"]);
    let tracer = launch.spawn()?;
    until_armed(&room, &tracer)?;
    target.signal(Signal::KILL)?;
    target.finish(PATIENCE)?;
    let end = tracer.finish(PATIENCE)?.expect_code(3)?;
    let text = end.stderr.to_lowercase();
    ensure!(
        text.contains("vanished") || text.contains("ended"),
        "{}",
        end.stderr
    );
    ensure!(!text.contains("timed out"), "{}", end.stderr);
    Ok(())
}

#[test]
fn an_expected_name_below_the_root_is_pinned_and_the_root_is_not() -> Result<()> {
    let room = Room::new()?;
    // The `:` keeps the shell from becoming idle.
    let launch = room
        .program("sh")
        .args(["-c", "\"$0\"; :"])
        .arg(place::fixture("idle")?);
    let target = launch.spawn()?;
    let idle: i32 = until_noted(&room, "ready")?.parse()?;
    ensure!(idle != target.pid());
    let tracer = room
        .attach(target.pid())?
        .args(["--expect", "idle", "--interval", "50ms"])
        .spawn()?;
    until_armed(&room, &tracer)?;
    drop(target);
    tracer.finish(PATIENCE)?.expect_code(0)?;
    let session = room.session()?;
    ensure!(
        session.workload()? == idle,
        "pinned {}, not {idle}",
        session.workload()?
    );
    Ok(())
}

#[test]
fn following_the_workload_ends_with_it_and_not_with_the_root() -> Result<()> {
    let room = Room::new()?;
    let stop = room.path("stop");
    let script = "\"$0\"; while ! test -e \"$1\"; do sleep 0.01; done";
    let launch = room.program("sh").args(["-c", script]);
    let target = launch.arg(place::fixture("idle")?).arg(&stop).spawn()?;
    let idle: i32 = until_noted(&room, "ready")?.parse()?;
    let launch = room
        .attach(target.pid())?
        .args(["--expect", "idle", "--follow", "workload"]);
    let tracer = launch.spawn()?;
    until_armed(&room, &tracer)?;
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(idle).context("pid 0")?,
        Signal::TERM,
    )?;
    tracer.finish(PATIENCE)?.expect_code(0)?;
    ensure!(!target.has_ended()?, "the root must go on");
    ensure!(room.session()?.exit_of(idle)?.int("status")? == 15);
    std::fs::write(&stop, "")?;
    target.finish(PATIENCE)?.expect_code(0)?;
    Ok(())
}
