//! Four recover at once, then one more: what must hold then.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::files::Files;
use super::found::{Found, State};
use super::scene::{ATTACHED, ATTACHED_NAME, Known, Played, Storm};
use super::stage::Stage;
use crate::check::expect_order;
use crate::facts::Facts;
use crate::launch::{Finished, Running};
use crate::room::Room;
use crate::session::{Session, read_json_lines};
use crate::told::{listed, sessions, text};
use crate::truth::{Fact, notes};
use crate::wait::PATIENCE;

/// Recoverers at once.
const RECOVERERS: usize = 4;

/// What was looked at after a run.
#[derive(Debug, Clone, Copy)]
pub struct Checked {
    /// How its session was found.
    pub state: State,
    /// Records that could be read or were told before anybody recovered.
    pub acknowledged: u64,
    /// Processes that the command says it made.
    pub processes: u64,
}

/// Starts a recovery and reads its report.
///
/// # Errors
/// It does not exit with 0.
pub fn recover(room: &Room) -> Result<Value> {
    report(room.tracer("recover")?.arg("--json").finish(PATIENCE)?)
}

fn report(end: Finished) -> Result<Value> {
    let end = end.expect_code(0)?;
    Ok(serde_json::from_slice(&end.stdout)?)
}

/// Recovers and checks everything.
///
/// # Errors
/// Says what does not hold.
pub fn expect_all_well(stage: &mut Stage, known: &Known, played: &Played) -> Result<Checked> {
    stage.note_pins()?;
    let found = Found::look(stage)?;
    expect_statuses(&stage.room, |id| match found.end(id) {
        None => &["interrupted"],
        Some(_) => &["success", "crashed", "ended"],
    })
    .context("before recovery")?;

    let recoverers: Vec<Running> = (0..RECOVERERS)
        .map(|_| stage.room.tracer("recover")?.arg("--json").spawn())
        .collect::<Result<_>>()?;
    let reports: Vec<Value> = recoverers
        .into_iter()
        .map(|recoverer| report(recoverer.finish(PATIENCE)?))
        .collect::<Result<_>>()?;
    expect_once(&found, &reports)?;

    let before = Files::read(&stage.room.state())?;
    let again = recover(&stage.room)?;
    let idle = again["sessions"].as_array().is_some_and(Vec::is_empty);
    ensure!(idle, "a second recovery has something to do: {again:#}");
    let files = Files::read(&stage.room.state())?;
    if let Some(path) = before.difference(&files) {
        anyhow::bail!("a second recovery changes {}", path.display());
    }
    stage.expect_no_programs()?;

    expect_statuses(&stage.room, |id| match found.subtype(id) {
        "success" => &["success"],
        _ => &["crashed"],
    })
    .context("after recovery")?;
    expect_clean(&files, &stage.room)?;
    expect_template(&files, known, played)?;
    expect_verified(&stage.room)?;
    expect_subject(stage, &found, &files, known, played)
}

fn expect_statuses(room: &Room, right: impl Fn(&str) -> &'static [&'static str]) -> Result<()> {
    for session in listed(room, &[])? {
        let id = session["session_id"].as_str().context("no id")?;
        let status = session["status"].as_str().context("no status")?;
        ensure!(
            right(id).contains(&status),
            "{id} is {status}, not {:?}: {session}",
            right(id)
        );
    }
    Ok(())
}

/// Who was without an end was ended once, by one recoverer; nobody else was.
fn expect_once(found: &Found, reports: &[Value]) -> Result<()> {
    let mut recovered = BTreeMap::<&str, u32>::new();
    for report in reports {
        for session in report["sessions"].as_array().context("no sessions")? {
            let id = session["name"].as_str().context("no name")?;
            match session["outcome"].as_str().context("no outcome")? {
                "recovered" => *recovered.entry(id).or_default() += 1,
                // Another one is at it, or it had ended and lacked something; or pins of no session.
                "running" | "derived" | "stale" => {}
                _ => anyhow::bail!("{session}"),
            }
        }
    }
    let without_end = |id: &&String| found.end(id).is_none();
    let expected = found.records.keys().filter(without_end);
    let expected: BTreeMap<&str, u32> = expected.map(|id| (id.as_str(), 1)).collect();
    ensure!(
        recovered == expected,
        "recovered {recovered:?}, not {expected:?}: {reports:?}"
    );
    Ok(())
}

