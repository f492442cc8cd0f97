//! Which process is meant: the workload behind its wrappers, by name and without.

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tracer_tests::journal::Record;
use tracer_tests::room::Room;
use tracer_tests::session::Session;
use tracer_tests::wait::{PATIENCE, wait_for};
use tracer_tests::{need, place};

/// A room with the workload under a name of its own: a copy of `tiny`.
fn room_with(workload: &str) -> Result<(Room, String)> {
    let room = Room::new()?;
    let path = room.path(workload);
    std::fs::copy(place::fixture("tiny")?, &path)?;
    let path = place::text(&path)?;
    Ok((room, path))
}

/// The process that ran the workload's file: the last one to exec it.
fn true_workload<'a>(session: &'a Session, path: &str) -> Result<&'a Record> {
    let execs = session
        .of_kind("exec")
        .filter(|exec| exec.text("filename") == path);
    execs
        .last()
        .with_context(|| format!("nobody has run {path}"))
}

/// Runs a command line whose innermost command is `path` with exit code 7; checks that this process
/// is the one that was pinned and that its wrappers were named.
fn expect_pinned(room: &Room, path: &str, command: &[&str], options: &[&str]) -> Result<Session> {
    let launch = room.run()?.args(["-q", "--require-trace"]).args(options);
    launch.command(command).finish(PATIENCE)?.expect_code(7)?;
    let session = room.session()?;
    let workload = true_workload(&session, path)?;
    let target = session
        .of_kind("target")
        .last()
        .context("no target record")?;
    ensure!(
        session.workload()? == workload.small("pid")?,
        "pinned {}, but the workload is {}: {}",
        session.workload()?,
        workload.small("pid")?,
        target.value
    );
    ensure!(
        target.text("comm") == workload.text("comm"),
        "{} {}",
        target.value,
        workload.value
    );
    ensure!(session.exit_of(session.workload()?)?.int("status")? == 0x700);
    ensure!(
        session.summary["tracked_comm"] == workload.text("comm"),
        "{}",
        session.summary
    );
    ensure!(
        session.summary["tracked_comm_drift"] == false,
        "{}",
        session.summary
    );
    ensure!(session.enrollment()?["pid"].as_i64() == Some(session.workload()?.into()));
    ensure!(!target.text("rule").is_empty(), "no rule: {}", target.value);
    session.expect_complete()?;
    Ok(session)
}

/// As [`expect_pinned`] with one wrapper, which must be named as skipped.
fn expect_behind(wrapper: &str, package: &str, command: &[&str]) -> Result<()> {
    need::program(wrapper, package)?;
    let (room, path) = room_with("the-workload")?;
    let shell = format!("{path} 7; exit $?");
    let command: Vec<&str> = command
        .iter()
        .flat_map(|&part| match part {
            "W" => vec![path.as_str(), "7"],
            "S" => vec![shell.as_str()],
            other => vec![other],
        })
        .collect();
    let session = expect_pinned(&room, &path, &command, &[])
        .with_context(|| format!("behind {wrapper}: {command:?}"))?;
    let target = session
        .of_kind("target")
        .last()
        .context("no target record")?;
    let skipped = target.value["skipped"].to_string();
    ensure!(
        skipped.contains(wrapper),
        "{wrapper} is not among the skipped: {skipped}"
    );
    Ok(())
}

macro_rules! wrappers {
    ($($test:ident: $wrapper:literal of $package:literal, [$($part:literal),+];)+) => {$(
        #[test]
        fn $test() -> Result<()> {
            expect_behind($wrapper, $package, &[$($part),+])
        }
    )+};
}

// W stands for the workload with its argument, S for a shell command that runs it and passes it on.
wrappers! {
    the_workload_behind_timeout_is_pinned: "timeout" of "coreutils", ["timeout", "20", "W"];
    the_workload_behind_env_is_pinned: "env" of "coreutils", ["env", "A=1", "W"];
    the_workload_behind_nice_is_pinned: "nice" of "coreutils", ["nice", "-n", "1", "W"];
    the_workload_behind_nohup_is_pinned: "nohup" of "coreutils", ["nohup", "W"];
    the_workload_behind_setsid_is_pinned: "setsid" of "util-linux", ["setsid", "--wait", "W"];
    the_workload_behind_stdbuf_is_pinned: "stdbuf" of "coreutils", ["stdbuf", "-o0", "W"];
    the_workload_behind_sudo_is_pinned: "sudo" of "sudo", ["sudo", "-n", "W"];
    the_workload_behind_tini_is_pinned: "tini" of "tini", ["tini", "-s", "--", "W"];
    the_workload_behind_sh_is_pinned: "sh" of "dash", ["sh", "-c", "S"];
    the_workload_behind_a_login_bash_is_pinned: "bash" of "bash", ["bash", "-lc", "S"];
    the_workload_behind_script_is_pinned: "script" of "bsdutils", ["script", "-qefc", "S", "/dev/null"];
    the_workload_behind_a_nest_is_pinned: "timeout" of "coreutils",
        ["setsid", "-w", "nice", "env", "-u", "X", "timeout", "20", "sh", "-c", "S"];
}

