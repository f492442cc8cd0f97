//! What an observer's output says of a storm: how many forks, execs and exits, and which exit codes.
//! Pure: lines in, counts out.
//!
//! Every observer is read generously, so that its loss is its own and not this reader's: a process
//! counts when the output shows it, whatever else is on the line.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::workload::{STORM, TINY};

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tally {
    /// Processes made by the storm or a worker.
    pub(super) forks: usize,
    /// Execs of the tiny program.
    pub(super) execs: usize,
    /// Ends of the tiny program.
    pub(super) exits: usize,
    /// How often each exit code was told; `None` when the observer tells none.
    pub(super) codes: Option<Vec<usize>>,
}

impl Tally {
    fn new(with_codes: bool) -> Self {
        Self {
            forks: 0,
            execs: 0,
            exits: 0,
            codes: with_codes.then(|| vec![0; 256]),
        }
    }

    /// What there was to see. Child i of a worker exits with i mod 256.
    pub(super) fn truth(workers: usize, each: usize) -> Self {
        let code = |code: usize| workers * (each / 256 + usize::from(code < each % 256));
        Self {
            forks: workers + workers * each,
            execs: workers * each,
            exits: workers * each,
            codes: Some((0..256).map(code).collect()),
        }
    }

    /// Events that are missing here, of all kinds.
    pub(super) fn lost(&self, truth: &Self) -> usize {
        truth.forks.saturating_sub(self.forks)
            + truth.execs.saturating_sub(self.execs)
            + truth.exits.saturating_sub(self.exits)
    }

    /// Exits told with a code that some process had.
    pub(super) fn right_codes(&self, truth: &Self) -> Option<usize> {
        let pairs = self.codes.as_ref()?.iter().zip(truth.codes.as_ref()?);
        Some(pairs.map(|(told, true_)| *told.min(true_)).sum())
    }

    fn exit(&mut self, code: Option<u64>) {
        self.exits += 1;
        let code = code.and_then(|code| usize::try_from(code).ok());
        if let (Some(codes), Some(code)) = (&mut self.codes, code)
            && let Some(slot) = codes.get_mut(code)
        {
            *slot += 1;
        }
    }
}

/// Journal lines of tracer. `workers` is not needed: the records say who made whom.
pub(super) fn tracer(lines: impl Iterator<Item = String>, _workers: usize) -> Tally {
    let mut tally = Tally::new(true);
    let mut makers = HashSet::new();
    for line in lines {
        let Ok(record) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        let pid = record["pid"].as_u64();
        match record["kind"].as_str() {
            Some("exec") if record["comm"] == STORM => makers.extend(pid),
            Some("exec") if record["comm"] == TINY => tally.execs += 1,
            Some("fork") => {
                let creator = record["creator_pid"].as_u64();
                if creator.is_some_and(|creator| makers.contains(&creator)) {
                    tally.forks += 1;
                    makers.extend(pid);
                }
            }
            Some("exit") if record["comm"] == TINY => tally.exit(record["exit_code"].as_u64()),
            _ => {}
        }
    }
    tally
}

/// `strace -f -e trace=process -o FILE`: `PID call(…) = RESULT` and `PID +++ exited with CODE +++`.
pub(super) fn strace(lines: impl Iterator<Item = String>, workers: usize) -> Tally {
    let mut tally = Tally::new(true);
    for line in lines {
        let Some((_, said)) = line.trim_start().split_once(' ') else {
            continue;
        };
        let said = said.trim();
        if let Some(rest) = said.strip_prefix("+++ exited with ") {
            tally.exit(rest.split(' ').next().and_then(|code| code.parse().ok()));
            continue;
        }
        let call = said.strip_prefix("<... ").unwrap_or(said);
        let result = said.rsplit_once(" = ").map(|(_, result)| result);
        if call.starts_with("execve") && result == Some("0") {
            tally.execs += 1;
        } else if ["clone", "fork", "vfork"]
            .iter()
            .any(|name| call.starts_with(name))
        {
            let child = result.and_then(|result| result.parse().ok());
            tally.forks += usize::from(child.is_some_and(|child: u32| child > 0));
        }
    }
    // It traced the storm itself and its workers too, all of which exit with 0.
    tally.execs = tally.execs.saturating_sub(1);
    tally.exits = tally.exits.saturating_sub(1 + workers);
    if let Some(zeros) = tally.codes.as_mut().and_then(|codes| codes.first_mut()) {
        *zeros = zeros.saturating_sub(1 + workers);
    }
    tally
}

