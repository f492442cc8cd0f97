//! The session directory: its files, their modes, their keys, and that they agree with each other.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tracer_tests::check::{expect_keys, half_a_second, until_noted};
use tracer_tests::proc;
use tracer_tests::room::Room;

use tracer_tests::wait::{PATIENCE, wait_for};

#[test]
fn directories_are_0700_and_files_0600_and_nothing_temporary_is_left() -> Result<()> {
    let (room, session) = half_a_second()?;
    let mode = |path: &std::path::Path| -> Result<u32> {
        Ok(std::fs::symlink_metadata(path)?.permissions().mode() & 0o7777)
    };
    ensure!(
        mode(&session.folder)? == 0o700,
        "{:o}",
        mode(&session.folder)?
    );
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&session.folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        let name = entry.file_name().to_string_lossy().into_owned();
        ensure!(
            meta.is_file() && meta.nlink() == 1,
            "{name} is not a plain file"
        );
        ensure!(
            mode(&entry.path())? == 0o600,
            "{name}: {:o}",
            mode(&entry.path())?
        );
        names.push(name);
    }
    for name in [
        "journal.0.jsonl",
        "enrollment.json",
        "summary.json",
        "proc_trace.jsonl",
    ] {
        ensure!(
            names.iter().any(|found| found == name),
            "no {name} in {names:?}"
        );
    }
    let temporary = names
        .iter()
        .find(|name| name.contains("tmp") || name.starts_with('.'));
    ensure!(temporary.is_none(), "{temporary:?} was left behind");
    let index = room.state().join("sessions.jsonl");
    ensure!(
        mode(&index)? == 0o600,
        "sessions.jsonl: {:o}",
        mode(&index)?
    );
    Ok(())
}

#[test]
fn a_wide_umask_does_not_widen_the_record() -> Result<()> {
    let room = Room::new()?;
    let launch = room.run()?.arg("-q").before_exec(|| {
        rustix::process::umask(rustix::fs::Mode::empty());
        Ok(())
    });
    launch.command(["true"]).finish(PATIENCE)?.expect_code(0)?;
    let folder = room.session_folder()?;
    for path in [
        room.state(),
        room.state().join("sessions"),
        folder.clone(),
        folder.join("journal.0.jsonl"),
    ] {
        let mode = std::fs::metadata(&path)?.permissions().mode();
        ensure!(mode & 0o777 == mode & 0o700, "{}: {mode:o}", path.display());
    }
    Ok(())
}

#[test]
fn the_summary_has_its_keys_and_they_say_what_happened() -> Result<()> {
    let (_room, session) = half_a_second()?;
    let summary = &session.summary;
    let keys = "session_id dir_name pid cwd command success subtype exit_code start_ts end_ts \
                duration_seconds snapshot_interval_seconds snapshot_count anomaly_count peak_rss_kb \
                peak_oom_score peak_fd_ratio termination_reason tracked_comm tracked_comm_drift \
                tracer_target_resolution_version labels verdict completeness totals observer";
    expect_keys(
        "summary",
        summary,
        &keys.split_whitespace().collect::<Vec<_>>(),
    )?;
    let verdict = "outcome exit_code signal core_dumped cause confidence sentence killer evidence";
    expect_keys(
        "verdict",
        &summary["verdict"],
        &verdict.split_whitespace().collect::<Vec<_>>(),
    )?;
    let completeness = "status reasons forks execs exits alive lost attach_passes attach_converged";
    let completeness: Vec<_> = completeness.split_whitespace().collect();
    expect_keys("completeness", &summary["completeness"], &completeness)?;
    let totals = "processes cpu_user_us cpu_system_us peak_process_rss_kb peak_tree_rss_kb \
                  io_read_bytes io_write_bytes faults_major faults_minor wall_us";
    expect_keys(
        "totals",
        &summary["totals"],
        &totals.split_whitespace().collect::<Vec<_>>(),
    )?;
    let observer = "ending cause version cpu_us peak_rss_kb backend degraded";
    expect_keys(
        "observer",
        &summary["observer"],
        &observer.split_whitespace().collect::<Vec<_>>(),
    )?;
    Ok(())
}

