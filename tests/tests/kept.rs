//! What is kept beside the record, and of older sessions.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tracer_tests::check::until_noted;
use tracer_tests::room::Room;
use tracer_tests::session::{read_json, read_json_lines};
use tracer_tests::told::{expect, going_on, ids, listed, sessions, text};
use tracer_tests::wait::{PATIENCE, wait_for};

#[test]
fn r17_r24_run_keeps_the_newest_and_never_the_number_of_others() -> Result<()> {
    let room = Room::new()?;
    let tracer = going_on(&room)?;
    std::fs::create_dir(room.state().join("sessions/precious"))?;
    for code in 1..=5 {
        let end = room
            .run()?
            .args(["-q", "--keep", "2"])
            .command(["sh", "-c", &format!("exit {code}")])
            .finish(PATIENCE)?;
        end.expect_code(code)?.expect_words(&[])?;
    }
    let kept = listed(&room, &["--status", "ended"])?;
    let codes: Vec<&Value> = kept.iter().map(|session| &session["exit_code"]).collect();
    ensure!(codes == [5, 4], "{codes:?}");
    ensure!(room.state().join("sessions/precious").is_dir());
    ensure!(listed(&room, &["--status", "running"])?.len() == 1);
    ensure!(read_json_lines(&room.state().join("sessions.jsonl"))?.len() == 2);
    std::fs::write(room.path("stop"), "")?;
    tracer.finish(PATIENCE)?.expect_code(0)?;
    ensure!(listed(&room, &[])?.len() == 3);
    let first = ids(&room, &[])?.pop().context("none")?;
    let end = sessions(&room, &["rm", &first])?.expect_code(0)?;
    expect(&text(&end), &["removed", &first])?;
    sessions(&room, &["rm", &first])?.expect_code(1)?;
    Ok(())
}

#[test]
fn the_callers_files_are_kept_with_the_session_by_its_observer_or_by_recovery() -> Result<()> {
    let room = Room::new()?;
    let usage = room.path("usage");
    let attach = |name: &str, path: &Path| format!("--attach-file={name}={}", path.display());
    symlink("/etc/passwd", room.path("link"))?;
    // Written by the command itself, as token counts are.
    let script = format!("echo '{{\"tokens\":5}}' > {}", usage.display());
    let launch = room.run()?.args(["--keep", "0"]).args([
        attach("usage.json", &usage),
        attach("link", &room.path("link")),
        attach("none", &room.path("none")),
    ]);
    let end = launch
        .command(["sh", "-c", &script])
        .finish(PATIENCE)?
        .expect_code(0)?;
    expect(
        &end.stderr,
        &[
            "link was not copied",
            "none was not copied: it does not exist",
        ],
    )?;
    let folder = room.session_folder()?;
    let copy = folder.join("attachments/usage.json");
    ensure!(read_json(&copy)?["tokens"] == 5);
    ensure!(std::fs::metadata(&copy)?.permissions().mode() & 0o777 == 0o600);
    ensure!(std::fs::read_dir(folder.join("attachments"))?.count() == 1);
    let id = folder
        .file_name()
        .context("a name")?
        .to_string_lossy()
        .into_owned();
    sessions(&room, &["verify", &id])?.expect_code(0)?;
    expect(
        &text(&sessions(&room, &["show", &id])?),
        &["attached    usage.json"],
    )?;
    std::fs::remove_file(&copy)?;
    sessions(&room, &["verify", &id])?.expect_code(1)?;
    for wrong in ["usage.json", "../a=b", "a/b=c", "=b", "a="] {
        let end = room.run()?.args(["--attach-file", wrong]).command(["true"]);
        end.finish(PATIENCE)?
            .expect_code(125)?
            .expect_words(&["--attach-file"])?;
    }

    let room = Room::new()?;
    let audit = room.path("audit");
    let stop = room.path("stop");
    let launch = room
        .run()?
        .args(["-q", "--require-trace"])
        .arg(attach("audit.log", &audit));
    let tracer = launch
        .observe("forever", &["1", &stop.to_string_lossy()])?
        .spawn()?;
    until_noted(&room, "ready")?;
    tracer.signal(Signal::KILL)?;
    tracer.finish(PATIENCE)?;
    std::fs::write(&audit, "what happened")?;
    std::fs::write(&stop, "")?;
    wait_for("the session to be recovered", PATIENCE, || {
        room.tracer("recover")?.finish(PATIENCE)?.expect_code(0)?;
        Ok((listed(&room, &["--status", "crashed"])?.len() == 1).then_some(()))
    })?;
    let copy = room.session_folder()?.join("attachments/audit.log");
    ensure!(std::fs::read(&copy)? == b"what happened");
    sessions(&room, &["verify", "--all"])?.expect_code(0)?;
    Ok(())
}
