//! Recovery on the real kernel: tracer is killed with SIGKILL, and what it left is brought to its end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tracer_tests::check::until_noted;
use tracer_tests::launch::Running;
use tracer_tests::room::Room;
use tracer_tests::session::{read_json, read_json_lines};
use tracer_tests::wait::{PATIENCE, wait_for};
use tracer_tests::{need, proc, sys};

/// A session whose tracer was killed, and whose target lives on.
struct Orphaned {
    /// The target. Its end is ours to read: this process takes in orphans.
    target: i32,
}

impl Orphaned {
    fn in_room(room: &Room) -> Result<Self> {
        // A zombie that nobody reaps would keep its number.
        rustix::process::set_child_subreaper(Pid::from_raw(1))?;
        let tracer = room
            .run()?
            .args([
                "-q",
                "--require-trace",
                "--interval",
                "20ms",
                "--label",
                "ci=main",
            ])
            .observe("idle", &[])?
            .spawn()?;
        let target = until_noted(room, "ready")?.parse()?;
        until_pinned(room)?;
        kill(tracer)?;
        // The next fixture of the room tells of itself alone.
        std::fs::remove_file(room.truth_path())?;
        Ok(Self { target })
    }

    fn end_target(&self) -> Result<()> {
        kill_process(Pid::from_raw(self.target).context("no pid")?, Signal::KILL)?;
        wait_for("a zombie", PATIENCE, || {
            Ok((proc::state(self.target) == Some('Z')).then_some(()))
        })
    }

    fn reap_target(&self) -> Result<()> {
        ensure!(sys::wait4(self.target)?.pid == self.target);
        Ok(())
    }
}

impl Drop for Orphaned {
    fn drop(&mut self) {
        // Ours until it is reaped: no other process can have the number.
        if let Some(pid) = Pid::from_raw(self.target)
            && proc::state(self.target).is_some_and(|state| state != 'Z')
        {
            let _ = kill_process(pid, Signal::KILL);
            let _ = sys::wait4(self.target);
        }
    }
}

fn kill(tracer: Running) -> Result<()> {
    tracer.signal(Signal::KILL)?;
    let end = tracer.finish(PATIENCE)?;
    ensure!(end.signal == Some(9), "{end:?}");
    Ok(())
}

/// Waits for an enrollment and a row: a session in full swing.
fn until_pinned(room: &Room) -> Result<()> {
    wait_for("a row", PATIENCE, || {
        let folders = room.session_folders()?;
        let going = |folder: &PathBuf| {
            let journal = std::fs::read_to_string(folder.join("journal.0.jsonl"));
            let rows = journal.is_ok_and(|text| text.contains("\"kind\":\"snapshot\""));
            rows && folder.join("enrollment.json").exists()
        };
        Ok((!folders.is_empty() && folders.iter().all(going)).then_some(()))
    })
}

/// `tracer recover --json` with these options, which must exit with `code`.
fn recover(room: &Room, options: &[&str], code: i32) -> Result<Value> {
    let end = room
        .tracer("recover")?
        .arg("--json")
        .args(options)
        .finish(PATIENCE)?
        .expect_code(code)?;
    Ok(serde_json::from_slice(&end.stdout)?)
}

fn only<'a>(report: &'a Value, outcome: &str) -> Result<&'a Value> {
    let sessions = report["sessions"].as_array().context("no sessions")?;
    ensure!(
        sessions.len() == 1 && sessions[0]["outcome"] == outcome,
        "one {outcome} expected: {report:#}"
    );
    Ok(&sessions[0])
}

/// Every file below with its bytes.
fn all_bytes(path: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                all.insert(path.clone(), std::fs::read(&path)?);
            }
        }
    }
    Ok(all)
}

