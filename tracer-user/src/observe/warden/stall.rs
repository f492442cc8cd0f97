//! Whether a tree stalls: nothing happens in it, or nothing comes out of it, for too long.
//!
//! Pure: the clock and what was read are arguments. A look costs a read of `/proc` for each living
//! process, so there are few: eight in the time that must be over, the last one exactly at its end.
//! What changed between two looks counts as if it had just happened, so a stall is told late by at most
//! an eighth, and never early.

use std::{collections::HashMap, time::Duration};

use super::{living::Who, ns};
use crate::verdict::ending::Reason;

/// Looks in the time that must be over.
const LOOKS: u64 = 8;
/// Between two looks at least, and at most.
const EVERY_NS: std::ops::RangeInclusive<u64> = 5_000_000..=60_000_000_000;

/// What was read of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Used {
    /// CPU time in clock ticks.
    pub(super) cpu: u64,
    /// Bytes given to write calls; `None` where that may not be read, or is not asked.
    pub(super) written: Option<u64>,
}

/// What was read at one look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// Of each living process.
    pub(super) used: HashMap<Who, Used>,
    /// Forks, execs and exits so far.
    pub(super) events: u64,
    /// Bytes that came out of the command's terminal, where it is ours.
    pub(super) shown: Option<u64>,
}

/// What happened between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) output: bool,
    pub(super) work: bool,
}

impl Reading {
    /// Whether it cannot be told if something was written.
    pub(super) fn is_blind(&self) -> bool {
        self.shown.is_none() && self.used.values().any(|used| used.written.is_none())
    }

    /// What happened since `before`.
    pub(super) fn since(&self, before: &Self) -> Change {
        let grown = |of: fn(&Used) -> Option<u64>| {
            self.used.iter().any(|(who, used)| {
                let old = before.used.get(who).and_then(of).unwrap_or(0);
                of(used).is_some_and(|now| now > old)
            })
        };
        let output = match (self.shown, before.shown) {
            (Some(now), old) => now > old.unwrap_or(0),
            (None, _) => grown(|used| used.written),
        };
        let others = self.used.len() != before.used.len()
            || self.used.keys().any(|who| !before.used.contains_key(who));
        Change {
            output,
            work: output || others || self.events != before.events || grown(|used| Some(used.cpu)),
        }
    }
}

/// One kind of stall that is waited for.
#[derive(Debug)]
struct Line {
    reason: Reason,
    limit: u64,
    /// Since when nothing has happened.
    since: u64,
    told: bool,
}

/// The stalls that are waited for.
#[derive(Debug, Default)]
pub(super) struct Stalls {
    lines: Vec<Line>,
    looked: u64,
}

impl Stalls {
    pub(super) fn new(idle: Option<Duration>, stale: Option<Duration>, now: u64) -> Self {
        let line = |reason, limit: Option<Duration>| {
            Some(Line {
                reason,
                limit: ns(limit?),
                since: now,
                told: false,
            })
        };
        // Of a tree that does nothing at all, that is the more telling word.
        let lines = [line(Reason::Idle, idle), line(Reason::Stale, stale)];
        Self {
            lines: lines.into_iter().flatten().collect(),
            looked: now,
        }
    }

    /// When to look next; `None`: never.
    pub(super) fn next(&self) -> Option<u64> {
        let of = |line: &Line| {
            let every = (line.limit / LOOKS).clamp(*EVERY_NS.start(), *EVERY_NS.end());
            let regular = self.looked.saturating_add(every);
            let end = line.since.saturating_add(line.limit);
            if line.told {
                regular
            } else {
                regular.min(end.max(self.looked))
            }
        };
        self.lines.iter().map(of).min()
    }

    /// The clock ran on while nobody could do anything: the command was stopped, and we with it.
    pub(super) fn restart(&mut self, now: u64) {
        self.looked = now;
        for line in &mut self.lines {
            line.since = now;
        }
    }

    /// Takes what a look gave. The stalls that begin now, with the time that was over, ns.
    pub(super) fn look(&mut self, now: u64, change: Change) -> Vec<(Reason, u64)> {
        self.looked = now;
        let mut stalled = Vec::new();
        for line in &mut self.lines {
            let active = match line.reason {
                Reason::Stale => change.output,
                _ => change.work,
            };
            if active {
                line.since = now;
                line.told = false;
            } else if !line.told && now.saturating_sub(line.since) >= line.limit {
                line.told = true;
                stalled.push((line.reason, line.limit));
            }
        }
        stalled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Tgid, Ticks};