#[test]
fn the_numbers_of_the_summary_are_those_of_the_journal() -> Result<()> {
    let (_room, session) = half_a_second()?;
    let summary = &session.summary;
    ensure!(summary["tracer_target_resolution_version"] == 3);
    ensure!(
        summary["exit_code"] == 7 && summary["success"] == false,
        "{summary}"
    );
    ensure!(
        summary["labels"]["a"] == "b=c" && summary["labels"]["empty"] == "",
        "{}",
        summary["labels"]
    );
    ensure!(
        summary["snapshot_interval_seconds"].as_f64() == Some(0.05),
        "{summary}"
    );
    let folder = session
        .folder
        .file_name()
        .context("no name")?
        .to_string_lossy();
    ensure!(
        summary["dir_name"] == *folder && summary["session_id"].is_string(),
        "{summary}"
    );
    let duration = summary["duration_seconds"]
        .as_f64()
        .context("duration_seconds")?;
    ensure!(
        (0.4..30.0).contains(&duration),
        "duration_seconds is {duration}"
    );
    ensure!(
        session.number("/totals/processes")? == session.count("fork"),
        "{}",
        summary["totals"]
    );
    ensure!(
        session.number("/totals/peak_process_rss_kb")? >= 30 << 10,
        "{}",
        summary["totals"]
    );
    ensure!(
        session.number("/totals/peak_tree_rss_kb")? >= 30 << 10,
        "{}",
        summary["totals"]
    );
    ensure!(
        session.number("/totals/wall_us")? >= 400_000,
        "{}",
        summary["totals"]
    );
    let cpu: i64 = ["cpu_user_us", "cpu_system_us"]
        .iter()
        .map(|key| {
            session
                .of_kind("exit")
                .filter_map(|exit| exit.int(key).ok())
                .sum::<i64>()
        })
        .sum();
    // What came after the exit events is in the totals as well.
    let told = session.number("/totals/cpu_user_us")? + session.number("/totals/cpu_system_us")?;
    ensure!(
        i64::try_from(told)? >= cpu,
        "totals say {told} µs of CPU, the exits {cpu}"
    );
    let rows = session
        .rows
        .iter()
        .filter(|row| row["role"] == "workload")
        .count() as u64;
    let count = session.number("/snapshot_count")?;
    ensure!(
        count == rows || count == session.rows.len() as u64,
        "{count} rows counted"
    );
    session.expect_complete()
}

#[test]
fn enrollment_is_written_at_the_pin_and_names_the_process_beyond_doubt() -> Result<()> {
    let room = Room::new()?;
    let launch = room
        .run()?
        .args(["-q", "--require-trace", "--label", "k=v"])
        .observe("idle", &[])?;
    let tracer = launch.spawn()?;
    let pid: i32 = until_noted(&room, "ready")?.parse()?;
    let path = room.session_folder()?.join("enrollment.json");
    wait_for("the enrollment", PATIENCE, || {
        Ok(path.exists().then_some(()))
    })?;
    let enrollment = tracer_tests::session::read_json(&path)?;
    let keys = "schema_version session_id pid boot_id starttime_ticks comm cmdline exe enrolled_at pid_ns \
                uid hostname root_pid root_starttime_ticks observer labels";
    expect_keys(
        "enrollment",
        &enrollment,
        &keys.split_whitespace().collect::<Vec<_>>(),
    )?;
    ensure!(enrollment["schema_version"] == 3);
    ensure!(
        enrollment["pid"].as_i64() == Some(pid.into()),
        "{enrollment}"
    );
    ensure!(
        enrollment["starttime_ticks"].as_u64() == Some(proc::start_ticks(pid)?),
        "{enrollment}"
    );
    ensure!(
        enrollment["root_starttime_ticks"] == enrollment["starttime_ticks"],
        "{enrollment}"
    );
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    ensure!(enrollment["boot_id"] == boot.trim(), "{enrollment}");
    let exe = std::fs::read_link(format!("/proc/{pid}/exe"))?;
    ensure!(
        enrollment["exe"] == *exe.to_string_lossy() && enrollment["comm"] == "idle",
        "{enrollment}"
    );
    ensure!(
        enrollment["observer"]["pid"].as_i64() == Some(tracer.pid().into()),
        "{enrollment}"
    );
    let ns = std::fs::metadata(format!("/proc/{pid}/ns/pid"))?.ino();
    ensure!(enrollment["pid_ns"].as_u64() == Some(ns), "{enrollment}");
    let before = std::fs::metadata(&path)?;
    tracer.signal(rustix::process::Signal::TERM)?;
    tracer.finish(PATIENCE)?.expect_code(143)?;
    let after = std::fs::metadata(&path)?;
    ensure!(
        (before.ino(), before.mtime_nsec()) == (after.ino(), after.mtime_nsec()),
        "written twice"
    );
    Ok(())
}

#[test]
fn the_session_record_is_on_disk_before_the_commands_first_instruction() -> Result<()> {
    let room = Room::new()?;
    // What the command itself sees of the journal when it starts.
    let shell = "head -n 1 \"$0\"/sessions/*/journal.0.jsonl";
    let launch = room
        .run()?
        .args(["-q", "--require-trace"])
        .command(["sh", "-c", shell]);
    let end = launch.arg(room.state()).finish(PATIENCE)?.expect_code(0)?;
    let first: Value = serde_json::from_slice(&end.stdout).context("the journal was empty")?;
    ensure!(first["kind"] == "session", "{first}");
    let session = room.session()?;
    ensure!(
        first == session.journal[0].value,
        "{first}\n{}",
        session.journal[0].value
    );
    ensure!(
        first["root"]["pid"].as_i64() == Some(session.root()?.into()),
        "{first}"
    );
    ensure!(
        session
            .of_kind("fork")
            .next()
            .context("no fork")?
            .small("pid")?
            == session.root()?
    );
    for key in [
        "session_id",
        "epoch",
        "boot_id",
        "observer",
        "clock",
        "labels",
        "command",
    ] {
        ensure!(first.get(key).is_some(), "no {key} in {first}");
    }
    ensure!(
        session.journal.last().context("empty")?.kind == "end",
        "the last record is not the end"
    );
    ensure!(session.count("session") == 1 && session.count("end") == 1);
    Ok(())
}