#[test]
fn n3_a_killed_tracer_is_no_crash_while_its_target_lives_and_one_afterwards() -> Result<()> {
    // Nowhere to pin: when tracer dies, tracing ends.
    need::live_kernel()?;
    let room = &Room::without_kernel()?;
    let orphaned = Orphaned::in_room(room)?;
    let before = all_bytes(&room.state())?;
    let report = recover(room, &[], 0)?;
    ensure!(only(&report, "alive")?["gate"] == 3, "{report:#}");
    ensure!(all_bytes(&room.state())? == before, "left as it was");

    // A zombie is dead.
    orphaned.end_target()?;
    let dry = recover(room, &["--dry-run"], 0)?;
    only(&dry, "recovered")?;
    ensure!(
        all_bytes(&room.state())? == before,
        "a dry run changes nothing"
    );
    let report = recover(room, &[], 0)?;
    only(&report, "recovered")?;
    orphaned.reap_target()?;

    let folder = room.session_folder()?;
    let summary = read_json(&folder.join("summary.json"))?;
    let told = ["subtype", "termination_reason"].map(|key| summary[key].as_str());
    ensure!(told == [Some("crashed"), Some("CRASHED")], "{summary:#}");
    ensure!(summary["exit_code"] == -1, "{summary:#}");
    ensure!(summary["verdict"]["outcome"] == "unknown", "{summary:#}");
    ensure!(summary["labels"]["ci"] == "main", "{summary:#}");
    ensure!(summary["pid"] == orphaned.target, "{summary:#}");
    ensure!(summary["tracked_comm"] == "idle", "{summary:#}");
    let rows = read_json_lines(&folder.join("proc_trace.jsonl"))?;
    let count = rows.len() as u64;
    ensure!(
        count > 0 && summary["snapshot_count"] == count,
        "{summary:#}"
    );

    // The second time there is nothing to do.
    let before = all_bytes(&room.state())?;
    let report = recover(room, &[], 0)?;
    ensure!(report["counts"]["whole"] == 1, "{report:#}");
    ensure!(
        report["sessions"].as_array().is_some_and(Vec::is_empty),
        "{report:#}"
    );
    ensure!(all_bytes(&room.state())? == before, "nothing changed");
    Ok(())
}

#[test]
fn where_the_kernel_went_on_the_end_is_known_and_it_is_a_crash_all_the_same() -> Result<()> {
    let room = &Room::new()?;
    let orphaned = Orphaned::in_room(room)?;
    only(&recover(room, &[], 0)?, "alive")?;
    orphaned.end_target()?;
    orphaned.reap_target()?;
    only(&recover(room, &[], 0)?, "recovered")?;
    let summary = read_json(&room.session_folder()?.join("summary.json"))?;
    let told = ["subtype", "termination_reason"].map(|key| summary[key].as_str());
    ensure!(told == [Some("crashed"), Some("CRASHED")], "{summary:#}");
    ensure!(summary["exit_code"] == 137, "{summary:#}");
    let killer = &summary["verdict"]["killer"]["pid"];
    ensure!(killer == std::process::id(), "we did it: {summary:#}");
    ensure!(
        summary["completeness"]["status"] == "complete",
        "{summary:#}"
    );
    Ok(())
}

#[test]
fn n14_a_pid_that_is_in_use_again_is_another_process() -> Result<()> {
    let room = &Room::new()?;
    let orphaned = Orphaned::in_room(room)?;
    orphaned.end_target()?;
    orphaned.reap_target()?;
    // The very number of the target, in a process that waits until it is killed.
    let stranger = sys::fork_as(orphaned.target, || {
        loop {
            let _ = sys::take_signal(&[]);
        }
    })?;
    let reused = stranger == orphaned.target;
    let report = recover(room, &[], 0);
    let lives = proc::state(stranger).is_some_and(|state| state != 'Z');
    kill_process(Pid::from_raw(stranger).context("no pid")?, Signal::KILL)?;
    sys::wait4(stranger)?;
    ensure!(
        reused && lives,
        "the number {} was to be in use",
        orphaned.target
    );
    only(&report?, "recovered")?;
    Ok(())
}

#[test]
fn of_four_recoverers_one_recovers_each_session() -> Result<()> {
    let room = Room::new()?;
    let orphaned = (0..3)
        .map(|_| Orphaned::in_room(&room))
        .collect::<Result<Vec<_>>>()?;
    for orphaned in orphaned {
        orphaned.end_target()?;
        orphaned.reap_target()?;
    }
    let recoverers: Vec<Running> = (0..4)
        .map(|_| room.tracer("recover")?.arg("--json").spawn())
        .collect::<Result<_>>()?;
    let mut recovered = 0;
    for recoverer in recoverers {
        let end = recoverer.finish(PATIENCE)?.expect_code(0)?;
        let report: Value = serde_json::from_slice(&end.stdout)?;
        recovered += report["counts"]["recovered"].as_u64().unwrap_or(0);
    }
    ensure!(recovered == 3, "{recovered} recovered");
    for folder in room.session_folders()? {
        ensure!(folder.join("journal.1.jsonl").exists(), "one more epoch");
        ensure!(
            !folder.join("journal.2.jsonl").exists(),
            "and no second one"
        );
    }
    let rows = read_json_lines(&room.state().join("sessions.jsonl"))?;
    ensure!(rows.len() == 3, "one row a session: {rows:?}");
    Ok(())
}

