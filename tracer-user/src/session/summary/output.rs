//! The shape of `summary.json`, a public interface (docs/records.md), and how the fold fills it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    Summarizer,
    costs::{Costs, Critical, costs, critical},
    ending::{root_ending, subtype, verdict, waited},
    reasons::reasons,
    text::{quote, seconds, wall},
    totals::{ACCOUNTS_LOST, Totals, totals},
};
use crate::{
    session::{
        anomalies::Overview,
        derive::RULES,
        journal::{
            info::Backend,
            notes::{Leftover, ProgramCost, TickTimes},
        },
    },
    tree::accounting::ledger::Report,
    verdict::Verdict,
};

/// `summary.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The session.
    pub session_id: String,
    /// Name of its directory.
    pub dir_name: String,
    /// The workload's pid, the root's while there is none.
    pub pid: u32,
    /// Working directory at the start.
    pub cwd: String,
    /// The command as it was given, quoted as a shell would need it.
    pub command: String,
    /// Whether the workload exited 0, and the root as well where it has ended.
    pub success: bool,
    /// success, error, killed, detached or crashed.
    pub subtype: String,
    /// The workload's exit code, 128 + n for signal n, -1 only when unknown.
    pub exit_code: i32,
    /// When the session began: RFC 3339 UTC.
    pub start_ts: String,
    /// When it ended.
    pub end_ts: String,
    /// Seconds between.
    pub duration_seconds: f64,
    /// Seconds between snapshots.
    pub snapshot_interval_seconds: f64,
    /// Rows.
    pub snapshot_count: u64,
    /// Anomalies.
    pub anomaly_count: u64,
    /// Peak resident set of the workload, KiB: exact when its end was seen.
    pub peak_rss_kb: u64,
    /// Highest badness of the workload, on the kernel's scale.
    pub peak_oom_score: i64,
    /// Highest share of its descriptor limit that the workload used.
    pub peak_fd_ratio: f64,
    /// Why the session ended.
    pub termination_reason: String,
    /// Whether something was killed, and for what.
    pub kill_reason: String,
    /// Name of the pinned workload; null when there is none.
    pub tracked_comm: Option<String>,
    /// Whether a row of the workload bears another name than it had when it was found.
    pub tracked_comm_drift: bool,
    /// How the workload was found: 3 is by events.
    pub tracer_target_resolution_version: u32,
    /// The user's labels.
    pub labels: BTreeMap<String, String>,
    /// How the workload ended.
    pub verdict: Verdict,
    /// How the root ended, which is what a caller of the command sees; null while it lives.
    pub root: Option<RootEnding>,
    /// Why there is no workload; null when there is one.
    pub unresolved: Option<String>,
    /// Whether anything is missing.
    pub completeness: Completeness,
    /// What it cost.
    pub totals: Totals,
    /// What that went into.
    pub costs: Costs,
    /// Which processes the wall time waited for; null while the root has not ended.
    pub critical_chain: Option<Critical>,
    /// Who outlived the command, the first of them.
    pub leftovers: Vec<Leftover>,
    /// What was wrong while it ran.
    pub anomalies: Overview,
    /// How the observer fared.
    pub observer: Observer,
    /// Version of the rules by which this was made from the journal.
    pub derived_version: u32,
}

/// How the process the user named ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RootEnding {
    /// Its pid.
    pub pid: u32,
    /// Its last name; null when its end was not traced.
    pub comm: Option<String>,
    /// Exit code; null when a signal ended it.
    pub exit_code: Option<i32>,
    /// Name of the signal that ended it; null when it exited.
    pub signal: Option<String>,
}

