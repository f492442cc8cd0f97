//! Why a session ended, and whether something was killed: `termination_reason` and `kill_reason`.
//!
//! [`reasons`] alone decides, from facts that are in every record, live or read back. The same table is in
//! `docs/records.md`. Pure.

use super::Summarizer;
use crate::verdict::{
    Cause, Verdict, WaitStatus,
    ending::Reason,
    evidence::{Dead, How, SignalSeen},
    pending::culprit,
};

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGQUIT: i32 = 3;
const SIGTERM: i32 = 15;

/// How long after a signal an exit is thought to come of it, ns.
const LATELY_NS: u64 = 10_000_000_000;

/// How the observer fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Observed {
    /// To the end that was wanted.
    Completed,
    /// The user stopped the observation.
    Stopped,
    /// tracer could not go on.
    Failed,
    /// It crashed, or was killed.
    Crashed,
    /// The machine was started anew.
    Reboot,
}

/// How the workload ended, or the root where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It exited.
    Exited,
    /// A signal ended it.
    Killed,
}

/// What decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) observed: Observed,
    /// `None`: it lives, or nobody saw.
    pub(super) ended: Option<Ended>,
    /// The observer had begun to end the tree before the root ended, or ended what outlived it.
    pub(super) ended_by: Option<Reason>,
    /// The user did: by a key, or by a signal that asks to stop and was passed on.
    pub(super) interrupted: bool,
}

/// `termination_reason` and `kill_reason`.
pub(super) fn reasons(facts: Facts) -> (&'static str, &'static str) {
    let after_completion = facts.ended_by == Some(Reason::Leftovers);
    match (facts.observed, facts.ended_by, facts.ended) {
        (Observed::Reboot, ..) => ("HOST_REBOOT", "not_applicable"),
        (Observed::Crashed, ..) => ("CRASHED", "exception"),
        (_, Some(Reason::Timeout), _) => ("timed_out", "infra_kill"),
        (_, Some(Reason::Idle), _) => ("idle_stall", "infra_kill"),
        (_, Some(Reason::Stale), _) => ("stale", "infra_kill"),
        _ if facts.interrupted => ("interrupted", "not_applicable"),
        (_, _, Some(_)) if after_completion => ("natural_exit", "kill_after_completion"),
        (_, _, Some(Ended::Killed)) => ("natural_exit", "exception"),
        (_, _, Some(Ended::Exited)) => ("natural_exit", "natural_exit"),
        (Observed::Stopped, _, None) => ("CANCELLED", "not_applicable"),
        (Observed::Failed, _, None) => ("completed", "exception"),
        (Observed::Completed, _, None) if after_completion => {
            ("completed", "kill_after_completion")
        }
        (Observed::Completed, _, None) => ("completed", "not_applicable"),
    }
}

impl Summarizer {
    /// The facts, as the record has them.
    pub(super) fn facts(&self, verdict: &Verdict, status: Option<WaitStatus>) -> Facts {
        let crashed = self.has_crashed();
        let how = self.ending.as_ref().map(|ending| ending.how.as_str());
        let rebooted = self
            .recovered
            .as_ref()
            .is_some_and(|found| found.host_reboot);
        let ends = [&self.ended_target, &self.ended_root];
        let dead = || ends.into_iter().flatten().map(|ended| &ended.dead);
        Facts {
            observed: match how {
                _ if crashed && rebooted => Observed::Reboot,
                _ if crashed => Observed::Crashed,
                Some("stopped") => Observed::Stopped,
                Some("failed") => Observed::Failed,
                _ => Observed::Completed,
            },
            ended: status.map(|status| match status.signal() {
                Some(_) => Ended::Killed,
                None => Ended::Exited,
            }),
            ended_by: self.casebook.ending().map(|ending| ending.reason),
            interrupted: matches!(verdict.cause, Cause::Interrupt | Cause::Hangup)
                || dead().any(|dead| is_interrupted(dead)),
        }
    }
}

/// Whether a process ended because the user wanted it to.
fn is_interrupted(dead: &Dead) -> bool {
    let asks = |seen: &SignalSeen| {
        let to_stop = [SIGHUP, SIGINT, SIGQUIT, SIGTERM].contains(&seen.signal);
        let key = [SIGINT, SIGQUIT].contains(&seen.signal) && seen.how() == How::Kernel;
        to_stop && (key || seen.passed_on.is_some())
    };
    if let Some(signal) = dead.status.signal() {
        return culprit(&dead.case, signal).is_some_and(|found| asks(found.seen));
    }
    let last = dead.case.signals.values().max_by_key(|seen| seen.seq);
    last.is_some_and(|seen| asks(seen) && dead.t.since(seen.t) < LATELY_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXITED: Facts = Facts {
        observed: Observed::Completed,
        ended: Some(Ended::Exited),
        ended_by: None,
        interrupted: false,
    };

    fn by(reason: Reason, ended: Ended) -> Facts {
        Facts {
            ended_by: Some(reason),
            ended: Some(ended),
            ..EXITED
        }
    }

    fn observed(observed: Observed, ended: Option<Ended>) -> Facts {
        Facts {
            observed,
            ended,
            ..EXITED
        }
    }

    #[test]
    fn every_line_of_the_table_holds() {
        let killed = Some(Ended::Killed);
        let interrupted = Facts {
            interrupted: true,
            ended: killed,
            ..EXITED
        };
        for (facts, expected) in [
            (EXITED, ("natural_exit", "natural_exit")),
            (
                observed(Observed::Completed, killed),
                ("natural_exit", "exception"),
            ),
            (
                by(Reason::Timeout, Ended::Killed),
                ("timed_out", "infra_kill"),
            ),
            (
                by(Reason::Timeout, Ended::Exited),
                ("timed_out", "infra_kill"),
            ),
            (
                by(Reason::Idle, Ended::Killed),
                ("idle_stall", "infra_kill"),
            ),
            (by(Reason::Stale, Ended::Killed), ("stale", "infra_kill")),
            (
                by(Reason::Leftovers, Ended::Killed),
                ("natural_exit", "kill_after_completion"),
            ),
            (
                by(Reason::Leftovers, Ended::Exited),
                ("natural_exit", "kill_after_completion"),
            ),
            (interrupted, ("interrupted", "not_applicable")),
            (
                observed(Observed::Stopped, None),
                ("CANCELLED", "not_applicable"),
            ),
            (
                observed(Observed::Completed, None),
                ("completed", "not_applicable"),
            ),
            (observed(Observed::Failed, None), ("completed", "exception")),
            (observed(Observed::Crashed, None), ("CRASHED", "exception")),
            (
                observed(Observed::Crashed, killed),
                ("CRASHED", "exception"),
            ),
            (
                observed(Observed::Reboot, None),
                ("HOST_REBOOT", "not_applicable"),
            ),
        ] {
            assert_eq!(reasons(facts), expected, "{facts:?}");
        }
    }

    #[test]
    fn whoever_was_too_late_is_not_an_interrupt() {
        let facts = Facts {
            interrupted: true,
            ..by(Reason::Timeout, Ended::Killed)
        };
        assert_eq!(reasons(facts).0, "timed_out", "the deadline came first");
    }
}
