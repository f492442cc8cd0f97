//! The shape of `summary.json`, a public interface (docs/records.md), and how the fold fills it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    Summarizer,
    costs::{Costs, Critical, Validity, costs, critical},
    ending::{root_ending, subtype, termination_reason, verdict, waited},
    text::{quote, seconds, wall},
};
use crate::{
    session::{
        derive::RULES,
        journal::{
            info::{Backend, Mode},
            notes::{ProgramCost, TickTimes},
        },
    },
    tree::accounting::{cost::Cost, ledger::Report},
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

/// What the tree cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Processes seen.
    pub processes: u64,
    /// CPU time in user mode of the ended, µs.
    pub cpu_user_us: u64,
    /// CPU time in the kernel of the ended, µs.
    pub cpu_system_us: u64,
    /// Largest peak of one ended process, KiB.
    pub peak_process_rss_kb: u64,
    /// Largest sum over the tree in one tick, KiB.
    pub peak_tree_rss_kb: u64,
    /// Bytes read from the block layer; null when this kernel does not account it.
    pub io_read_bytes: Option<u64>,
    /// Bytes written to the block layer; null when this kernel does not account it.
    pub io_write_bytes: Option<u64>,
    /// Page faults with I/O.
    pub faults_major: u64,
    /// Page faults without.
    pub faults_minor: u64,
    /// From the command's release, or an attached root's start, to its end or that of observation,
    /// µs.
    pub wall_us: u64,
    /// Those that had not ended, as of their last rows; they are in none of the sums above.
    pub alive: Alive,
    /// How far each of the sums can be trusted; null where there is none.
    pub validity: TotalsValidity,
    /// CPU time as the exit events have it.
    #[serde(skip)]
    pub(super) cpu_of_exits_us: u64,
}

/// Processes that had not ended, or whose end was lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alive {
    /// How many.
    pub processes: u64,
    /// Of those, the ones with a row.
    pub sampled: u64,
    /// CPU time, user and system, µs.
    pub cpu_us: u64,
    /// Largest peak of one, KiB.
    pub peak_rss_kb: u64,
    /// Bytes read from the block layer; null when those of one are not known.
    pub io_read_bytes: Option<u64>,
    /// Bytes written to it.
    pub io_write_bytes: Option<u64>,
    /// `sampled`; null where there is nothing to be trusted.
    pub validity: Option<Validity>,
}

/// How far each of the totals can be trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TotalsValidity {
    /// Of `processes`.
    pub processes: Validity,
    /// Of `cpu_user_us`.
    pub cpu_user_us: Validity,
    /// Of `cpu_system_us`.
    pub cpu_system_us: Validity,
    /// Of `peak_process_rss_kb`.
    pub peak_process_rss_kb: Validity,
    /// Of `peak_tree_rss_kb`.
    pub peak_tree_rss_kb: Validity,
    /// Of `io_read_bytes`.
    pub io_read_bytes: Option<Validity>,
    /// Of `io_write_bytes`.
    pub io_write_bytes: Option<Validity>,
    /// Of `faults_major`.
    pub faults_major: Validity,
    /// Of `faults_minor`.
    pub faults_minor: Validity,
    /// Of `wall_us`.
    pub wall_us: Validity,
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
    let totals = totals(fold, &completeness, &report.alive);
    let cost = &fold.cost;
    // A workload that did well below a command that failed is no success.
    let root_failed = root.as_ref().is_some_and(|root| root.exit_code != Some(0));
    let success = verdict.exit_code == Some(0) && !root_failed;
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
        anomaly_count: fold.anomalies,
        peak_rss_kb: ended
            .as_ref()
            .filter(|ended| !ended.totals.peak_rss_upper_bound)
            .map_or(fold.rows.peak_rss_kb, |ended| ended.totals.peak_rss_kb),
        peak_oom_score: fold.rows.peak_oom_score,
        peak_fd_ratio: (fold.rows.peak_fd_ratio * 1000.0).round() / 1000.0,
        termination_reason: termination_reason(fold, status).to_owned(),
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
            .and_then(|chain| critical(chain, session)),
        completeness,
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
            degraded: session.degraded.clone(),
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

