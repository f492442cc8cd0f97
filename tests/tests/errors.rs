//! What cannot be done is said in one message with the fix, and the command runs anyway if it can.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;

use anyhow::{Context as _, Result, ensure};
use tracer_tests::launch::{Finished, Launch};
use tracer_tests::room::Room;
use tracer_tests::wait::PATIENCE;
use tracer_tests::{place, sys};

const NOBODY: u32 = 65534;

/// `tracer run`, from a copy that any user may execute, as nobody.
fn as_nobody(room: &Room) -> Result<Launch> {
    let program = room.path("tracer");
    std::fs::copy(place::tracer()?, &program)?;
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755))?;
    let mut launch = room
        .program(&program)
        .args(["run", "--state-dir"])
        .arg(room.path("own-state"));
    launch
        .raw()
        .uid(NOBODY)
        .gid(NOBODY)
        .env("HOME", room.path(""));
    Ok(launch)
}

/// `tracer run` as root without any capability, as in a restricted container.
fn without_capabilities(room: &Room) -> Result<Launch> {
    Ok(room.run()?.before_exec(sys::drop_capabilities))
}

/// One short message with a fix, no panic, no stack of causes without a remedy.
fn expect_one_message(end: &Finished, fixes: &[&str]) -> Result<()> {
    let text = end.stderr.to_lowercase();
    ensure!(!text.contains("panicked"), "{}", end.stderr);
    ensure!(
        fixes.iter().any(|fix| text.contains(fix)),
        "no fix of {fixes:?} in:\n{}",
        end.stderr
    );
    Ok(())
}

#[test]
fn without_root_the_command_runs_untraced_and_keeps_its_exit_code() -> Result<()> {
    let room = Room::new()?;
    let launch = as_nobody(&room)?.command(["sh", "-c", "id -u; exit 6"]);
    let end = launch.finish(PATIENCE)?.expect_code(6)?;
    ensure!(end.stdout == b"65534\n", "{:?}", end.stdout);
    expect_one_message(&end, &["sudo", "cap_bpf", "root"])?;
    let sessions = room.path("own-state").join("sessions");
    let folder = std::fs::read_dir(&sessions)?
        .next()
        .context("no session")??
        .path();
    let session = tracer_tests::session::Session::read(&folder)?;
    let account = &session.summary["completeness"];
    ensure!(
        account["status"] == "incomplete",
        "an untraced run is not a complete record: {account}"
    );
    ensure!(
        session.summary["observer"]["backend"] != "ebpf",
        "{}",
        session.summary["observer"]
    );
    ensure!(session.summary["exit_code"] == 6, "{}", session.summary);
    Ok(())
}

#[test]
fn require_trace_without_root_ends_with_125_before_the_command_runs() -> Result<()> {
    let room = Room::new()?;
    let ran = room.path("ran");
    let launch = as_nobody(&room)?
        .arg("--require-trace")
        .command(["touch"])
        .arg(&ran);
    let end = launch.finish(PATIENCE)?.expect_code(125)?;
    expect_one_message(&end, &["sudo", "cap_bpf", "root"])?;
    ensure!(!ran.exists(), "the command ran");
    Ok(())
}

#[test]
fn root_without_capabilities_is_told_which_it_lacks_and_the_command_runs() -> Result<()> {
    let room = Room::new()?;
    let end = without_capabilities(&room)?
        .command(["sh", "-c", "exit 4"])
        .finish(PATIENCE)?;
    let end = end.expect_code(4)?;
    expect_one_message(
        &end,
        &["cap_bpf", "cap_sys_admin", "capabilit", "--privileged"],
    )?;
    let end = without_capabilities(&room)?
        .arg("--require-trace")
        .command(["true"])
        .finish(PATIENCE)?;
    end.expect_code(125)?;
    Ok(())
}

#[test]
fn quiet_says_nothing_even_then() -> Result<()> {
    let room = Room::new()?;
    let launch = as_nobody(&room)?.arg("-q").command(["sh", "-c", "exit 4"]);
    let end = launch.finish(PATIENCE)?.expect_code(4)?;
    ensure!(end.stderr.is_empty(), "{}", end.stderr);
    Ok(())
}