    const S: u64 = 1_000_000_000;
    const NOTHING: Change = Change {
        output: false,
        work: false,
    };
    const BURNS: Change = Change {
        output: false,
        work: true,
    };
    const WRITES: Change = Change {
        output: true,
        work: true,
    };

    fn reading(processes: &[(u32, u64, Option<u64>)], events: u64, shown: Option<u64>) -> Reading {
        let used = processes.iter().map(|&(pid, cpu, written)| {
            let who = Who {
                tgid: Tgid(pid),
                start: Ticks(1),
                key: None,
            };
            (who, Used { cpu, written })
        });
        Reading {
            used: used.collect(),
            events,
            shown,
        }
    }

    #[test]
    fn a_stall_is_told_once_and_again_only_after_something_happened() {
        let mut stalls = Stalls::new(Some(Duration::from_secs(8)), None, 0);
        assert_eq!(stalls.next(), Some(S));
        assert_eq!(stalls.look(S, WRITES), []);
        assert_eq!(stalls.look(8 * S, NOTHING), []);
        assert_eq!(stalls.next(), Some(9 * S), "exactly at the end");
        assert_eq!(stalls.look(9 * S, NOTHING), [(Reason::Idle, 8 * S)]);
        assert_eq!(stalls.look(30 * S, NOTHING), []);
        assert_eq!(stalls.look(31 * S, BURNS), []);
        assert_eq!(stalls.look(39 * S, NOTHING), [(Reason::Idle, 8 * S)]);
    }

    #[test]
    fn a_busy_tree_without_output_is_stale_and_not_idle() {
        let both = Some(Duration::from_secs(8));
        let mut stalls = Stalls::new(both, both, 0);
        for second in 1..8 {
            assert_eq!(stalls.look(second * S, BURNS), []);
        }
        assert_eq!(stalls.look(8 * S, BURNS), [(Reason::Stale, 8 * S)]);
        let mut quiet = Stalls::new(both, both, 0);
        let stalled = quiet.look(8 * S, NOTHING);
        assert_eq!(stalled[0].0, Reason::Idle, "the more telling word first");
    }

    #[test]
    fn looks_are_few_and_neither_too_close_nor_too_far_apart() {
        let next = |limit| Stalls::new(Some(limit), None, 0).next();
        assert_eq!(next(Duration::from_millis(10)), Some(5_000_000));
        assert_eq!(next(Duration::from_secs(30)), Some(30 * S / 8));
        assert_eq!(next(Duration::from_secs(86_400)), Some(60 * S));
        assert_eq!(Stalls::default().next(), None);
    }

    #[test]
    fn a_command_that_was_stopped_had_no_chance() {
        let mut stalls = Stalls::new(Some(Duration::from_secs(8)), None, 0);
        stalls.restart(100 * S);
        assert_eq!(stalls.look(101 * S, NOTHING), []);
        assert_eq!(stalls.look(108 * S, NOTHING).len(), 1);
    }

    #[test]
    fn output_cpu_time_events_and_other_processes_each_count() {
        let before = reading(&[(1, 5, Some(10))], 3, None);
        assert_eq!(before.since(&before), NOTHING);
        assert_eq!(reading(&[(1, 6, Some(10))], 3, None).since(&before), BURNS);
        assert_eq!(reading(&[(1, 5, Some(11))], 3, None).since(&before), WRITES);
        assert_eq!(reading(&[(1, 5, Some(10))], 4, None).since(&before), BURNS);
        assert_eq!(reading(&[(2, 0, Some(0))], 3, None).since(&before), BURNS);
        assert_eq!(reading(&[], 3, None).since(&before), BURNS);
        let new = reading(&[(1, 5, Some(10)), (2, 0, Some(1))], 3, None);
        assert!(new.since(&before).output, "what a new process wrote");
    }

    #[test]
    fn with_a_terminal_of_ours_only_what_comes_out_of_it_is_output() {
        let before = reading(&[(1, 5, Some(10))], 3, Some(7));
        let wrote_a_file = reading(&[(1, 5, Some(99))], 3, Some(7));
        assert_eq!(wrote_a_file.since(&before), NOTHING);
        assert!(reading(&[(1, 5, None)], 3, Some(8)).since(&before).output);
    }

    #[test]
    fn what_may_not_be_read_is_not_taken_for_silence() {
        assert!(reading(&[(1, 5, None)], 0, None).is_blind());
        assert!(!reading(&[(1, 5, None)], 0, Some(1)).is_blind());
        assert!(!reading(&[], 0, None).is_blind());
    }
}
