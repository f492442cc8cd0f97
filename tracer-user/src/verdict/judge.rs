//! From a wait status and its evidence to a verdict.

mod exited;

use super::{
    Cause, Confidence, Origin, Outcome, Passing, Verdict,
    aftermath::{Aftermath, CorePlace},
    evidence::{Dead, Passed},
    explain::{self, Why},
    memory,
    pending::culprit,
    signals,
    status::WaitStatus,
    words::{length, who},
};
use crate::units::BootNs;

const SIGKILL: i32 = 9;
const SIGSYS: i32 = 31;
/// Shorter stops are not told, ns.
const STOP_NS: u64 = 1_000_000;

/// What became of the process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum End<'a> {
    /// Its exit was seen.
    Seen(&'a Dead),
    /// Only its parent told: record and raw wait status.
    Waited(u64, WaitStatus),
    /// It lived when observation ended.
    StillRunning,
    /// Its end was not seen, and why.
    NotSeen(&'static str),
    /// Its end was not seen, and something was lost since it was last seen to live.
    Unsure,
}

/// Judges one process. `name` is what people call it, for the sentence.
#[must_use]
pub fn judge(name: &str, end: End<'_>, after: &Aftermath) -> Verdict {
    match end {
        End::StillRunning => {
            let sentence = format!("{name} was still running when observation ended");
            open(Outcome::StillRunning, sentence)
        }
        End::NotSeen(why) => open(
            Outcome::Unknown,
            format!("how {name} ended is unknown: {why}"),
        ),
        End::Unsure => open(
            Outcome::Unknown,
            format!(
                "whether {name} still runs is unknown: events were lost, its end perhaps among them"
            ),
        ),
        End::Waited(seq, status) => waited(name, seq, status),
        End::Seen(dead) => match dead.status.signal() {
            Some(signal) => signaled(name, dead, signal, after),
            None => exited::exited(name, dead, after),
        },
    }
}

fn open(outcome: Outcome, sentence: String) -> Verdict {
    Verdict {
        outcome,
        exit_code: None,
        signal: None,
        core_dumped: false,
        cause: Cause::Unknown,
        confidence: Confidence::Unknown,
        sentence,
        killer: None,
        origin: None,
        stopped_us: 0,
        evidence: Vec::new(),
    }
}

/// Puts a verdict together from a wait status and what explains it.
fn close(name: &str, status: WaitStatus, why: Why, record: u64) -> Verdict {
    let mut evidence = why.evidence;
    evidence.push(record);
    evidence.sort_unstable();
    evidence.dedup();
    Verdict {
        outcome: if status.signal().is_some() {
            Outcome::Signaled
        } else {
            Outcome::Exited
        },
        exit_code: status.exit_code(),
        signal: status.signal().map(signals::name),
        core_dumped: status.core_dumped(),
        cause: why.cause,
        confidence: why.confidence,
        sentence: format!("{name}: {}", why.what),
        killer: why.killer,
        origin: None,
        stopped_us: 0,
        evidence,
    }
}

/// Nothing is known but the status.
fn waited(name: &str, seq: u64, status: WaitStatus) -> Verdict {
    let why = match (status.exit_code(), status.signal()) {
        (Some(code), _) => by_itself(code, format!("exited {code}")),
        (None, signal) => {
            let signal = signals::name(signal.unwrap_or(0));
            unknown(format!(
                "ended by {signal}{}; who sent it was not seen",
                core(status)
            ))
        }
    };
    close(name, status, why, seq)
}

fn by_itself(code: i32, what: String) -> Why {
    Why {
        cause: if code == 0 {
            Cause::Success
        } else {
            Cause::ErrorExit
        },
        confidence: Confidence::Certain,
        what,
        killer: None,
        evidence: Vec::new(),
    }
}

fn unknown(what: String) -> Why {
    Why {
        cause: Cause::Unknown,
        confidence: Confidence::Unknown,
        what,
        killer: None,
        evidence: Vec::new(),
    }
}

fn core(status: WaitStatus) -> &'static str {
    if status.core_dumped() {
        " (core dumped)"
    } else {
        ""
    }
}

