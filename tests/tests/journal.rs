//! The journal while it grows, the index of many sessions, and the records as a stream.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use tracer_tests::check::{recorded_with, until_noted};
use tracer_tests::journal::read_growing;
use tracer_tests::room::Room;
use tracer_tests::session::{Session, read_json_lines};
use tracer_tests::wait::{PATIENCE, wait_for};

#[test]
fn the_index_has_one_row_a_session_and_none_is_torn_by_twenty_at_once() -> Result<()> {
    let room = Room::new()?;
    let start = |_| room.run()?.arg("-q").command(["true"]).spawn();
    let running = (0..20).map(start).collect::<Result<Vec<_>>>()?;
    for tracer in running {
        tracer.finish(Duration::from_secs(120))?.expect_code(0)?;
    }
    let index = read_json_lines(&room.state().join("sessions.jsonl"))?;
    let ids: std::collections::BTreeSet<_> = index
        .iter()
        .map(|row| row["session_id"].to_string())
        .collect();
    ensure!(
        index.len() == 20 && ids.len() == 20,
        "{} rows, {} ids",
        index.len(),
        ids.len()
    );
    for folder in room.session_folders()? {
        let session = Session::read(&folder)?;
        session.expect_complete()?;
        ensure!(ids.contains(&session.summary["session_id"].to_string()));
    }
    Ok(())
}

#[test]
fn r10_ten_trees_recorded_at_once_are_each_the_truth_and_nobody_elses() -> Result<()> {
    let trees: [(&str, &[&str]); 5] = [
        ("storm", &["fork", "2", "60"]),
        ("storm", &["vfork", "3", "30"]),
        ("family", &["double-fork"]),
        ("family", &["threads"]),
        ("family", &["vfork", "posix-spawn"]),
    ];
    let one = |(fixture, args): (&str, &[&str])| -> Result<usize> {
        // Forks with their creators and parents, execs and exits are compared, and nothing may be left over.
        let run = recorded_with(fixture, args, &[], Duration::from_secs(120))?;
        Ok(run.session.journal.len())
    };
    std::thread::scope(|scope| {
        let running = trees.map(|tree| [(); 2].map(|()| scope.spawn(move || one(tree))));
        let ended = running.into_iter().flatten().map(|run| match run.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        let records = ended.collect::<Result<Vec<_>>>()?;
        ensure!(records.iter().all(|&records| records > 5), "{records:?}");
        Ok(())
    })
}

#[test]
fn the_journal_grows_while_the_command_runs_and_is_readable_at_any_time() -> Result<()> {
    let room = Room::new()?;
    let stop = room.path("stop");
    let launch = room
        .run()?
        .args(["-q", "--require-trace", "--interval", "50ms"]);
    let tracer = launch
        .observe("forever", &["2", &stop.to_string_lossy()])?
        .spawn()?;
    until_noted(&room, "ready")?;
    let journal = room.session_folder()?.join("journal.0.jsonl");
    let (mut seen, mut bytes) = (0, 0);
    for _ in 0..5 {
        bytes = wait_for("more bytes", PATIENCE, || {
            let now = std::fs::metadata(&journal)?.len();
            Ok((now > bytes).then_some(now))
        })?;
        let records = read_growing(&journal)?;
        ensure!(
            records
                .windows(2)
                .all(|pair| pair[0].seq + 1 == pair[1].seq),
            "a gap"
        );
        ensure!(
            records.len() > seen,
            "{} records, {seen} before",
            records.len()
        );
        seen = records.len();
    }
    std::fs::write(&stop, "")?;
    tracer.finish(PATIENCE)?.expect_code(0)?;
    let session = room.session()?;
    ensure!(session.journal.len() > seen);
    ensure!(
        session
            .journal
            .windows(2)
            .all(|pair| pair[0].seq + 1 == pair[1].seq)
    );
    session.expect_complete()
}

#[test]
fn json_lines_on_stdout_or_in_a_file_are_the_journals_records() -> Result<()> {
    let room = Room::new()?;
    let file = room.path("events.jsonl");
    let launch = room
        .run()?
        .args(["-q", &format!("--json={}", file.display())]);
    launch
        .observe("storm", &["vfork", "2", "20"])?
        .finish(PATIENCE)?
        .expect_code(0)?;
    let session = room.session()?;
    for kind in ["fork", "exec", "exit"] {
        let lines = read_json_lines(&file)?
            .into_iter()
            .filter(|line| line["kind"] == kind);
        ensure!(lines.count() as u64 == session.count(kind), "{kind}");
    }
    let room = Room::new()?;
    let launch = room.run()?.args(["-q", "--json"]).command(["true"]);
    let end = launch.finish(PATIENCE)?.expect_code(0)?;
    let lines = String::from_utf8(end.stdout)?;
    let kinds = lines
        .lines()
        .map(|line| Ok(serde_json::from_str::<Value>(line)?["kind"].to_string()));
    let kinds = kinds.collect::<Result<Vec<_>>>()?;
    ensure!(kinds.iter().any(|kind| kind == "\"exit\""), "{kinds:?}");
    Ok(())
}
