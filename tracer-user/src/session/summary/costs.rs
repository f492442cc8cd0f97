//! What the tree's commands and subtrees cost, and what its wall time went into, as `summary.json` has it.

use serde::Serialize;

use super::totals::Totals;
use crate::{
    session::journal::info::SessionInfo,
    tree::accounting::{
        chain::CriticalChain,
        commands::{Command, Name, Rest},
        cost::Cost,
        ledger::Report,
        subtrees::Subtree,
    },
    units::{BootNs, Process},
};

/// How far a figure can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Validity {
    /// The kernel's own account, closed.
    Exact,
    /// Nothing in it is too high, but something may be missing.
    AtLeast,
    /// As of somebody's last row, in whole or in part; or seen only at intervals.
    Sampled,
}

/// `costs` of the summary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Costs {
    /// Every command that is in one of the lists, those with the most CPU time first.
    pub commands: Vec<CommandCost>,
    /// The 20 with the most CPU time.
    pub by_cpu: Vec<String>,
    /// The 20 with the largest process.
    pub by_peak_rss: Vec<String>,
    /// The 20 with the most processes.
    pub by_count: Vec<String>,
    /// All other commands together; null when there is none.
    pub rest: Option<RestCost>,
    /// CPU time in the totals that is in no exit event, and so in none of these sums, µs.
    pub cpu_unattributed_us: u64,
    /// The 20 processes with descendants whose subtrees have taken the most CPU time.
    pub subtrees: Vec<SubtreeCost>,
}

/// What one command cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommandCost {
    /// File name of the program.
    pub command: String,
    /// Times it was executed.
    pub execs: u64,
    /// Of its processes, those that executed something else before it, whose cost is in this, too.
    pub after_others: u64,
    /// Its sums.
    #[serde(flatten)]
    pub figures: Figures,
}

/// What the commands cost that have no place of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestCost {
    /// How many there are, at most: of very many, one may be counted more than once.
    pub commands: u64,
    /// Times they were executed.
    pub execs: u64,
    /// Their sums.
    #[serde(flatten)]
    pub figures: Figures,
}

/// What a process and all its descendants cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SubtreeCost {
    /// Its pid.
    pub pid: u32,
    /// Its start.
    pub starttime_ticks: u64,
    /// The program it executed last.
    pub command: String,
    /// Generations below the root.
    pub depth: u32,
    /// Its sums.
    #[serde(flatten)]
    pub figures: Figures,
}

/// Sums over processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// How many.
    pub processes: u64,
    /// CPU time, user and system, µs.
    pub cpu_us: u64,
    /// Largest peak resident set of one of them, KiB.
    pub peak_rss_kb: u64,
    /// Bytes read from the block layer; null when those of one are not known.
    pub io_read_bytes: Option<u64>,
    /// Bytes written to it.
    pub io_write_bytes: Option<u64>,
    /// Page faults with I/O.
    pub faults_major: u64,
    /// Page faults without.
    pub faults_minor: u64,
    /// How far that can be trusted.
    pub validity: FigureValidity,
}

/// How far figures can be trusted; null where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FigureValidity {
    /// Of `cpu_us`.
    pub cpu: Validity,
    /// Of `peak_rss_kb`.
    pub peak_rss: Validity,
    /// Of `io_*_bytes`.
    pub io: Option<Validity>,
    /// Of `faults_*`.
    pub faults: Validity,
}

/// What the wall time of the root went into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Critical {
    /// The root's life, µs; of a command that was started, from its release.
    pub wall_us: u64,
    /// The root, the child it waited for last, that one's, and so on; at most 20.
    pub links: Vec<CriticalLink>,
    /// All of the wall time by the program that it was spent in, most first.
    pub by_command: Vec<CommandTime>,
    /// What went into programs that are not told apart, µs.
    pub other_us: u64,
}

/// One process of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CriticalLink {
    /// Its pid.
    pub pid: u32,
    /// Its start.
    pub starttime_ticks: u64,
    /// The program it executed last.
    pub command: String,
    /// From the beginning to its birth, µs.
    pub start_us: u64,
    /// Its life, µs.
    pub wall_us: u64,
    /// From the end of the child it waited for last to its own, µs; all of its life where it waited
    /// for none.
    pub tail_us: u64,
}

