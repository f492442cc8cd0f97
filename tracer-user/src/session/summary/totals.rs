//! What the tree cost as a whole, and how far that can be trusted.

use serde::Serialize;

use super::{
    Summarizer,
    costs::Validity,
    output::{Completeness, is_whole},
};
use crate::{
    session::journal::info::Mode,
    tree::accounting::{cost::Cost, ledger::Report},
};

/// Losses that leave nothing unknown but the last fraction of what a process cost: the figures say so by
/// their validity, and the record is complete all the same.
pub const ACCOUNTS_LOST: [&str; 2] = ["ring_full_account", "accounts_full"];

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
    /// CPU time that is in an account of a command.
    #[serde(skip)]
    pub(super) cpu_attributed_us: u64,
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

pub(super) fn totals(fold: &Summarizer, completeness: &Completeness, report: &Report) -> Totals {
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
    let (cpu_user_us, cpu_system_us, cpu) = cpu(fold, completeness, &report.ended);
    let (alive, ended_cost) = (&report.alive, &report.ended);
    let validity = |has_all: bool| Validity::exact_if(has_all && is_whole(completeness));
    let sum = validity(ended_cost.partial == 0);
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
        io_read_bytes: io_known.then_some(ended_cost.io_read_bytes),
        io_write_bytes: io_known.then_some(ended_cost.io_write_bytes),
        faults_major: ended_cost.faults_major,
        faults_minor: ended_cost.faults_minor,
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
            processes: validity(true),
            cpu_user_us: cpu,
            cpu_system_us: cpu,
            peak_process_rss_kb: validity(accounting.peaks_unknown == 0),
            peak_tree_rss_kb: Validity::Sampled,
            io_read_bytes: io_known.then_some(sum),
            io_write_bytes: io_known.then_some(sum),
            faults_major: sum,
            faults_minor: sum,
            wall_us: Validity::Exact,
        },
        cpu_attributed_us: ended_cost.cpu_us(),
    }
}

/// CPU time of those that have ended, in user mode and in the kernel.
///
/// An exit event is sent while the process is on its way out: the rest of its last tick and what dying
/// takes are not in it. They are in its closed account, where that has come. Whoever waits for a process is
/// charged with all of it, so the account of the root's parent, where that was us, has everything that was
/// waited for. It is the better one unless it is lower, because somebody was waited for by nobody, or ran on for
/// some microseconds after that.
fn cpu(fold: &Summarizer, completeness: &Completeness, ended: &Cost) -> (u64, u64, Validity) {
    let validity = |has_all: bool| Validity::exact_if(has_all && is_whole(completeness));
    match fold.reaped {
        Some(reaped) if reaped.cpu_us() >= ended.cpu_us() => {
            let has_all = completeness.alive == 0 && fold.strays == 0;
            (
                reaped.cpu_user_us,
                reaped.cpu_system_us,
                validity(has_all || ended.is_cpu_closed()),
            )
        }
        _ => (
            ended.cpu_user_us,
            ended.cpu_system_us,
            validity(ended.is_cpu_closed()),
        ),
    }
}
