//! Endings that the observer itself brings about, because the user asked it to (`--timeout` and its
//! kind): what was decided, said before the first signal, and whom it ended. Pure.

use super::{
    Cause, Confidence, Verdict, evidence::Dead, explain::Why, pending::culprit, signals,
    words::length,
};
use crate::units::BootNs;

/// Why the observer ends processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// `--timeout`: the time is over.
    Timeout,
    /// `--idle-timeout`: nothing happened for so long.
    Idle,
    /// `--stale-timeout`: nothing came out for so long.
    Stale,
    /// `--end-leftovers`: they outlive the command.
    Leftovers,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Timeout, Self::Idle, Self::Stale, Self::Leftovers];

    /// Its name in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Idle => "idle",
            Self::Stale => "stale",
            Self::Leftovers => "leftovers",
        }
    }

    /// The reason of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    /// The option that asks for it.
    #[must_use]
    pub fn option(self) -> &'static str {
        match self {
            Self::Timeout => "--timeout",
            Self::Idle => "--idle-timeout",
            Self::Stale => "--stale-timeout",
            Self::Leftovers => "--end-leftovers",
        }
    }

    /// What that makes of an end.
    pub(super) fn cause(self) -> Cause {
        match self {
            Self::Leftovers => Cause::Killed,
            _ => Cause::Timeout,
        }
    }
}

/// An ending that the observer brings about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// The note that says so.
    pub seq: u64,
    /// When it was decided, before the first signal.
    pub t: BootNs,
    /// Why.
    pub reason: Reason,
    /// The first signal.
    pub signal: i32,
    /// The time that was over, ns; 0 where none was.
    pub limit_ns: u64,
    /// From the first signal to SIGKILL, ns.
    pub kill_after_ns: u64,
}

impl Ending {
    /// `tracer ended it after 30 s (--timeout)`.
    #[must_use]
    pub fn words(&self) -> String {
        let (limit, option) = (length(self.limit_ns), self.reason.option());
        match self.reason {
            Reason::Timeout => format!("tracer ended it after {limit} ({option})"),
            Reason::Idle => {
                format!("tracer ended it after {limit} without output or CPU time ({option})")
            }
            Reason::Stale => format!("tracer ended it after {limit} without output ({option})"),
            Reason::Leftovers => {
                format!("tracer ended it because it outlived the command ({option})")
            }
        }
    }

    /// What came after the first signal, for one that `signal` killed at `t`.
    pub(super) fn how(&self, signal: i32, t: BootNs) -> String {
        if signal == self.signal {
            return String::new();
        }
        let first = signals::name(self.signal);
        format!(", {} after {first}", length(t.since(self.t)))
    }
}

/// The ending by which the observer ended `dead`: it died of one of those signals, or left by itself
/// after one.
#[must_use]
pub fn ended_by(dead: &Dead) -> Option<&Ending> {
    let seen = match dead.status.signal() {
        Some(signal) => culprit(&dead.case, signal)?.seen,
        None => dead.case.signals.values().max_by_key(|seen| seen.seq)?,
    };
    seen.ended_by.as_ref()
}

/// What is to be said of an end of which only its status is known, when the observer had begun to end
/// it: whose signal it was nobody saw.
pub fn although_unseen(name: &str, verdict: &mut Verdict, ending: &Ending) {
    let how = match (&verdict.signal, verdict.exit_code) {
        (Some(signal), _) => format!("ended by {signal}"),
        (None, code) => format!("exited {}", code.unwrap_or(0)),
    };
    verdict.sentence = format!("{name}: {}: {how}; the signal was not seen", ending.words());
    verdict.cause = ending.reason.cause();
    verdict.confidence = Confidence::Likely;
    verdict.evidence.insert(0, ending.seq);
}

/// It left by itself, after the observer had asked it to.
pub(super) fn by_request(why: &mut Why, dead: &Dead, ending: &Ending) {
    let signal = signals::name(ending.signal);
    why.add(&format!("; {}: it had got {signal}", ending.words()));
    // It may have been about to leave anyway.
    why.confidence = Confidence::Likely;
    if ending.reason != Reason::Leftovers {
        why.cause = Cause::Timeout;
    }
    let seen = dead.case.signals.values().max_by_key(|seen| seen.seq);
    why.killer = seen.map(|seen| seen.killer.clone());
    why.evidence.extend(seen.map(|seen| seen.seq));
    why.evidence.push(ending.seq);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(reason: Reason) -> Ending {
        Ending {
            seq: 1,
            t: BootNs(0),
            reason,
            signal: 15,
            limit_ns: 30_000_000_000,
            kill_after_ns: 10_000_000_000,
        }
    }

    #[test]
    fn every_reason_names_its_option_and_reads_back() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
            assert!(ending(reason).words().contains(reason.option()));
        }
        assert_eq!(Reason::parse("boredom"), None);
        let words = ending(Reason::Timeout).words();
        assert_eq!(words, "tracer ended it after 30 s (--timeout)");
    }

    #[test]
    fn only_the_second_signal_says_how_long_it_was_waited_for() {
        let ending = ending(Reason::Timeout);
        assert_eq!(ending.how(15, BootNs(5)), "");
        assert_eq!(
            ending.how(9, BootNs(10_000_000_000)),
            ", 10 s after SIGTERM"
        );
    }
}
