//! Secrets in command lines: nowhere in the record, nowhere beside it, unless the user asked for it.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tracer_tests::room::Room;
use tracer_tests::session::Session;
use tracer_tests::wait::PATIENCE;

/// A root, a child, an environment, an address and a killer, each with a secret in its arguments.
const SCRIPT: &str = "/bin/true --token=hunter-child; env PGPASSWORD='hunter env' true; \
    /bin/true postgres://me:hunter-url@host/db; \
    sleep 30 & sh -c 'kill -KILL $1; sleep 0.3; :' killer $! --api-key=hunter-killer; wait; exit 0";

/// The session and everything that was written anywhere.
struct Written {
    room: Room,
    session: Session,
    /// Path and bytes of each file; standard error is one of them.
    files: Vec<(String, Vec<u8>)>,
}

fn record(options: &[&str]) -> Result<Written> {
    let room = Room::new()?;
    let lines = format!("--json={}", room.path("lines").display());
    let launch = room
        .run()?
        .args(["-v", "--require-trace", &lines])
        .args(options);
    let command = ["sh", "-c", SCRIPT, "sh", "--password", "hunter-root"];
    let end = launch.command(command).finish(PATIENCE)?.expect_code(0)?;
    let mut files = vec![("stderr".to_owned(), end.stderr.into_bytes())];
    read_all(&room.state(), &mut files)?;
    read_all(&room.path("lines"), &mut files)?;
    Ok(Written {
        session: room.session()?,
        files,
        room,
    })
}

fn read_all(path: &Path, into: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            read_all(&entry?.path(), into)?;
        }
    } else {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        into.push((path.display().to_string(), bytes));
    }
    Ok(())
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[test]
fn no_secret_of_a_command_line_is_written_anywhere() -> Result<()> {
    let Written {
        room,
        session,
        files,
    } = record(&[])?;
    ensure!(files.len() >= 6, "{} files", files.len());
    for (name, bytes) in &files {
        ensure!(
            !holds(bytes, "hunter"),
            "{name}: {}",
            String::from_utf8_lossy(bytes)
        );
    }
    let first = &session.journal[0].value;
    ensure!(first["redact"] == true, "{first}");
    // In the text of the script there are four, and one behind it.
    ensure!(first["redacted"] == 5, "{first}");
    ensure!(first["command"][5] == "[redacted]", "{first}");
    let execs: Vec<&Value> = session
        .of_kind("exec")
        .map(|record| &record.value)
        .collect();
    for wanted in ["--token=[redacted]", "postgres://me:[redacted]@host/db"] {
        let found = execs.iter().find(|exec| exec["argv"][1] == wanted);
        ensure!(
            found.is_some_and(|exec| exec["redacted"] == 1),
            "{wanted}: {execs:?}"
        );
    }
    let plain = execs
        .iter()
        .find(|exec| exec["argv"] == serde_json::json!(["true"]));
    ensure!(
        plain.is_some_and(|exec| exec.get("redacted").is_none()),
        "{execs:?}"
    );
    let sent = session
        .of_kind("signal")
        .find(|record| record.value["signal_name"] == "SIGKILL");
    let sender = &sent.context("no SIGKILL")?.value["sender"];
    let line = sender["cmdline"].as_str().unwrap_or_default();
    ensure!(
        line.ends_with("--api-key=[redacted]") && sender["redacted"] == 1,
        "{sender}"
    );
    let enrollment = session.enrollment()?;
    let line = enrollment["cmdline"].as_str().unwrap_or_default();
    ensure!(line.ends_with("--password [redacted]"), "{enrollment}");
    ensure!(enrollment["redacted"] == 5, "{enrollment}");
    let command = session.summary["command"].as_str().unwrap_or_default();
    ensure!(command.contains("[redacted]"), "{command}");
    drop(room);
    session.expect_complete()
}

#[test]
fn whoever_asks_for_everything_gets_it() -> Result<()> {
    let Written {
        room,
        session,
        files,
    } = record(&["--no-redact"])?;
    let first = &session.journal[0].value;
    ensure!(
        first["redact"] == false && first.get("redacted").is_none(),
        "{first}"
    );
    for name in [
        "stderr",
        "journal.0.jsonl",
        "enrollment.json",
        "summary.json",
        "lines",
    ] {
        let found = files.iter().find(|(path, _)| path.ends_with(name));
        let (_, bytes) = found.with_context(|| format!("no {name}"))?;
        ensure!(holds(bytes, "hunter-root"), "{name}");
        ensure!(!holds(bytes, "[redacted]"), "{name}");
    }
    drop(room);
    Ok(())
}

#[test]
fn the_search_for_the_workload_sees_the_true_arguments() -> Result<()> {
    let room = Room::new()?;
    let name = "ghp_0123456789abcdefghij";
    std::fs::write(room.path(name), "exit 0\n")?;
    let script = room.path(name);
    let launch = room
        .run()?
        .args(["-q", "--require-trace", "--expect", name]);
    let command = ["sh".as_ref(), script.as_os_str()];
    launch.command(command).finish(PATIENCE)?.expect_code(0)?;
    let session = room.session()?;
    session.workload()?;
    let target = session.of_kind("target").next().context("no target")?;
    let line = target.value["cmdline"].as_str().unwrap_or_default();
    ensure!(
        line.ends_with("/[redacted]") && target.value["redacted"] == 1,
        "{line}"
    );
    Ok(())
}

#[test]
fn a_workload_that_was_not_found_is_not_searched_for_aloud() -> Result<()> {
    let room = Room::new()?;
    let launch = room
        .run()?
        .args(["-v", "--require-trace", "--expect", "nobody"]);
    let end = launch
        .command(["env", "true", "--password=hunter2"])
        .finish(PATIENCE)?
        .expect_code(0)?;
    let mut files = vec![("stderr".to_owned(), end.stderr.into_bytes())];
    read_all(&room.state(), &mut files)?;
    for (name, bytes) in &files {
        ensure!(
            !holds(bytes, "hunter2"),
            "{name}: {}",
            String::from_utf8_lossy(bytes)
        );
    }
    let (_, stderr) = &files[0];
    ensure!(
        holds(stderr, "--password=[redacted]"),
        "{}",
        String::from_utf8_lossy(stderr)
    );
    Ok(())
}
