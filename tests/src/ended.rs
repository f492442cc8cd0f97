//! Endings that tracer brings about: what the record says of them, and that nobody is left.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::journal::{Record, read_so_far};
use crate::launch::Running;
use crate::proc;
use crate::room::Room;
use crate::session::Session;
use crate::wait::{PATIENCE, wait_for};

/// Checks `termination_reason` and `kill_reason`.
///
/// # Errors
/// They say something else.
pub fn expect_reasons(session: &Session, termination: &str, kill: &str) -> Result<()> {
    let summary = &session.summary;
    let found = ["termination_reason", "kill_reason"].map(|key| summary[key].as_str());
    ensure!(
        found == [Some(termination), Some(kill)],
        "{termination} and {kill} expected, got {found:?}; verdict {:#}",
        summary["verdict"]
    );
    Ok(())
}

/// Notes with this topic.
pub fn notes_on<'a>(session: &'a Session, topic: &'a str) -> impl Iterator<Item = &'a Record> {
    session
        .of_kind("note")
        .filter(move |note| note.value["topic"] == topic)
}

/// Waits until the journal of a running session has a note with this topic.
///
/// # Errors
/// Not in time, or tracer has ended.
pub fn until_note(room: &Room, tracer: &Running, topic: &str) -> Result<Value> {
    wait_for(&format!("a note on {topic}"), PATIENCE, || {
        for folder in room.session_folders()? {
            let found = read_so_far(&folder).unwrap_or_default();
            let mut notes = found.into_iter().filter(|record| record.kind == "note");
            if let Some(note) = notes.find(|note| note.value["topic"] == topic) {
                return Ok(Some(note.value));
            }
        }
        ensure!(!tracer.has_ended()?, "tracer ended: {}", tracer.stderr());
        Ok(None)
    })
}

/// Checks that the decision to end was written before the first signal of tracer's, and gives the decision.
///
/// # Errors
/// It was not, or there is none.
pub fn expect_decided_first(session: &Session) -> Result<&Record> {
    let note = notes_on(session, "ending").next();
    let note = note.context("no note on the ending")?;
    let observer = session.journal[0].value["observer"]["pid"].clone();
    let first = session
        .of_kind("signal")
        .find(|signal| signal.value["sender"]["pid"] == observer && signal.text("signal") != "0");
    let first = first.context("tracer sent no signal")?;
    ensure!(note.seq < first.seq, "{} after {}", note.value, first.value);
    Ok(note)
}

/// Checks that no process of the record lives: each that was made has ended, and its number is nobody's or
/// another's.
///
/// # Errors
/// One lives.
pub fn expect_nobody_left(session: &Session) -> Result<()> {
    session.expect_complete()?;
    let alive = &session.summary["completeness"]["alive"];
    ensure!(
        alive == 0,
        "{alive} live on: {:#}",
        session.summary["leftovers"]
    );
    for fork in session.of_kind("fork") {
        let pid = fork.small("pid")?;
        let start = fork.value["starttime_ticks"].as_u64();
        ensure!(
            proc::start_ticks(pid).ok() != start,
            "{pid} is still there, in state {:?}",
            proc::state(pid)
        );
    }
    Ok(())
}

/// The pids that processes have written to a file, one a line, as soon as there are so many.
///
/// # Errors
/// Not in time.
pub fn until_listed(file: &Path, count: usize) -> Result<Vec<i32>> {
    wait_for(
        &format!("{count} pids in {}", file.display()),
        PATIENCE,
        || {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            let pids: Vec<i32> = whole
                .lines()
                .filter_map(|line| line.trim().parse().ok())
                .collect();
            Ok((pids.len() >= count).then_some(pids))
        },
    )
}