/// No event is missing.
fn is_whole(completeness: &Completeness) -> bool {
    completeness.reasons.is_empty()
}

fn completeness(fold: &Summarizer) -> Completeness {
    let accounting = &fold.accounting;
    let alive = fold.tree.len() as u64;
    let mut reasons: Vec<String> = fold
        .lost
        .iter()
        .filter(|&(_, &count)| count > 0)
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
        attach_converged: fold.attach.map(|(_, converged)| converged),
    }
}

fn totals(fold: &Summarizer, completeness: &Completeness, alive: &Cost) -> Totals {
    let accounting = &fold.accounting;
    let io_known = accounting.io_unknown == 0;
    // A command that was started was held until tracking was on; that time is tracer's, not its own.
    let began = match (fold.session.mode, fold.armed, fold.root) {
        (Mode::Run, Some(armed), _) => armed,
        (Mode::Attach, _, Some(root)) => root.key.start,
        _ => fold.session.clock.boot,
    };
    let ended = fold
        .ended_root
        .as_ref()
        .map_or(fold.last, |ended| ended.dead.t);
    let (cpu_user_us, cpu_system_us, cpu) = cpu(fold, completeness);
    let sum = if is_whole(completeness) && accounting.partial_totals == 0 {
        Validity::Exact
    } else {
        Validity::AtLeast
    };
    let seen = if is_whole(completeness) {
        Validity::Exact
    } else {
        Validity::AtLeast
    };
    Totals {
        processes: accounting.forks,
        cpu_user_us,
        cpu_system_us,
        peak_process_rss_kb: accounting.peak_process_rss_kb,
        // A tick can miss the peak that one process is known to have had.
        peak_tree_rss_kb: fold
            .rows
            .peak_tree_rss_kb
            .max(accounting.peak_process_rss_kb),
        io_read_bytes: io_known.then_some(accounting.io_read_bytes),
        io_write_bytes: io_known.then_some(accounting.io_write_bytes),
        faults_major: accounting.faults_major,
        faults_minor: accounting.faults_minor,
        wall_us: ended.since(began) / 1000,
        alive: Alive {
            processes: alive.processes,
            sampled: alive.sampled,
            cpu_us: alive.cpu_us(),
            peak_rss_kb: alive.peak_rss_kb,
            io_read_bytes: alive.io().map(|(read, _)| read),
            io_write_bytes: alive.io().map(|(_, written)| written),
            validity: (alive.sampled > 0).then_some(Validity::Sampled),
        },
        validity: TotalsValidity {
            processes: seen,
            cpu_user_us: cpu,
            cpu_system_us: cpu,
            peak_process_rss_kb: if accounting.peaks_unknown == 0 {
                seen
            } else {
                Validity::AtLeast
            },
            peak_tree_rss_kb: Validity::Sampled,
            io_read_bytes: io_known.then_some(sum),
            io_write_bytes: io_known.then_some(sum),
            faults_major: sum,
            faults_minor: sum,
            wall_us: Validity::Exact,
        },
        cpu_of_exits_us: accounting
            .cpu_user_us
            .saturating_add(accounting.cpu_system_us),
    }
}

/// CPU time of those that have ended, in user mode and in the kernel.
///
/// An exit event is sent while the process is on its way out: the rest of its last tick and what dying
/// takes are not in it. Whoever waits for a process is charged with all of it, so the account of the
/// root's parent, where that was us, has everything that was waited for. It is the better one unless it
/// is lower, because somebody was waited for by nobody.
fn cpu(fold: &Summarizer, completeness: &Completeness) -> (u64, u64, Validity) {
    let accounting = &fold.accounting;
    let (user, system) = (accounting.cpu_user_us, accounting.cpu_system_us);
    match fold.reaped {
        Some(reaped) if reaped.cpu_us() >= user.saturating_add(system) => {
            let has_all = completeness.alive == 0 && fold.strays == 0;
            let validity = if has_all && is_whole(completeness) {
                Validity::Exact
            } else {
                Validity::AtLeast
            };
            (reaped.cpu_user_us, reaped.cpu_system_us, validity)
        }
        _ => (user, system, Validity::AtLeast),
    }
}