/// Nothing is there that does not belong there, and one row stands for each session.
fn expect_clean(files: &Files, room: &Room) -> Result<()> {
    let mut top = files.names(Path::new(""));
    let ours = ["sessions", "sessions.jsonl", "fence.json"];
    top.retain(|name| !ours.contains(&name.as_str()));
    ensure!(top.is_empty(), "left in the state directory: {top:?}");
    let ids = files.names(Path::new("sessions"));
    for id in &ids {
        ensure!(!id.starts_with('.'), "left among the sessions: {id}");
        let mut names = files.names(&Path::new("sessions").join(id));
        names.retain(|name| !is_journal(name));
        for made in ["proc_trace.jsonl", "summary.json", "lease", "attachments"] {
            ensure!(names.iter().any(|name| name == made), "{id} lacks {made}");
            names.retain(|name| name != made);
        }
        // Not in each: of a workload that was pinned, and of what was conspicuous, as on a slow machine.
        let may_be = ["enrollment.json", "anomalies.jsonl"];
        names.retain(|name| !may_be.contains(&name.as_str()));
        ensure!(names.is_empty(), "left in {id}: {names:?}");
        let copies = Path::new("sessions").join(id).join("attachments");
        let names = files.names(&copies);
        ensure!(names == [ATTACHED_NAME], "{id} has attached {names:?}");
        let copy = files.bytes(&copies.join(ATTACHED_NAME));
        ensure!(copy == Some(ATTACHED), "{id}: not what was attached");
    }
    let index = room.state().join("sessions.jsonl");
    let rows = if index.exists() {
        read_json_lines(&index)?
    } else {
        Vec::new()
    };
    let mut rows: Vec<_> = rows
        .iter()
        .map(|row| row["session_id"].as_str().unwrap_or_default())
        .collect();
    rows.sort_unstable();
    ensure!(rows == ids, "sessions {ids:?}, rows {rows:?}");
    Ok(())
}

/// The sessions that were there before are what they were, or wholly gone where they may be.
fn expect_template(files: &Files, known: &Known, played: &Played) -> Result<()> {
    let Some(may_be_gone) = &played.gone else {
        return Ok(());
    };
    let folder = Path::new("sessions");
    let names = files.names(folder);
    let mut gone = BTreeSet::new();
    for id in &known.ids {
        if !names.contains(id) {
            gone.insert(id.clone());
            continue;
        }
        let own = folder.join(id);
        let now = files.within(&own);
        if let Some(path) = known.template.within(&own).difference(&now) {
            anyhow::bail!("{id}: {} has changed", path.display());
        }
    }
    ensure!(
        may_be_gone.contains(&gone),
        "gone are {gone:?}, which may be {may_be_gone:?}"
    );
    Ok(())
}

/// `journal.<epoch>.jsonl`.
fn is_journal(name: &str) -> bool {
    let epoch = name
        .strip_prefix("journal.")
        .and_then(|rest| rest.strip_suffix(".jsonl"));
    epoch.is_some_and(|epoch| epoch.parse::<u32>().is_ok())
}

fn expect_verified(room: &Room) -> Result<()> {
    if room.session_folders()?.is_empty() {
        return Ok(());
    }
    let end = sessions(room, &["verify", "--all"])?;
    let said = text(&end);
    end.expect_code(0).with_context(|| said.clone())?;
    let fine = [
        "ok      ended",
        "its observer was killed in it",
        "it holds no record",
    ];
    for line in said.lines() {
        let fine = fine.iter().any(|part| line.contains(part));
        ensure!(fine, "verify says: {line}");
    }
    Ok(())
}