fn signaled(name: &str, dead: &Dead, signal: i32, after: &Aftermath) -> Verdict {
    let core_words = core(dead.status);
    let found = culprit(&dead.case, signal);
    let oom = dead.case.oom.as_ref().filter(|_| signal == SIGKILL);
    let shared = found.and_then(|found| found.seen.oom.as_deref());
    let mut origin = None;
    let mut why = if let Some(oom) = oom.or(shared.filter(|_| signal == SIGKILL)) {
        let mut why = memory::killed(dead, oom, after);
        why.evidence.extend(found.map(|found| found.seen.seq));
        why
    } else if let Some(found) = found {
        let mut why = explain::killed(dead, found.seen, core_words);
        if !found.sure {
            lower(&mut why);
            if let Some(rival) = found.rival {
                why.add(&format!(
                    ", or from {}: both were waiting",
                    who(&rival.killer)
                ));
                why.evidence.push(rival.seq);
            }
        }
        doubt(
            &mut why,
            found.seen.t,
            dead.t,
            "and something else may have ended it",
            after,
        );
        if let Some(passed) = &dead.passed {
            origin = Some(mirror(&mut why, passed, after));
        }
        why
    } else {
        without_signal(dead, signal, core_words, after)
    };
    add_core(&mut why, dead, after);
    add_stops(&mut why, dead);
    Verdict {
        origin,
        stopped_us: stopped_us(dead),
        ..close(name, dead.status, why, dead.seq)
    }
}

/// It sent itself the signal that had ended its child.
fn mirror(why: &mut Why, passed: &Passed, after: &Aftermath) -> Origin {
    let real = &passed.real;
    let below = judge(&real.name(), End::Seen(real), after);
    why.add(&format!("; as had ended {}", below.sentence));
    why.evidence.extend(below.evidence);
    exited::to_origin(passed)
}

/// Its status names a signal, and none was seen.
fn without_signal(dead: &Dead, signal: i32, core: &str, after: &Aftermath) -> Why {
    let by = format!("ended by {}{core}", signals::name(signal));
    if let Some(span) = after.unseen.between(dead.case.since, dead.t) {
        let mut why = unknown(format!(
            "unknown: {by}, and {}, the signal among them perhaps",
            lost(span.count)
        ));
        why.evidence.push(span.seq);
        return why;
    }
    unknown(if dead.case.adopted && signal == SIGKILL {
        format!("unknown: it was already dying when tracing began ({by})")
    } else if dead.case.adopted {
        format!("unknown: {by}, which was sent before tracing began")
    } else {
        format!(
            "unknown: {by}, which nobody was seen to send; {}",
            unsent(signal)
        )
    })
}

/// What ends a process by a signal without one being sent.
fn unsent(signal: i32) -> &'static str {
    match signal {
        // Seccomp's strict mode ends the thread itself (kernel/seccomp.c), and nobody can put it in.
        SIGKILL => "seccomp's strict mode ends a process so",
        SIGSYS => "a seccomp filter that ends single threads does so",
        _ => "a debugger can put a signal in, and the kernel can end a thread so",
    }
}

/// Lowers the confidence where something was lost between two moments.
fn doubt(why: &mut Why, from: BootNs, to: BootNs, what: &str, after: &Aftermath) {
    if let Some(span) = after.unseen.between(from, to) {
        lower(why);
        why.add(&format!("; {}, {what}", lost(span.count)));
        why.evidence.push(span.seq);
    }
}

fn lower(why: &mut Why) {
    if why.confidence == Confidence::Certain {
        why.confidence = Confidence::Likely;
    }
}

fn lost(count: u64) -> String {
    match count {
        0 => "nobody watched meanwhile".to_owned(),
        1 => "1 event was lost meanwhile".to_owned(),
        count => format!("{count} events were lost meanwhile"),
    }
}

fn add_core(why: &mut Why, dead: &Dead, after: &Aftermath) {
    let Some(core) = after
        .core_of(dead.process)
        .filter(|_| dead.status.core_dumped())
    else {
        return;
    };
    match &core.place {
        CorePlace::File(file) => why.add(&format!("; the core is in {file}")),
        CorePlace::Piped(to) => why.add(&format!("; the core went to {to}")),
        CorePlace::Unknown => return,
    }
    why.evidence.push(core.seq);
}

fn stopped_us(dead: &Dead) -> u64 {
    dead.case.stops.total_ns(dead.t) / 1000
}

fn add_stops(why: &mut Why, dead: &Dead) {
    let total = dead.case.stops.total_ns(dead.t);
    if total >= STOP_NS {
        why.add(&format!("; it had been stopped for {}", length(total)));
    }
}

#[cfg(test)]
mod tests;
