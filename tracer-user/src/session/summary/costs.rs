//! What the tree's commands and subtrees cost, and what its wall time went into, as `summary.json` has it.

use serde::Serialize;

use super::totals::Totals;
use crate::{
    session::journal::info::{SessionInfo, TickRule},
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

impl Validity {
    /// Exact where all of it is known.
    pub(super) fn exact_if(all: bool) -> Self {
        if all { Self::Exact } else { Self::AtLeast }
    }
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
    let (pid, starttime_ticks) = identity(subtree.process, session.tick_rule);
    SubtreeCost {
        pid,
        starttime_ticks,
        command: text(&subtree.command),
        depth: subtree.depth,
        figures: figures(&subtree.cost, whole),
    }
}

fn identity(process: Process, rule: TickRule) -> (u32, u64) {
    let ticks = rule.ticks(process.key.start);
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
            cpu: validity(cost, whole && cost.is_cpu_closed()),
            peak_rss: validity(cost, whole && cost.peak_unknown == 0),
            io: io.map(|_| validity(cost, whole && cost.partial == 0)),
            // Rows do not have them.
            faults: Validity::exact_if(whole && cost.partial + cost.sampled + cost.unmeasured == 0),
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

pub(super) fn critical(chain: &CriticalChain, rule: TickRule) -> Option<Critical> {
    let root = chain.links.first()?;
    let us = |from: BootNs, to: BootNs| to.since(from) / 1000;
    let links = chain.links.iter().enumerate().map(|(at, link)| {
        let (pid, starttime_ticks) = identity(link.process, rule);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        tree::accounting::chain::Link,
        units::{ProcKey, Tgid},
    };

    /// An ended process of which nothing is missing.
    fn closed() -> Cost {
        Cost {
            processes: 1,
            cpu_user_us: 10,
            cpu_short: 1,
            cpu_settled: 1,
            ..Cost::default()
        }
    }

    #[test]
    fn a_figure_is_exact_when_nothing_is_missing_and_each_lack_is_that_of_its_figure() {
        let words = |cost: &Cost, whole| {
            let validity = figures(cost, whole).validity;
            (
                validity.cpu,
                validity.peak_rss,
                validity.io,
                validity.faults,
            )
        };
        let (exact, least) = (Validity::Exact, Validity::AtLeast);
        let all = (exact, exact, Some(exact), exact);
        assert_eq!(words(&closed(), true), all);
        let none = (least, least, Some(least), least);
        assert_eq!(words(&closed(), false), none);
        let unsettled = Cost {
            cpu_settled: 0,
            ..closed()
        };
        assert_eq!(words(&unsettled, true), (least, all.1, all.2, all.3));
        let partial = Cost {
            partial: 1,
            ..closed()
        };
        assert_eq!(words(&partial, true), (least, exact, Some(least), least));
        let inherited = Cost {
            peak_unknown: 1,
            ..closed()
        };
        assert_eq!(words(&inherited, true), (exact, least, all.2, all.3));
        let sampled = Cost {
            sampled: 1,
            ..closed()
        };
        let seen = Validity::Sampled;
        assert_eq!(words(&sampled, true), (seen, seen, Some(seen), least));
    }

    #[test]
    fn a_command_that_may_have_been_given_up_before_is_told_at_least() {
        let command = |at_least| Command {
            name: Name::from(&b"cc1"[..]),
            cost: closed(),
            execs: 1,
            after_others: 0,
            at_least,
        };
        let word = |at_least| command_cost(&command(at_least), true).figures.validity.cpu;
        assert_eq!(
            (word(false), word(true)),
            (Validity::Exact, Validity::AtLeast)
        );
    }

    /// Of the summary's own arithmetic, in microseconds from the root's beginning at 1 ms.
    #[test]
    fn a_link_has_its_begin_its_length_and_what_came_after_whom_it_waited_for() {
        let ms = |ms: u64| BootNs(ms * 1_000_000);
        let link = |pid, start, end| Link {
            process: Process {
                key: ProcKey {
                    init: pid,
                    start: ms(start),
                },
                tgid: Tgid(pid),
                inner: pid,
            },
            command: Name::from(&b"make"[..]),
            start: ms(start),
            end: ms(end),
        };
        let chain = CriticalChain {
            links: vec![link(1, 1, 101), link(2, 11, 91), link(3, 21, 61)],
            shares: Vec::new(),
            other_ns: 5_000,
        };
        let told = critical(&chain, TickRule::default()).unwrap();
        assert_eq!((told.wall_us, told.other_us), (100_000, 5));
        let times = told
            .links
            .iter()
            .map(|link| (link.pid, link.start_us, link.wall_us, link.tail_us));
        let expected = [
            (1, 0, 100_000, 10_000),
            (2, 10_000, 80_000, 30_000),
            (3, 20_000, 40_000, 40_000),
        ];
        assert_eq!(times.collect::<Vec<_>>(), expected);
    }
}