#[test]
fn a_program_that_is_not_there_is_127_and_named() -> Result<()> {
    for program in ["no-such-program-anywhere", "/no/such/path", "./not-here"] {
        let room = Room::new()?;
        let end = room
            .run()?
            .command([program])
            .finish(PATIENCE)?
            .expect_code(127)?;
        end.expect_words(&[program])?;
    }
    Ok(())
}

#[test]
fn a_program_that_cannot_be_executed_is_126_and_named() -> Result<()> {
    let room = Room::new()?;
    let plain = room.path("plain-file");
    std::fs::write(&plain, "no program")?;
    let odd = room.script("odd-format", "\u{1}\u{2}\u{3}\u{4}")?;
    let lost = room.script("lost-interpreter", "#!/no/such/interpreter\n")?;
    let folder = room.path("a-folder");
    std::fs::create_dir(&folder)?;
    for (path, code) in [(&plain, 126), (&odd, 126), (&folder, 126), (&lost, 127)] {
        let end = room.run()?.command([path]).finish(PATIENCE)?;
        let end = end
            .expect_code(code)
            .with_context(|| path.display().to_string())?;
        end.expect_words(&[&path.to_string_lossy()])?;
    }
    Ok(())
}

#[test]
fn a_script_without_an_interpreter_line_fails_as_with_exec_and_not_as_a_signal() -> Result<()> {
    // execve refuses it (ENOEXEC); only shells run such a file. A session says so too.
    let room = Room::new()?;
    let script = room.script("no-shebang", "exit 3\n")?;
    let end = room.run()?.command([&script]).finish(PATIENCE)?;
    ensure!(
        matches!(end.code, Some(126 | 3)),
        "{:?}\n{}",
        end.code,
        end.stderr
    );
    Ok(())
}

#[test]
fn wrong_options_are_usage_errors_that_name_the_option() -> Result<()> {
    let cases: [(&[&str], &str); 7] = [
        (&["--interval", "fast"], "interval"),
        (&["--interval", "0s"], "interval"),
        (&["--interval", "-1s"], "-1s"),
        (&["--no-such-option"], "--no-such-option"),
        (&["--label", "no-equals-sign"], "label"),
        (&["--ring-bytes", "5000"], "ring-bytes"),
        (&["--state-dir"], "state-dir"),
    ];
    for (options, named) in cases {
        let room = Room::new()?;
        let launch = room.program(place::tracer()?).arg("run").args(options);
        let end = launch
            .command(["touch"])
            .arg(room.path("ran"))
            .finish(PATIENCE)?;
        // 125 is tracer's own failure before the command ran; clap's own code is 2.
        ensure!(
            matches!(end.code, Some(2 | 125)),
            "{options:?}: {:?}\n{}",
            end.code,
            end.stderr
        );
        ensure!(
            end.stderr.contains(named),
            "{options:?} is not named:\n{}",
            end.stderr
        );
        ensure!(!room.path("ran").exists(), "{options:?}: the command ran");
    }
    let room = Room::new()?;
    let end = room.run()?.finish(PATIENCE)?;
    ensure!(
        matches!(end.code, Some(2 | 125)),
        "no command: {:?}\n{}",
        end.code,
        end.stderr
    );
    Ok(())
}

#[test]
fn a_state_directory_that_cannot_be_written_is_named_and_the_command_runs() -> Result<()> {
    let room = Room::new()?;
    let file = room.path("file");
    std::fs::write(&file, "")?;
    for state in [file.join("state"), "/proc/no-such-folder/state".into()] {
        let launch = room
            .program(place::tracer()?)
            .args(["run", "--state-dir"])
            .arg(&state);
        let end = launch
            .command(["sh", "-c", "exit 6"])
            .finish(PATIENCE)?
            .expect_code(6)?;
        end.expect_words(&[&state.to_string_lossy()])?;
        let launch = room
            .program(place::tracer()?)
            .args(["run", "--require-trace", "--state-dir"]);
        let launch = launch.arg(&state).command(["touch"]).arg(room.path("ran"));
        launch
            .finish(PATIENCE)?
            .expect_code(125)?
            .expect_words(&[&state.to_string_lossy()])?;
        ensure!(
            !room.path("ran").exists(),
            "--require-trace ran the command without a record"
        );
    }
    Ok(())
}
