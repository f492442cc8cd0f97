//! One session, looked at for a listing.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
};

use jiff::Timestamp;
use rustix::fs::OFlags;
use serde::{Deserialize, de::DeserializeOwned};

use super::Listed;
use crate::session::{
    SessionId, Store,
    dir::Dir,
    enrollment::{ENROLLMENT_MAX, Enrollment},
    epochs,
    journal::{END_LINE_BYTES, info::SessionInfo, reader::Line},
    status::{self, Status},
    store::{ENROLLMENT, SUMMARY, journal_name},
    summary::quote,
};

/// Longest summary that is read.
const SUMMARY_MAX: u64 = 1 << 20;

/// What `summary.json` says and a listing shows. A key that is missing is not known.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SummaryKeys {
    session_id: String,
    subtype: String,
    start_ts: String,
    end_ts: String,
    duration_seconds: Option<f64>,
    command: String,
    tracked_comm: Option<String>,
    pid: Option<u32>,
    exit_code: Option<i32>,
    peak_rss_kb: Option<u64>,
    anomaly_count: Option<u64>,
    labels: BTreeMap<String, String>,
    verdict: VerdictKeys,
    completeness: CompletenessKeys,
    totals: TotalsKeys,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct VerdictKeys {
    signal: Option<String>,
    cause: Option<String>,
    sentence: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CompletenessKeys {
    status: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TotalsKeys {
    processes: Option<u64>,
}

/// Looks at a session. Whatever it is like, there is something to list.
#[must_use]
pub fn look(store: &Store, id: &SessionId, now: Timestamp) -> Listed {
    let mut listed = Listed {
        session_id: *id,
        path: store.session_path(id),
        status: "corrupt".to_owned(),
        started: id.started(),
        ended: None,
        duration_seconds: None,
        command: String::new(),
        workload: None,
        pid: None,
        exit_code: None,
        signal: None,
        cause: None,
        sentence: None,
        peak_rss_kb: None,
        processes: None,
        anomaly_count: None,
        completeness: None,
        labels: BTreeMap::new(),
        problem: None,
    };
    let dir = match store.existing_session(id) {
        Ok(dir) => dir,
        Err(error) => {
            listed.problem = Some(status::told(&error));
            return listed;
        }
    };
    // Most sessions have ended in good order: a thousand bytes prove it.
    if is_settled(&dir) && from_summary(&mut listed, &dir).is_ok() {
        return listed;
    }
    match status::examine(&dir).status {
        Status::Running => {
            "running".clone_into(&mut listed.status);
            from_journal(&mut listed, &dir);
            listed.duration_seconds = listed.started.map(|at| seconds(at, now));
        }
        Status::Interrupted => {
            "interrupted".clone_into(&mut listed.status);
            from_journal(&mut listed, &dir);
        }
        Status::Ended(end) => {
            if let Err(why) = from_summary(&mut listed, &dir) {
                "ended".clone_into(&mut listed.status);
                let info = from_journal(&mut listed, &dir);
                listed.problem = Some(format!("{why}; rebuild the session"));
                listed.ended = info.map(|info| info.clock.wall_of(end.t));
                listed.duration_seconds = listed
                    .started
                    .zip(listed.ended)
                    .map(|(from, to)| seconds(from, to));
            }
        }
        Status::Corrupt(why) => {
            listed.problem = Some(why);
        }
    }
    listed
}

/// The newest journal ends with an `end` record, and the summary is there, which says what it came to.
/// Anything else deserves a closer look.
fn is_settled(dir: &Dir) -> bool {
    let newest = epochs::list(dir)
        .ok()
        .and_then(|epochs| epochs.last().copied());
    let journal = newest.and_then(|epoch| {
        let name = journal_name(epoch);
        dir.open_plain(&name, OFlags::RDONLY).ok()
    });
    journal.is_some_and(|journal| ends_well(&journal).unwrap_or(false)) && dir.has(SUMMARY)
}

fn ends_well(journal: &File) -> io::Result<bool> {
    let mut end = [0; END_LINE_BYTES];
    let length = journal.metadata()?.len();
    let Some(from) = length.checked_sub(END_LINE_BYTES as u64) else {
        return Ok(false);
    };
    journal.read_exact_at(&mut end, from)?;
    let line = end
        .strip_suffix(b"\n")
        .and_then(|line| Line::parse(line).ok());
    Ok(line.is_some_and(|line| line.kind == "end"))
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

/// Takes what the summary of an ended session says.
fn from_summary(listed: &mut Listed, dir: &Dir) -> Result<(), String> {
    let keys: SummaryKeys = read_json(dir, SUMMARY)?;
    if keys.session_id != listed.session_id.as_str() {
        return Err(format!("{SUMMARY} is another session's"));
    }
    // The words for what has not ended are not for a file to say.
    listed.status = match keys.subtype.as_str() {
        "success" | "error" | "killed" | "detached" | "crashed" => keys.subtype,
        _ => "ended".to_owned(),
    };
    listed.started = keys.start_ts.parse().ok().or(listed.started);
    listed.ended = keys.end_ts.parse().ok();
    listed.duration_seconds = keys.duration_seconds;
    listed.command = keys.command;
    listed.workload = keys.tracked_comm;
    listed.pid = keys.pid;
    listed.exit_code = keys.exit_code.filter(|&code| code >= 0);
    listed.signal = keys.verdict.signal;
    listed.cause = keys.verdict.cause;
    listed.sentence = keys.verdict.sentence;
    listed.peak_rss_kb = keys.peak_rss_kb;
    listed.processes = keys.totals.processes;
    listed.anomaly_count = keys.anomaly_count;
    listed.completeness = keys.completeness.status;
    listed.labels = keys.labels;
    Ok(())
}

/// Takes what is known of a session from its beginning.
fn from_journal(listed: &mut Listed, dir: &Dir) -> Option<SessionInfo> {
    let info = epochs::session_info(dir).unwrap_or_else(|error| {
        listed.problem = Some(status::told(&error));
        None
    });
    if let Some(info) = &info {
        listed.started = Some(info.clock.wall);
        listed.command = quote(&info.command);
        listed.pid = Some(info.root.pid);
        listed.labels.clone_from(&info.labels);
    }
    if let Some(enrollment) = read_enrollment(dir).filter(|found| found.unresolved.is_none()) {
        listed.pid = Some(enrollment.pid);
        listed.workload = Some(String::from_utf8_lossy(&enrollment.comm).into_owned());
    }
    info
}

/// The enrollment, where there is one that can be read.
fn read_enrollment(dir: &Dir) -> Option<Enrollment> {
    let file = dir.open_plain(ENROLLMENT, OFlags::RDONLY).ok()?;
    let mut text = Vec::new();
    file.take(ENROLLMENT_MAX).read_to_end(&mut text).ok()?;
    Enrollment::parse(&text).ok()
}

/// A small JSON file of a session.
fn read_json<T: DeserializeOwned>(dir: &Dir, name: &str) -> Result<T, String> {
    let file = dir
        .open_plain(name, OFlags::RDONLY)
        .map_err(|error| status::told(&error))?;
    // Summaries have two or three thousand bytes: one read gets them.
    let mut text = Vec::with_capacity(8 << 10);
    file.take(SUMMARY_MAX)
        .read_to_end(&mut text)
        .map_err(|error| format!("cannot read {name}: {error}"))?;
    serde_json::from_slice(&text).map_err(|error| format!("{name} is damaged: {error}"))
}

/// When a session that has a summary ended.
pub(in crate::session) fn ended_at(store: &Store, id: &SessionId) -> Option<Timestamp> {
    let dir = store.existing_session(id).ok()?;
    let keys: SummaryKeys = read_json(&dir, SUMMARY).ok()?;
    keys.end_ts.parse().ok()
}