#[test]
fn what_fails_is_told_by_the_exit_code_and_keeps_nobody_else_from_being_recovered() -> Result<()> {
    let room = &Room::new()?;
    let first = Orphaned::in_room(room)?;
    first.end_target()?;
    first.reap_target()?;
    let broken = room.session_folder()?;
    // Something that no file can be put in the place of.
    std::fs::create_dir_all(broken.join("proc_trace.jsonl/x"))?;
    let second = Orphaned::in_room(room)?;
    second.end_target()?;
    second.reap_target()?;
    let report = recover(room, &[], 1)?;
    ensure!(report["counts"]["failed"] == 1, "{report:#}");
    ensure!(report["counts"]["recovered"] == 1, "{report:#}");
    let text = room.tracer("recover")?.finish(PATIENCE)?;
    let text = String::from_utf8_lossy(&text.expect_code(1)?.stdout).into_owned();
    ensure!(
        text.contains("failed: ") && text.contains("proc_trace.jsonl"),
        "{text}"
    );
    std::fs::remove_dir_all(broken.join("proc_trace.jsonl"))?;
    let report = recover(room, &[], 0)?;
    only(&report, "derived")?;
    Ok(())
}

#[test]
fn a_run_ends_what_older_runs_have_left() -> Result<()> {
    let room = &Room::new()?;
    let orphaned = Orphaned::in_room(room)?;
    orphaned.end_target()?;
    orphaned.reap_target()?;
    let old = room.session_folder()?;
    let stop = room.path("stop");
    let wait = format!("while [ ! -e {} ]; do sleep 0.02; done", stop.display());
    let tracer = room
        .run()?
        .arg("--require-trace")
        .command(["sh", "-c", &wait])
        .spawn()?;
    let recovered = wait_for("the older session's end", PATIENCE, || {
        Ok(old.join("summary.json").exists().then_some(()))
    });
    std::fs::write(&stop, "")?;
    let end = tracer.finish(PATIENCE)?.expect_code(0)?;
    recovered?;
    ensure!(
        end.stderr.contains("ended 1 older session"),
        "{}",
        end.stderr
    );
    Ok(())
}

#[test]
fn without_any_session_there_is_nothing_to_do_and_nothing_is_made() -> Result<()> {
    let room = Room::without_kernel()?;
    let report = recover(&room, &[], 0)?;
    ensure!(report["counts"] == serde_json::json!({}), "{report:#}");
    ensure!(!room.state().exists(), "looking makes no directory");
    let text = room.tracer("recover")?.finish(PATIENCE)?.expect_code(0)?;
    ensure!(text.stdout == b"there are no sessions\n", "{text:?}");
    Ok(())
}

#[test]
fn another_recorders_pair_is_taken_over_by_the_command() -> Result<()> {
    let room = Room::without_kernel()?;
    let theirs = room.path("theirs");
    std::fs::create_dir(&theirs)?;
    let child = sys::fork(|| 0)?;
    let start = proc::start_ticks(child)?;
    sys::wait4(child)?;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let enrollment = serde_json::json!({
        "schema_version": 1, "pid": child, "boot_id": boot, "starttime_ticks": start,
        "comm": "claude", "order_id": "o1", "enrolled_at": "2026-11-21T05:45:12Z",
    });
    let row = serde_json::json!({"captured_at": "2026-11-21T05:45:13Z", "comm": "claude"});
    for (name, text) in [
        (format!("a_enrollment_{child}.json"), enrollment.to_string()),
        (format!("a_trace_{child}.jsonl"), format!("{row}\n")),
    ] {
        let path = theirs.join(name);
        std::fs::write(&path, text)?;
    }
    let dir = theirs.to_str().context("not UTF-8")?;
    let report = recover(&room, &["--foreign-dir", dir], 0)?;
    only(&report, "young")?;
    for entry in std::fs::read_dir(&theirs)? {
        let file = std::fs::File::options().write(true).open(entry?.path())?;
        let old = std::time::SystemTime::now() - std::time::Duration::from_secs(31);
        file.set_modified(old)?;
    }
    let report = recover(&room, &["--foreign-dir", dir], 0)?;
    let id = &only(&report, "recovered")?["session_id"];
    let folder = room.session_folder()?;
    ensure!(
        folder.file_name().and_then(|name| name.to_str()) == id.as_str(),
        "{report:#}"
    );
    let summary = read_json(&folder.join("summary.json"))?;
    ensure!(summary["labels"]["order_id"] == "o1", "{summary:#}");
    ensure!(summary["snapshot_count"] == 1, "{summary:#}");
    Ok(())
}
