//! `tracer sessions` on sessions that `tracer run` has made.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tracer_tests::room::Room;
use tracer_tests::told::{expect, going_on, ids, listed, record, sessions, text};
use tracer_tests::wait::{PATIENCE, wait_for};

#[test]
fn v7_an_empty_store_is_explained_and_nothing_is_made() -> Result<()> {
    let room = Room::without_kernel()?;
    let end = sessions(&room, &[])?.expect_code(0)?;
    ensure!(end.stdout.is_empty(), "{}", text(&end));
    expect(&end.stderr, &["no sessions in", "tracer run -- COMMAND"])?;
    ensure!(listed(&room, &[])?.is_empty());
    sessions(&room, &["show", "2026"])?
        .expect_code(1)?
        .expect_words(&["no sessions in"])?;
    ensure!(
        !room.state().exists(),
        "looking has made the state directory"
    );
    Ok(())
}

#[test]
fn v1_v9_c26_sessions_are_listed_newest_first_with_how_they_ended() -> Result<()> {
    let room = Room::new()?;
    record(&room, &["--label", "team=core"], "exit 0")?.expect_code(0)?;
    record(&room, &["--label", "team=web"], "exit 7")?.expect_code(7)?;
    record(&room, &[], "kill -SEGV $$")?.expect_code(139)?;
    let all = listed(&room, &[])?;
    let key = |key: &str| {
        all.iter()
            .map(|session| session[key].clone())
            .collect::<Vec<_>>()
    };
    ensure!(key("status") == ["killed", "error", "success"], "{all:?}");
    ensure!(key("exit_code") == [139, 7, 0], "{all:?}");
    ensure!(
        key("cause") == ["fault", "error_exit", "success"],
        "{all:?}"
    );
    ensure!(
        all.iter()
            .all(|session| session["peak_rss_kb"].as_u64() > Some(0)),
        "{all:?}"
    );
    let shown = text(&sessions(&room, &["list"])?.expect_code(0)?);
    let lines: Vec<&str> = shown.lines().collect();
    ensure!(
        lines.len() == 4 && lines[0].starts_with("SESSION"),
        "{shown}"
    );
    expect(lines[1], &["killed: SIGSEGV, fault", "sh", "MiB"])?;
    expect(lines[2], &["error: exit 7"])?;
    expect(lines[3], &["success"])?;
    ensure!(ids(&room, &["--label", "team"])?.len() == 2);
    ensure!(ids(&room, &["--label", "team=web", "--status", "error"])?.len() == 1);
    ensure!(
        ids(&room, &["--since", "1h"])?.len() == 3 && ids(&room, &["--until", "1h"])?.is_empty()
    );
    let end = sessions(&room, &["list", "-n", "2", "-p", "2"])?
        .expect_words(&["3 to 3 of 3", "page 2 of 2"])?;
    ensure!(text(&end).lines().count() == 2);
    sessions(&room, &["list", "-p", "9"])?
        .expect_code(0)?
        .expect_words(&["page 9 is empty"])?;
    sessions(&room, &["list", "-p", "0"])?.expect_code(2)?;
    sessions(&room, &["list", "--since", "soon"])?.expect_code(2)?;
    Ok(())
}

#[test]
fn v3_a_session_is_named_by_its_id_a_beginning_or_its_random_part() -> Result<()> {
    let room = Room::new()?;
    record(&room, &[], "exit 1")?;
    record(&room, &[], "exit 2")?;
    let ids = ids(&room, &[])?;
    for id in &ids {
        for name in [id.as_str(), &id[24..], &id[..31]] {
            let end = sessions(&room, &["path", name])?;
            // The first 31 digits may be those of one only.
            let path = text(&end.expect_code(0)?);
            ensure!(path.trim_end().ends_with(id), "{name}: {path}");
            ensure!(Path::new(path.trim_end()).is_dir());
        }
    }
    let both = &ids[0][..4];
    let end = sessions(&room, &["show", both])?.expect_code(1)?;
    expect(&end.stderr, &["fits 2 sessions", &ids[0], &ids[1]])?;
    sessions(&room, &["show", "../.."])?
        .expect_code(1)?
        .expect_words(&["no session"])?;
    Ok(())
}