#[test]
fn a_wrapper_around_wrappers_around_a_terminal_still_shows_the_workload() -> Result<()> {
    for (program, package) in [("script", "bsdutils"), ("sudo", "sudo"), ("tini", "tini")] {
        need::program(program, package)?;
    }
    let (room, path) = room_with("the-workload")?;
    let inner = format!("sudo -n env B=2 tini -s -- timeout 20 bash -c '{path} 7; exit $?'");
    expect_pinned(
        &room,
        &path,
        &["sh", "-c", "script -qefc \"$0\" /dev/null", &inner],
        &[],
    )?;
    Ok(())
}

#[test]
fn a_workload_that_lives_two_milliseconds_under_three_wrappers_is_resolved_from_events()
-> Result<()> {
    for round in 0..10 {
        let (room, path) = room_with("blink")?;
        let session = expect_pinned(
            &room,
            &path,
            &["timeout", "20", "env", "A=1", "nice", &path, "7"],
            &[],
        )
        .with_context(|| format!("round {round}"))?;
        let wall = session.exit_of(session.workload()?)?.int("wall_us")?;
        ensure!(wall < 1_000_000, "it lived {wall} µs");
    }
    Ok(())
}

#[test]
fn python_behind_a_terminal_wrapper_is_watched_itself_and_not_the_wrapper() -> Result<()> {
    need::program("script", "bsdutils")?;
    need::program("python3", "python3")?;
    let room = Room::new()?;
    let python = "python3 -c 'import time; held = bytearray(60 << 20); time.sleep(0.5)'";
    let options = ["-q", "--require-trace", "--interval", "50ms"];
    let launch = room
        .run()?
        .args(options)
        .command(["script", "-qefc", python, "/dev/null"]);
    launch.finish(PATIENCE)?.expect_code(0)?;
    let session = room.session()?;
    let workload = session.workload()?;
    let rows: Vec<_> = session
        .rows
        .iter()
        .filter(|row| row["role"] == "workload")
        .collect();
    ensure!(!rows.is_empty(), "no row of the workload");
    for row in rows {
        ensure!(row["pid"].as_i64() == Some(workload.into()), "{row}");
        ensure!(
            row["comm"] != "script" && row["comm"] != "sh",
            "a wrapper's row: {row}"
        );
    }
    let comm = session.summary["tracked_comm"].as_str().unwrap_or_default();
    ensure!(comm.starts_with("python"), "tracked_comm is {comm:?}");
    let peak = session.exit_of(workload)?.int("peak_rss_kb")?;
    ensure!(peak > 30_000, "peak_rss_kb is {peak}");
    ensure!(
        session.number("/peak_rss_kb")? > 30_000,
        "{}",
        session.summary
    );
    session.expect_complete()
}

#[test]
fn an_expected_name_is_matched_by_comm_by_exe_and_when_it_is_longer_than_a_comm() -> Result<()> {
    for name in [
        "claude",
        "exactly15bytes!",
        "a-name-longer-than-fifteen-bytes",
    ] {
        let (room, path) = room_with(name)?;
        let command = ["timeout", "20", "sh", "-c", "\"$0\" 7; exit $?", &path];
        expect_pinned(&room, &path, &command, &["--expect", name])
            .with_context(|| name.to_owned())?;
    }
    Ok(())
}

#[test]
fn an_expected_name_skips_other_programs_that_are_no_wrappers() -> Result<()> {
    let (room, path) = room_with("the-workload")?;
    let tiny = place::fixture_text("tiny")?;
    let shell = format!("{tiny} 0; {path} 7; code=$?; {tiny} 0; exit $code");
    expect_pinned(
        &room,
        &path,
        &["sh", "-c", &shell],
        &["--expect", "the-workload"],
    )?;
    Ok(())
}

#[test]
fn a_script_run_through_env_is_matched_by_its_own_name() -> Result<()> {
    need::program("python3", "python3")?;
    let room = Room::new()?;
    let script = room.script(
        "job.py",
        "#!/usr/bin/env python3\nimport sys\nsys.exit(7)\n",
    )?;
    let launch = room
        .run()?
        .args(["-q", "--require-trace", "--expect", "job.py"]);
    launch
        .command(["timeout", "20"])
        .arg(&script)
        .finish(PATIENCE)?
        .expect_code(7)?;
    let session = room.session()?;
    let execs = session
        .of_kind("exec")
        .filter(|exec| exec.text("filename").ends_with("job.py"));
    let script = execs
        .last()
        .context("the script was not run")?
        .small("pid")?;
    ensure!(
        session.workload()? == script,
        "pinned {}, not {script}",
        session.workload()?
    );
    Ok(())
}