/// Wall time spent in a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommandTime {
    /// The program.
    pub command: String,
    /// How long, µs.
    pub wall_us: u64,
}

fn text(name: &Name) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// `whole`: no event is missing.
pub(super) fn costs(report: &Report, session: &SessionInfo, totals: &Totals, whole: bool) -> Costs {
    let costliest = &report.costliest;
    let total = totals.cpu_user_us.saturating_add(totals.cpu_system_us);
    let names = |list: &[Name]| list.iter().map(text).collect();
    let rest = &costliest.rest;
    Costs {
        commands: costliest
            .commands
            .iter()
            .map(|command| command_cost(command, whole))
            .collect(),
        by_cpu: names(&costliest.by_cpu),
        by_peak_rss: names(&costliest.by_peak_rss),
        by_count: names(&costliest.by_count),
        rest: (*rest != Rest::default()).then(|| RestCost {
            commands: rest.commands,
            execs: rest.execs,
            figures: figures(&rest.cost, whole),
        }),
        cpu_unattributed_us: total.saturating_sub(totals.cpu_attributed_us),
        subtrees: report
            .subtrees
            .iter()
            .map(|subtree| subtree_cost(subtree, session, whole))
            .collect(),
    }
}

fn command_cost(command: &Command, whole: bool) -> CommandCost {
    CommandCost {
        command: text(&command.name),
        execs: command.execs,
        after_others: command.after_others,
        figures: figures(&command.cost, whole && !command.at_least),
    }
}

fn subtree_cost(subtree: &Subtree, session: &SessionInfo, whole: bool) -> SubtreeCost {
    let (pid, starttime_ticks) = identity(subtree.process, session);
    SubtreeCost {
        pid,
        starttime_ticks,
        command: text(&subtree.command),
        depth: subtree.depth,
        figures: figures(&subtree.cost, whole),
    }
}

fn identity(process: Process, session: &SessionInfo) -> (u32, u64) {
    let ticks = session.tick_rule.ticks(process.key.start);
    (process.tgid.0, ticks.0)
}

fn figures(cost: &Cost, whole: bool) -> Figures {
    let io = cost.io();
    Figures {
        processes: cost.processes,
        cpu_us: cost.cpu_us(),
        peak_rss_kb: cost.peak_rss_kb,
        io_read_bytes: io.map(|(read, _)| read),
        io_write_bytes: io.map(|(_, written)| written),
        faults_major: cost.faults_major,
        faults_minor: cost.faults_minor,
        validity: FigureValidity {
            cpu: validity(
                cost,
                whole && cost.cpu_short == cost.cpu_settled && cost.partial == 0,
            ),
            peak_rss: validity(cost, whole && cost.peak_unknown == 0),
            io: io.map(|_| validity(cost, whole && cost.partial == 0)),
            // Rows do not have them.
            faults: if whole && cost.partial + cost.sampled + cost.unmeasured == 0 {
                Validity::Exact
            } else {
                Validity::AtLeast
            },
        },
    }
}

/// `closed`: of those that have ended, nothing is missing.
fn validity(cost: &Cost, closed: bool) -> Validity {
    match (closed, cost.unmeasured, cost.sampled) {
        (false, ..) | (_, 1.., _) => Validity::AtLeast,
        (true, 0, 1..) => Validity::Sampled,
        (true, 0, 0) => Validity::Exact,
    }
}

pub(super) fn critical(chain: &CriticalChain, session: &SessionInfo) -> Option<Critical> {
    let root = chain.links.first()?;
    let us = |from: BootNs, to: BootNs| to.since(from) / 1000;
    let links = chain.links.iter().enumerate().map(|(at, link)| {
        let (pid, starttime_ticks) = identity(link.process, session);
        let waited = chain.links.get(at + 1).map_or(link.start, |next| next.end);
        CriticalLink {
            pid,
            starttime_ticks,
            command: text(&link.command),
            start_us: us(root.start, link.start),
            wall_us: us(link.start, link.end),
            tail_us: us(waited, link.end),
        }
    });
    let shares = chain.shares.iter().map(|(name, ns)| CommandTime {
        command: text(name),
        wall_us: ns / 1000,
    });
    Some(Critical {
        wall_us: us(root.start, root.end),
        links: links.collect(),
        by_command: shares.collect(),
        other_us: chain.other_ns / 1000,
    })
}