#[test]
fn v9_c17_a_session_is_shown_with_its_processes_also_after_its_observer_was_killed() -> Result<()> {
    let room = Room::new()?;
    let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do /bin/true $i; done; exit 3";
    record(&room, &["--label", "a=b"], script)?.expect_code(3)?;
    let id = ids(&room, &[])?.remove(0);
    let shown = text(&sessions(&room, &["show", "-n", "4", &id])?.expect_code(0)?);
    let words = [
        id.as_str(),
        "error",
        "exited 3",
        "a=b",
        "13 run",
        "13 processes, the first 2 and the last 2",
        "(9 left out)",
        "/bin/true 12",
        "exit 3",
        "most CPU time",
        "largest peak RSS",
    ];
    expect(&shown, &words)?;
    ensure!(!shown.contains("/bin/true 6 "), "{shown}");
    let all = text(&sessions(&room, &["show", "-n", "0", &id])?.expect_code(0)?);
    expect(&all, &["/bin/true 6", "13 processes\n"])?;

    let tracer = going_on(&room)?;
    tracer.signal(Signal::KILL)?;
    ensure!(tracer.finish(PATIENCE)?.signal == Some(9));
    let killed = ids(&room, &["--status", "interrupted"])?.remove(0);
    // The kernel goes on, and whoever looks is told.
    let end =
        sessions(&room, &["list"])?.expect_words(&["the kernel still records for", &killed])?;
    expect(&text(&end), &["interrupted"])?;
    sessions(&room, &["rm", "--force", &killed])?
        .expect_code(1)?
        .expect_words(&["programs in the kernel"])?;
    let verify = |id: &str| sessions(&room, &["verify", id]);
    expect(
        &text(&verify(&killed)?.expect_code(0)?),
        &["interrupted", "no end"],
    )?;
    expect(
        &text(&sessions(&room, &["show", &killed])?.expect_code(0)?),
        &[
            "interrupted: its observer is gone",
            "tracer recover",
            "forever",
        ],
    )?;
    sessions(&room, &["rebuild", &killed])?
        .expect_code(1)?
        .expect_words(&["tracer recover"])?;
    // Its target is told to end: then the session can be brought to its own.
    std::fs::write(room.path("stop"), "")?;
    wait_for("the session to be recovered", PATIENCE, || {
        room.tracer("recover")?.finish(PATIENCE)?.expect_code(0)?;
        Ok((listed(&room, &["--status", "interrupted"])?.is_empty()).then_some(()))
    })?;
    let end = sessions(&room, &["list"])?.expect_code(0)?;
    ensure!(!end.stderr.contains("the kernel still"), "{}", end.stderr);
    let crashed = listed(&room, &["--status", "crashed"])?;
    ensure!(
        crashed.len() == 1 && crashed[0]["session_id"] == killed.as_str(),
        "{crashed:?}"
    );
    expect(
        &text(&verify(&killed)?.expect_code(0)?),
        &["ok", "2 epochs"],
    )?;
    expect(
        &text(&sessions(&room, &["show", &killed])?.expect_code(0)?),
        &["crashed", "forever", "epochs"],
    )?;
    let export = sessions(&room, &["show", "--json", &killed])?.expect_code(0)?;
    let export: Value = serde_json::from_slice(&export.stdout)?;
    ensure!(
        export["summary"]["subtype"] == "crashed" && export["epochs"] == 2,
        "{export}"
    );
    Ok(())
}

#[test]
fn v4_c28_who_follows_sees_what_happens_while_it_happens_and_ends_with_it() -> Result<()> {
    let room = Room::new()?;
    let tracer = going_on(&room)?;
    // It may say that it is ready before tracer has it on disk who it is.
    let running = wait_for("the workload in the listing", PATIENCE, || {
        let running = listed(&room, &[])?.remove(0);
        ensure!(
            running["status"] == "running" && running["ended"].is_null(),
            "{running}"
        );
        Ok((running["workload"] == "forever").then_some(running))
    })?;
    let id = running["session_id"].as_str().context("no id")?;
    let follow = room
        .tracer("sessions")?
        .args(["show", "--follow", id])
        .spawn()?;
    let seen = |what: &str| {
        wait_for(what, PATIENCE, || {
            Ok(follow.stdout().contains(what).then_some(()))
        })
    };
    seen("target")?;
    let shown = text(&sessions(&room, &["show", id])?.expect_code(0)?);
    expect(&shown, &["status      running", "running for", "alive"])?;
    sessions(&room, &["rm", "--force", id])?
        .expect_code(1)?
        .expect_words(&["running"])?;
    ensure!(text(&sessions(&room, &["verify", id])?.expect_code(0)?).contains("ok      running"));
    // A signal changes nothing of the target and is an event, at once and with nothing after it.
    let workload = i32::try_from(running["pid"].as_i64().context("no pid")?)?;
    let workload = rustix::process::Pid::from_raw(workload).context("pid 0")?;
    rustix::process::kill_process(workload, Signal::CONT)?;
    seen("SIGCONT")?;
    std::fs::write(room.path("stop"), "")?;
    let end = follow.finish(PATIENCE)?.expect_code(0)?;
    expect(
        &text(&end),
        &["begin", "fork", "exec", "exit", "end    completed"],
    )?;
    tracer.finish(PATIENCE)?.expect_code(0)?;
    Ok(())
}