#[test]
fn a_shim_in_the_manner_of_pyenv_leads_to_the_program_itself() -> Result<()> {
    let room = Room::new()?;
    for folder in ["shims", "libexec", "versions"] {
        std::fs::create_dir(room.path(folder))?;
    }
    let shim = "#!/usr/bin/env bash\nset -e\nprogram=\"${0##*/}\"\n\
                exec \"${0%/*}/../libexec/pyenv\" exec \"$program\" \"$@\"\n";
    let pyenv = "#!/usr/bin/env bash\nset -e\nversion=\"$(printf 3)\"\nshift\nprogram=\"$1\"\nshift\n\
                 test -n \"$version\"\nexec \"${0%/*}/../versions/$program\" \"$@\"\n";
    let shim = room.script("shims/mytool", shim)?;
    room.script("libexec/pyenv", pyenv)?;
    std::fs::copy(place::fixture("tiny")?, room.path("versions/mytool"))?;
    for options in [&["--expect", "mytool"][..], &[]] {
        let state = room.path(&format!("state-{}", options.len()));
        let launch =
            room.program(place::tracer()?)
                .args(["run", "-q", "--require-trace", "--state-dir"]);
        let launch = launch.arg(&state).args(options).command([&shim]).arg("7");
        launch.finish(PATIENCE)?.expect_code(7)?;
        let folder = std::fs::read_dir(state.join("sessions"))?
            .next()
            .context("no session")??
            .path();
        let session = Session::read(&folder)?;
        ensure!(
            session.workload()? == session.root()?,
            "pinned {}",
            session.workload()?
        );
        ensure!(
            session.summary["tracked_comm"] == "mytool",
            "{}",
            session.summary["tracked_comm"]
        );
    }
    Ok(())
}

#[test]
fn a_shim_in_the_manner_of_npx_leads_to_the_program_it_starts() -> Result<()> {
    need::program("node", "nodejs")?;
    let (room, path) = room_with("the-workload")?;
    let npx = "#!/usr/bin/env node\n\
               const { spawnSync } = require('child_process');\n\
               const run = spawnSync('sh', ['-c', process.argv.slice(2).join(' ') + '; exit $?'], \
               { stdio: 'inherit' });\nprocess.exit(run.status);\n";
    let npx = place::text(&room.script("npx", npx)?)?;
    expect_pinned(&room, &path, &[&npx, &path, "7"], &[])?;
    Ok(())
}

#[test]
fn an_expected_name_nobody_has_is_told_with_all_that_was_seen_and_changes_nothing_else()
-> Result<()> {
    let room = Room::new()?;
    let tiny = place::fixture_text("tiny")?;
    let launch = room
        .run()?
        .args(["--require-trace", "--expect", "no-such-name"]);
    let launch = launch.command(["sh", "-c", "\"$0\" 3; exit 5", &tiny]);
    let end = launch.finish(PATIENCE)?.expect_code(5)?;
    let session = room.session()?;
    let root = session.root()?;
    end.expect_words(&[&root.to_string(), "sh", "no-such-name", "tiny"])?;
    ensure!(
        session
            .of_kind("target")
            .all(|target| target.small("pid").is_err()),
        "something was pinned"
    );
    let enrollment = session.enrollment()?;
    ensure!(
        enrollment.to_string().contains("unresolved"),
        "{enrollment}"
    );
    ensure!(
        enrollment["root_pid"].as_i64() == Some(root.into()),
        "{enrollment}"
    );
    ensure!(
        session.rows.iter().all(|row| row["role"] != "workload"),
        "a wrapper became the workload"
    );
    session.expect_complete()
}

#[test]
fn a_workload_that_starts_late_is_still_pinned_while_the_wrapper_waits() -> Result<()> {
    let (room, path) = room_with("the-workload")?;
    let go = place::text(&room.path("go"))?;
    let shell = format!("while ! test -e {go}; do sleep 0.02; done; {path} 7; exit $?");
    let launch = room
        .run()?
        .args(["-q", "--require-trace", "--expect", "the-workload"]);
    let tracer = launch.command(["bash", "-c", &shell]).spawn()?;
    wait_for("the session", PATIENCE, || {
        Ok((room.session_folders()?.len() == 1).then_some(()))
    })?;
    let folder = room.session_folder()?;
    ensure!(
        !folder.join("enrollment.json").exists(),
        "enrolled before the workload was there"
    );
    std::fs::write(&go, "")?;
    tracer.finish(PATIENCE)?.expect_code(7)?;
    let session = room.session()?;
    ensure!(session.workload()? == true_workload(&session, &path)?.small("pid")?);
    Ok(())
}

#[test]
fn a_pid_that_names_a_plain_process_is_the_workload_itself() -> Result<()> {
    let room = Room::new()?;
    let target = tracer_tests::check::started(&room, "idle", &[])?;
    let tracer = room.attach(target.pid())?.arg("-q").spawn()?;
    tracer_tests::check::until_armed(&room, &tracer)?;
    target.signal(Signal::TERM)?;
    let pid = target.pid();
    target.finish(PATIENCE)?;
    tracer.finish(PATIENCE)?.expect_code(0)?;
    ensure!(room.session()?.workload()? == pid);
    Ok(())
}
