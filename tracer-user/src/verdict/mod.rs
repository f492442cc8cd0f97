//! How a process ended, and why.
//!
//! [`casebook`] is the fold over events that keeps what may explain an end, until its process has
//! ended; [`judge()`] puts wait status and case together. All pure: a verdict read back from a
//! journal is the verdict that was given live. `docs/verdicts.md` has the rules as a table.

pub mod aftermath;
pub mod casebook;
pub mod ending;
pub mod evidence;
mod explain;
pub mod images;
pub mod judge;
pub mod lineage;
mod memory;
pub mod passing;
pub mod pending;
pub mod relation;
pub mod signals;
pub mod status;
pub mod stops;
pub mod unseen;
mod words;

use serde::Serialize;

pub use self::{casebook::Casebook, judge::judge, relation::relation, status::WaitStatus};

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It called exit, or returned from main.
    Exited,
    /// A signal ended it.
    Signaled,
    /// It had not ended when observation did.
    StillRunning,
    /// Its end was not seen.
    Unknown,
}

/// Why it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Exit code 0.
    Success,
    /// Another exit code.
    ErrorExit,
    /// Its own fault: SIGSEGV, SIGABRT and their kind.
    Fault,
    /// Somebody sent a lethal signal.
    Killed,
    /// The kernel ran out of memory, or its cgroup did.
    KernelOom,
    /// A key typed at its terminal.
    Interrupt,
    /// Its terminal went away.
    Hangup,
    /// Its parent died, and it had asked to follow (`PR_SET_PDEATHSIG`).
    ParentDeath,
    /// `timeout(1)` ended it, or tracer's own `--timeout` and its kind.
    Timeout,
    /// Not known.
    Unknown,
}

/// How sure the cause is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// The records leave no other reading.
    Certain,
    /// The records fit, but another reading is possible.
    Likely,
    /// The records do not say.
    Unknown,
}

/// What the sender of a signal is to its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// The same process.
    #[serde(rename = "self")]
    Itself,
    /// Below the target.
    Descendant,
    /// Above the target in the observed tree, and not a wrapper.
    Ancestor,
    /// Between root and workload, the root included.
    Wrapper,
    /// Elsewhere in the tree.
    Sibling,
    /// Not in the tree.
    Outside,
    /// The kernel by itself.
    Kernel,
    /// Hidden, or not seen.
    Unknown,
}

/// Who sent the signal that ended a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Killer {
    /// Pid in the observer's namespace; null when not visible from there.
    pub pid: Option<u32>,
    /// Start time in clock ticks after boot.
    pub starttime_ticks: u64,
    /// Name.
    pub comm: String,
    /// Command line, null when it was gone before it could be read.
    pub cmdline: Option<String>,
    /// Real user id.
    pub uid: u32,
    /// What it is to the target.
    pub relation: Relation,
    /// Whose child it was; null when that is not known.
    pub started_by: Option<Starter>,
}

impl Killer {
    /// The kernel in its own name: whoever ran meanwhile has nothing to do with it.
    #[must_use]
    pub fn kernel() -> Self {
        Self {
            pid: None,
            starttime_ticks: 0,
            comm: "kernel".to_owned(),
            cmdline: None,
            uid: 0,
            relation: Relation::Kernel,
            started_by: None,
        }
    }
}

/// Whose child the sender of a signal was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Starter {
    /// Its pid.
    pub pid: u32,
    /// Its name.
    pub comm: String,
}

/// The process further down that an ending comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// Its pid.
    pub pid: u32,
    /// Its start in clock ticks after boot.
    pub starttime_ticks: u64,
    /// Its name.
    pub comm: String,
    /// Its exit code; null when a signal ended it.
    pub exit_code: Option<i32>,
    /// The signal that ended it; null when it exited.
    pub signal: Option<String>,
    /// Who passed it up in between, nearest first.
    pub passed_on_by: Vec<Passing>,
}

/// A process that only passed an ending up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Passing {
    /// Its pid.
    pub pid: u32,
    /// Its name.
    pub comm: String,
}

/// How a process ended, why, and on what evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// How it ended.
    pub outcome: Outcome,
    /// Exit code; null unless it exited.
    pub exit_code: Option<i32>,
    /// Name of the signal that ended it; null unless one did.
    pub signal: Option<String>,
    /// Whether the kernel dumped core.
    pub core_dumped: bool,
    /// Why.
    pub cause: Cause,
    /// How sure that is.
    pub confidence: Confidence,
    /// One plain sentence.
    pub sentence: String,
    /// Who did it, where somebody did; for an ending that was passed up, who did that.
    pub killer: Option<Killer>,
    /// Where the ending comes from, when that is further down; null otherwise.
    pub origin: Option<Origin>,
    /// Time it spent stopped by job control, µs.
    pub stopped_us: u64,
    /// `seq` of the records it rests on, oldest first.
    pub evidence: Vec<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_every_cause_with_its_confidence() {
        let text = include_str!("../../../docs/verdicts.md");
        let all = [
            Cause::Success,
            Cause::ErrorExit,
            Cause::Fault,
            Cause::Killed,
            Cause::KernelOom,
            Cause::Interrupt,
            Cause::Hangup,
            Cause::ParentDeath,
            Cause::Timeout,
            Cause::Unknown,
        ];
        for cause in all {
            let name = match cause {
                Cause::Success => "`success`",
                Cause::ErrorExit => "`error_exit`",
                Cause::Fault => "`fault`",
                Cause::Killed => "`killed`",
                Cause::KernelOom => "`kernel_oom`",
                Cause::Interrupt => "`interrupt`",
                Cause::Hangup => "`hangup`",
                Cause::ParentDeath => "`parent_death`",
                Cause::Timeout => "`timeout`",
                Cause::Unknown => "`unknown`",
            };
            assert_eq!(
                serde_json::to_value(cause).unwrap(),
                name.trim_matches('`'),
                "its public name"
            );
            let rows = text.lines().filter(|line| {
                let cells: Vec<&str> = line.split(" | ").collect();
                line.starts_with("| ") && cells.len() >= 4 && cells[0].contains(name)
            });
            let sure = ["certain", "likely", "unknown"];
            let mut confidences = rows.filter_map(|row| row.rsplit(" | ").next());
            assert!(
                confidences.any(|last| sure.iter().any(|word| last.contains(word))),
                "{name} has no row with evidence and confidence"
            );
        }
    }
}