#[test]
fn v5_clear_hides_what_has_ended_and_removes_nothing() -> Result<()> {
    let room = Room::new()?;
    record(&room, &[], "exit 0")?;
    let tracer = going_on(&room)?;
    sessions(&room, &["clear"])?
        .expect_code(0)?
        .expect_words(&["--all"])?;
    ensure!(
        listed(&room, &[])?.len() == 1,
        "the running one has not ended before"
    );
    ensure!(listed(&room, &["--all"])?.len() == 2);
    std::fs::write(room.path("stop"), "")?;
    tracer.finish(PATIENCE)?.expect_code(0)?;
    let end = sessions(&room, &["list"])?.expect_words(&["1 left out", "cleared"])?;
    expect(&text(&end), &["forever"])?;
    ensure!(room.session_folders()?.len() == 2);
    Ok(())
}

#[test]
fn a_rebuild_gives_every_byte_back_and_verify_tells_when_one_is_wrong() -> Result<()> {
    let room = Room::new()?;
    record(&room, &["--interval", "20ms"], "sleep 0.2; exit 4")?.expect_code(4)?;
    let folder = room.session_folder()?;
    let read = |name: &str| std::fs::read(folder.join(name)).with_context(|| name.to_owned());
    let before = (read("summary.json")?, read("proc_trace.jsonl")?);
    let index = std::fs::read(room.state().join("sessions.jsonl"))?;
    ensure!(before.1.len() > 1000, "rows to compare");
    sessions(&room, &["verify", "--all"])?.expect_code(0)?;
    std::fs::write(folder.join("summary.json"), "{}")?;
    std::fs::remove_file(folder.join("proc_trace.jsonl"))?;
    let end = sessions(&room, &["verify", "--all"])?.expect_code(1)?;
    expect(
        &text(&end),
        &[
            "BROKEN  summary.json: not what the journal gives",
            "note    proc_trace.jsonl: missing",
        ],
    )?;
    let id = folder
        .file_name()
        .context("a name")?
        .to_string_lossy()
        .into_owned();
    sessions(&room, &["rebuild", &id])?.expect_code(0)?;
    ensure!(
        (read("summary.json")?, read("proc_trace.jsonl")?) == before,
        "not the same bytes"
    );
    ensure!(std::fs::read(room.state().join("sessions.jsonl"))? == index);
    sessions(&room, &["verify", &id])?.expect_code(0)?;

    let mut journal = read("journal.0.jsonl")?;
    let middle = journal.len() / 2;
    journal[middle] ^= 1;
    std::fs::write(folder.join("journal.0.jsonl"), &journal)?;
    let end = sessions(&room, &["verify", &id])?.expect_code(1)?;
    expect(
        &text(&end),
        &["BROKEN  journal.0.jsonl: 1 line does not count"],
    )?;
    end.expect_words(&["1 of 1 session broken"])?;
    Ok(())
}

#[test]
fn v6_no_name_in_a_record_reaches_the_terminal_as_it_is() -> Result<()> {
    let room = Room::new()?;
    let nasty = "\u{1b}[2J\u{202e}\nSESSION  forged";
    let label = format!("key={nasty}");
    let end = room
        .run()?
        .args(["-q", "--label", &label])
        .command(["sh", "-c", ": \"$1\"; exit 1", nasty, nasty])
        .finish(PATIENCE)?;
    end.expect_code(1)?;
    let id = ids(&room, &[])?.remove(0);
    for args in [["list", "-a"], ["show", &id], ["verify", &id]] {
        let end = sessions(&room, &args)?.expect_code(0)?;
        let all = text(&end) + &end.stderr;
        ensure!(!all.contains(['\u{1b}', '\u{202e}']), "{all:?}");
        ensure!(!all.contains("\nSESSION  forged"), "{all}");
    }
    Ok(())
}