/// Whether anything is missing from the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Completeness {
    /// complete or incomplete.
    pub status: &'static str,
    /// What is missing; empty when complete.
    pub reasons: Vec<String>,
    /// Processes made or adopted.
    pub forks: u64,
    /// Images executed.
    pub execs: u64,
    /// Processes ended.
    pub exits: u64,
    /// Processes still alive at the end.
    pub alive: u64,
    /// Events lost, by reason.
    pub lost: BTreeMap<String, u64>,
    /// Passes the attach took; null for `run`.
    pub attach_passes: Option<u64>,
    /// Whether the last pass found nothing new; null for `run`.
    pub attach_converged: Option<bool>,
}

/// How the observer fared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Observer {
    /// How observation ended; null while it has not.
    pub ending: Option<String>,
    /// Why.
    pub cause: Option<String>,
    /// tracer's version.
    pub version: String,
    /// Its CPU time, µs.
    pub cpu_us: Option<u64>,
    /// Its peak resident set, KiB.
    pub peak_rss_kb: Option<u64>,
    /// ebpf, or none when tracking could not start.
    pub backend: &'static str,
    /// What could not be observed.
    pub degraded: Vec<String>,
    /// Events that the kernel side sent.
    pub events: Option<u64>,
    /// Events that it could not send.
    pub lost: Option<u64>,
    /// Rounds over the tree.
    pub ticks: Option<u64>,
    /// Rounds that were left out because one before was late.
    pub missed_ticks: Option<u64>,
    /// How long a round took.
    pub tick_us: Option<TickTimes>,
    /// What each program of the kernel side took; null when that was not measured.
    pub bpf: Option<Vec<ProgramCost>>,
    /// How long that was measured: all of a short session, and a part of a long one.
    pub bpf_measured_us: Option<u64>,
    /// Why it was not.
    pub bpf_unknown: Option<String>,
}

pub(super) fn build(fold: &Summarizer, report: &Report) -> Summary {
    let session = &fold.session;
    let ended = if fold.target.is_some() {
        &fold.ended_target
    } else {
        &fold.ended_root
    };
    let verdict = verdict(fold, ended.as_ref());
    let status = ended
        .as_ref()
        .map(|ended| ended.dead.status)
        .or(waited(fold).map(|(_, status)| status));
    let target = fold.target.as_ref();
    let subject = target.map(|target| target.process).or(fold.root);
    let start = session.clock.boot;
    let duration_ns = fold.last.since(start);
    let observation = fold.ending.as_ref();
    let root = root_ending(fold);
    let completeness = completeness(fold);
    let totals = totals(fold, &completeness, report);
    let cost = &fold.cost;
    // A workload that did well below a command that failed is no success.
    let root_failed = root.as_ref().is_some_and(|root| root.exit_code != Some(0));
    let success = verdict.exit_code == Some(0) && !root_failed;
    let (termination_reason, kill_reason) = reasons(fold.facts(&verdict, status));
    Summary {
        session_id: session.session_id.to_string(),
        dir_name: session.session_id.to_string(),
        pid: subject.map_or(session.root.pid, |process| process.tgid.0),
        cwd: String::from_utf8_lossy(&session.cwd).into_owned(),
        command: quote(&session.command),
        success,
        subtype: subtype(fold, status, success).to_owned(),
        exit_code: status.map_or(-1, |status| i32::from(status.shell_code())),
        start_ts: wall(session, start),
        end_ts: wall(session, fold.last),
        duration_seconds: seconds(duration_ns, 6),
        snapshot_interval_seconds: session.interval.as_secs_f64(),
        snapshot_count: fold.rows.count,
        anomaly_count: fold.anomalies.count(),
        peak_rss_kb: ended
            .as_ref()
            .filter(|ended| !ended.totals.peak_rss_upper_bound)
            .map_or(fold.rows.peak_rss_kb, |ended| ended.totals.peak_rss_kb),
        peak_oom_score: fold.rows.peak_oom_score,
        peak_fd_ratio: (fold.rows.peak_fd_ratio * 1000.0).round() / 1000.0,
        termination_reason: termination_reason.to_owned(),
        kill_reason: kill_reason.to_owned(),
        tracked_comm: target.map(|target| target.comm.to_text()),
        tracked_comm_drift: fold.rows.drift,
        tracer_target_resolution_version: 3,
        labels: session.labels.clone(),
        verdict,
        root,
        unresolved: fold.unresolved.clone(),
        costs: costs(report, session, &totals, is_whole(&completeness)),
        totals,
        critical_chain: report
            .chain
            .as_ref()
            .and_then(|chain| critical(chain, session.tick_rule)),
        completeness,
        leftovers: leftovers(fold),
        anomalies: fold.anomalies.overview(),
        observer: Observer {
            ending: observation.map(|ending| ending.how.clone()),
            cause: observation
                .map(|ending| ending.cause.clone())
                .filter(|cause| !cause.is_empty()),
            version: session.observer.version.clone(),
            cpu_us: cost.cpu_us,
            peak_rss_kb: cost.peak_rss_kb,
            backend: match session.backend {
                Backend::Ebpf => "ebpf",
                Backend::None => "none",
            },
            degraded: fold.degraded.clone(),
            events: cost.events,
            lost: cost.lost,
            ticks: cost.ticks,
            missed_ticks: cost.missed_ticks,
            tick_us: cost.tick_us,
            bpf: cost.bpf.clone(),
            bpf_measured_us: cost.bpf_measured_us,
            bpf_unknown: cost.bpf_unknown.clone(),
        },
        derived_version: RULES,
    }
}