/// What the session of this run must hold, if it came to one.
fn expect_subject(
    stage: &Stage,
    found: &Found,
    files: &Files,
    known: &Known,
    played: &Played,
) -> Result<Checked> {
    let truth = if stage.room.truth_path().exists() {
        stage.room.truth()?
    } else {
        Vec::new()
    };
    let records = found.records.values().map(|records| records.len() as u64);
    let mut checked = Checked {
        state: State::None,
        acknowledged: records.sum(),
        processes: 0,
    };
    let folders = stage.room.session_folders()?;
    let mut own = folders.iter().filter(|folder| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        !known.ids.iter().any(|id| *id == name)
    });
    let Some(folder) = own.next() else {
        ensure!(truth.is_empty(), "the command ran, and there is no session");
        ensure!(found.told.is_empty(), "told and gone: {:?}", found.told);
        return Ok(checked);
    };
    ensure!(own.next().is_none(), "two sessions of one run: {folders:?}");
    let session = Session::read(folder)?;
    let id = folder.file_name().unwrap_or_default().to_string_lossy();
    expect_kept(&session, found, files, &id)?;

    let terminal = session.count("end") + session.count("crash");
    ensure!(terminal == 1, "{terminal} terminal records");
    let summary = &session.summary;
    let end = found.end(&id);
    ensure!(
        summary["subtype"] == found.subtype(&id),
        "{end:?}: {summary:#}"
    );
    if end.is_none() {
        ensure!(summary["termination_reason"] == "CRASHED", "{summary:#}");
    }
    let summary = Path::new("sessions").join(&*id).join("summary.json");
    checked.state = match end {
        Some(_) if found.files.bytes(&summary).is_some() => State::Whole,
        Some(_) => State::Ended,
        None if truth.is_empty() => State::Waiting,
        None => State::Interrupted,
    };
    match played.storm {
        Some(storm) if !truth.is_empty() => {
            expect_truth(stage, &session, &truth, storm)?;
            checked.processes = storm.processes();
        }
        _ => {
            let facts = session.facts()?;
            ensure!(facts.sizes() == [0; 3], "no command, and yet: {facts:?}");
        }
    }
    Ok(checked)
}

/// Whatever was acknowledged is there as it was.
fn expect_kept(session: &Session, found: &Found, files: &Files, id: &str) -> Result<()> {
    let own = Path::new("sessions").join(id);
    let mut epochs = 0;
    for name in found.files.names(&own) {
        let path = own.join(&name);
        if is_journal(&name) || name == "enrollment.json" {
            let same = found.files.bytes(&path) == files.bytes(&path);
            ensure!(same, "{name} has changed");
            epochs += usize::from(is_journal(&name));
        }
    }
    let names = files.names(&own);
    let now = names.iter().filter(|name| is_journal(name));
    let more = now.count() - epochs;
    ensure!(
        more == usize::from(found.end(id).is_none()),
        "{more} more epochs; the end was {:?}",
        found.end(id)
    );
    for (old, new) in found.records[id].iter().zip(&session.journal) {
        ensure!(
            old.value == new.value,
            "was {}, is {}",
            old.value,
            new.value
        );
    }
    for told in &found.told {
        let seq = told["seq"].as_u64().context("no seq")?;
        let record = session.journal.get(usize::try_from(seq)?);
        let same = record.is_some_and(|record| record.value == *told);
        ensure!(same, "told was {told}, {record:?} is there");
    }
    Ok(())
}

/// The command was not touched, and everything that it says is recorded, once.
fn expect_truth(
    stage: &Stage,
    session: &Session,
    truth: &[(u64, Fact)],
    storm: Storm,
) -> Result<()> {
    let facts = Facts::of_truth(truth).with_execs_of("tiny");
    let [forks, _, exits] = facts.sizes();
    let processes = i64::try_from(storm.processes())?;
    ensure!(
        (forks, exits) == (processes, processes),
        "the command was harmed: {forks} forks, {exits} exits of {processes}"
    );
    let root: i32 = notes(truth).get("root").context("no root")?.parse()?;
    if let Some(status) = stage.orphans.get(&root) {
        ensure!(*status == 0, "the command ended with {status:#x}");
    }
    let account = &session.summary["completeness"];
    facts
        .expect_same(&session.facts()?.with_execs_of("tiny"))
        .with_context(|| account.to_string())?;
    expect_order(session)?;
    // Where somebody went on in another's place, rows are missing, and nothing else.
    let gaps = session.of_kind("gap");
    let gaps = gaps.filter(|gap| gap.text("reason") != "unsampled");
    let lost = session.losses() + gaps.count();
    ensure!(lost == 0, "something is lost: {account}");
    ensure!(
        account["alive"] == 0 && account["forks"] == account["exits"],
        "{account}"
    );
    let root = session.exit_of(session.root()?)?;
    ensure!(root.int("status")? == 0, "{}", root.value);
    Ok(())
}
