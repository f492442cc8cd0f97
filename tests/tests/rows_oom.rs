//! The score and the adjustment of a row are of one moment, however fast somebody changes the one.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tracer_tests::journal;
use tracer_tests::session::Session;
use tracer_tests::unattended::{AWAIT_GO, Watched};
use tracer_tests::wait::{PATIENCE, wait_for};

/// Rows in which it may go wrong.
const ROWS: usize = 100;

/// Writes two adjustments of a process in turns, without a pause, while `meanwhile` runs.
fn while_torn<T>(pid: i32, meanwhile: impl FnOnce() -> Result<T>) -> Result<T> {
    let path = format!("/proc/{pid}/oom_score_adj");
    let file = File::options().write(true).open(path)?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| -> Result<()> {
            while !is_over.load(Ordering::Relaxed) {
                file.write_all_at(b"1000\n", 0)?;
                file.write_all_at(b"0\n", 0)?;
            }
            Ok(())
        });
        let result = meanwhile();
        is_over.store(true, Ordering::Relaxed);
        writer.join().ok().context("the writer panicked")??;
        result
    })
}

/// Runs `script`, tears at its root, and checks all rows of it.
fn expect_whole_rows(script: &str) -> Result<Session> {
    let script = format!("{script}; {AWAIT_GO}; kill $all; wait; exit 0");
    let mut watched = Watched::start(&script, &["--interval", "10ms"])?;
    let journal = watched.folder.join("journal.0.jsonl");
    let root = watched.root;
    watched.go()?;
    while_torn(root, || {
        wait_for("many rows", PATIENCE, || {
            let records = journal::read_growing(&journal)?;
            let rows = records.iter().filter(|record| record.kind == "snapshot");
            let of_root = rows.filter(|row| row.value["pid"] == root);
            Ok((of_root.count() >= ROWS).then_some(()))
        })
    })?;
    watched.go()?;
    let tracer = watched.tracer.take().context("no tracer")?;
    tracer.finish(PATIENCE)?.expect_code(0)?;

    let session = Session::read(&watched.folder)?;
    let mut seen = BTreeSet::new();
    let rows: Vec<&Value> = session.rows_of(root).collect();
    for (n, row) in rows.iter().enumerate() {
        let (Some(score), Some(adj)) = (row["oom_score"].as_i64(), row["oom_score_adj"].as_i64())
        else {
            ensure!(row["unread"].is_object(), "null without a reason: {row}");
            continue;
        };
        // It may end while its last row is read: without memory it has no score.
        if score == 0 && n + 1 == rows.len() {
            continue;
        }
        seen.insert(adj);
        // A shell has next to nothing of any machine.
        ensure!(
            score.abs_diff((1000 + adj) * 2 / 3) <= 21,
            "{score} with {adj}: {row}"
        );
    }
    ensure!(seen == BTreeSet::from([0, 1000]), "{seen:?}");
    let kinds: Vec<&Value> = session
        .of_kind("anomaly")
        .map(|one| &one.value["anomaly"])
        .collect();
    ensure!(
        !kinds
            .iter()
            .any(|kind| kind.as_str().unwrap_or("").starts_with("oom")),
        "{kinds:?}"
    );
    Ok(session)
}

#[test]
fn a_process_that_changes_its_adjustment_all_the_time_has_no_anomaly_of_memory() -> Result<()> {
    expect_whole_rows("all=")?;
    Ok(())
}

#[test]
fn nor_among_processes_whose_rows_come_from_the_kernel_side() -> Result<()> {
    let crowd = "for n in 1 2 3 4 5 6 7 8 9 10; do sleep 600 & all=\"$all $!\"; done";
    let session = expect_whole_rows(crowd)?;
    let from_kernel = |tick: &&journal::Record| tick.value["rows_from_kernel"].as_u64() >= Some(8);
    ensure!(session.of_kind("tick").filter(from_kernel).count() > 30);
    Ok(())
}