/// Those that have not ended since they were named, as far as their ends are told.
fn leftovers(fold: &Summarizer) -> Vec<Leftover> {
    let rule = fold.session.tick_rule;
    let alive = |left: &&Leftover| {
        fold.armed.is_none()
            || fold.tree.iter().any(|node| {
                let start = rule.ticks(node.process.key.start).0;
                node.process.tgid.0 == left.pid && left.starttime_ticks == Some(start)
            })
    };
    fold.leftovers.iter().filter(alive).cloned().collect()
}

/// No event is missing.
pub(super) fn is_whole(completeness: &Completeness) -> bool {
    completeness.reasons.is_empty()
}

fn completeness(fold: &Summarizer) -> Completeness {
    let accounting = &fold.accounting;
    let alive = fold.tree.len() as u64;
    let mut reasons: Vec<String> = fold
        .lost
        .iter()
        .filter(|&(reason, &count)| count > 0 && !ACCOUNTS_LOST.contains(&reason.as_str()))
        .map(|(reason, count)| format!("{count} lost: {reason}"))
        .chain(
            fold.reasons
                .iter()
                .map(|(reason, count)| format!("{count} × {reason}")),
        )
        .collect();
    if fold.births_lost > 0 {
        reasons.push(format!(
            "{} × event of a process whose fork was lost",
            fold.births_lost
        ));
    }
    if let Some((_, Some(doubts))) = fold.attach {
        reasons.push(doubts.reason());
    }
    reasons.extend(fold.crash_reasons());
    // Loaded is not tracking: what says so is the note that tracking was on.
    if fold.imported {
        reasons.push("another recorder's rows: nothing else was recorded".to_owned());
    } else if fold.session.backend == Backend::None || fold.armed.is_none() {
        reasons.push("tracking could not start".to_owned());
    }
    if accounting.forks != accounting.exits + alive {
        reasons.push(format!(
            "{} processes began, {} ended and {alive} live",
            accounting.forks, accounting.exits
        ));
    }
    Completeness {
        status: if reasons.is_empty() {
            "complete"
        } else {
            "incomplete"
        },
        reasons,
        forks: accounting.forks,
        execs: accounting.execs,
        exits: accounting.exits,
        alive,
        lost: fold.lost.clone(),
        attach_passes: fold.attach.map(|(passes, _)| passes),
        attach_converged: fold.attach.map(|(_, doubts)| doubts.is_none()),
    }
}