/// The bpftrace program's own lines: `F COMM PARENT CHILD`, `E COMM PID`, `X COMM PID STATUS`.
pub(super) fn bpftrace(lines: impl Iterator<Item = String>, _workers: usize) -> Tally {
    let mut tally = Tally::new(true);
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["F", STORM, ..] => tally.forks += 1,
            ["E", TINY, ..] => tally.execs += 1,
            ["X", TINY, _, status] => {
                tally.exit(status.parse().ok().map(|status: u64| status >> 8));
            }
            _ => {}
        }
    }
    tally
}

/// `perf trace` of the three tracepoints; it shows no exit code.
pub(super) fn perf(lines: impl Iterator<Item = String>, _workers: usize) -> Tally {
    let mut tally = Tally::new(false);
    for line in lines {
        let by = |comm: &str| line.contains(&format!("comm: \"{comm}\""));
        if line.contains("sched_process_fork(") {
            tally.forks += usize::from(line.contains(&format!("parent_comm: \"{STORM}\"")));
        } else if line.contains("sched_process_exec(") {
            tally.execs += usize::from(line.contains(&format!("{TINY}\"")));
        } else if line.contains("sched_process_exit(") && by(TINY) {
            tally.exit(None);
        }
    }
    tally
}

/// `forkstat -e fork,exec,exit`: `TIME fork PID parent …`, `TIME fork PID child …`, `TIME exec PID …`,
/// `TIME exit PID STATUS …`. Its names are read from /proc when it gets there, so pids tell who is who.
pub(super) fn forkstat(lines: impl Iterator<Item = String>, workers: usize) -> Tally {
    let lines: Vec<Vec<String>> = lines
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect();
    let mut names: HashMap<&str, bool> = HashMap::new();
    let mut children: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut parent = None;
    for line in &lines {
        let words: Vec<&str> = line.iter().map(String::as_str).collect();
        match words.as_slice() {
            [_, "fork", pid, "parent", .., name] => {
                let storm = names.entry(pid).or_default();
                *storm |= *name == STORM;
                parent = Some(*pid);
            }
            [_, "fork", pid, "child", ..] => {
                if let Some(parent) = parent.take() {
                    children.entry(parent).or_default().push(pid);
                }
            }
            _ => {}
        }
    }
    // Where the child was gone already, it names pid 0 as the parent.
    let makers = children
        .iter()
        .filter(|(pid, _)| **pid == "0" || names.get(*pid) == Some(&true));
    let made: HashSet<&str> = makers.flat_map(|(_, pids)| pids.iter().copied()).collect();
    let mut tally = Tally::new(true);
    tally.forks = made.len();
    for line in &lines {
        let words: Vec<&str> = line.iter().map(String::as_str).collect();
        let (kind, pid) = match words.as_slice() {
            [_, kind, pid, ..] => (*kind, *pid),
            _ => continue,
        };
        let name = words.last().copied().unwrap_or("");
        let ours = made.contains(pid) || name.ends_with(TINY);
        if kind == "exec" && ours {
            tally.execs += 1;
        } else if kind == "exit" && ours && !children.contains_key(pid) {
            let status = words.get(3).and_then(|status| status.parse::<u64>().ok());
            tally.exit(status.map(|status| status >> 8));
        }
    }
    // Workers that it missed the children of were not told from children; there are at most so many.
    tally.exits = tally
        .exits
        .min(tally.forks.saturating_sub(workers).max(tally.execs));
    tally
}

#[cfg(test)]
#[path = "tally_tests.rs"]
mod tests;
