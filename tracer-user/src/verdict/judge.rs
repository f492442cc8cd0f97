//! From a wait status and its evidence to a verdict.

use super::{
    Cause, Confidence, Origin, Outcome, Passing, Verdict,
    aftermath::{Aftermath, CorePlace},
    ending::{self, ended_by},
    evidence::{Dead, How, Passed, SignalSeen},
    explain::{self, Why},
    memory, passing,
    pending::culprit,
    signals,
    status::WaitStatus,
    words::{length, list, who},
};
use crate::units::BootNs;

const SIGKILL: i32 = 9;
/// How long before an exit a signal is still worth telling, ns.
const LATELY_NS: u64 = 10_000_000_000;
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
            None => exited(name, dead, after),
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

fn exited(name: &str, dead: &Dead, after: &Aftermath) -> Verdict {
    let code = dead.status.exit_code().unwrap_or(0);
    let mut why = by_itself(code, format!("exited {code}"));
    let mut origin = None;
    if let Some(passed) = &dead.passed {
        origin = Some(pass_up(&mut why, dead, passed, code, after));
    } else if let Some(ending) = ended_by(dead) {
        ending::by_request(&mut why, dead, ending);
    } else if let Some(signal) = passing::stands_for(dead.status) {
        by_choice(&mut why, dead, signal, code, after);
    } else if let Some(below) = dead.below.as_ref().filter(|_| code != 0) {
        // `make`, `xargs` and their kind have codes of their own for it.
        let below = judge(&below.name(), End::Seen(below), after);
        why.add(&format!("; just before, below it: {}", below.sentence));
        why.evidence.extend(below.evidence);
    } else if let Some(seen) = lately(dead) {
        why.add(&format!(
            "; it had got {} from {} {} before",
            signals::name(seen.signal),
            who(&seen.killer),
            length(dead.t.since(seen.t)),
        ));
        why.evidence.push(seen.seq);
    }
    add_stops(&mut why, dead);
    Verdict {
        origin,
        stopped_us: stopped_us(dead),
        ..close(name, dead.status, why, dead.seq)
    }
}

/// The code stands for a signal that ended a child, or repeats what a child chose.
fn pass_up(why: &mut Why, dead: &Dead, passed: &Passed, code: i32, after: &Aftermath) -> Origin {
    let real = &passed.real;
    let below = judge(&real.name(), End::Seen(real), after);
    let how = below
        .sentence
        .strip_prefix(&format!("{}: ", real.name()))
        .unwrap_or(&below.sentence);
    let mut passers: Vec<String> = passed
        .via
        .iter()
        .map(|via| format!("{} (pid {})", via.comm.to_text(), via.process.tgid))
        .collect();
    passers.push(dead.comm.to_text());
    why.what = format!(
        "{code} came from {}, {how}; {} only passed it on",
        real.name(),
        list(&passers)
    );
    if !passed.last {
        why.what
            .push_str(", or chose the number: others ended between");
    }
    why.confidence = Confidence::Likely;
    why.killer = below.killer;
    why.evidence.extend(below.evidence);
    why.evidence.extend(passed.via.iter().map(|via| via.seq));
    to_origin(passed)
}

fn to_origin(passed: &Passed) -> Origin {
    let real = &passed.real;
    Origin {
        pid: real.process.tgid.0,
        starttime_ticks: real.starttime_ticks,
        comm: real.comm.to_text(),
        exit_code: real.status.exit_code(),
        signal: real.status.signal().map(signals::name),
        passed_on_by: passed
            .via
            .iter()
            .map(|via| Passing {
                pid: via.process.tgid.0,
                comm: via.comm.to_text(),
            })
            .collect(),
    }
}

/// The code looks as if a signal had done it, and no child died of one.
fn by_choice(why: &mut Why, dead: &Dead, signal: i32, code: i32, after: &Aftermath) {
    let name = signals::name(signal);
    let (all, of_this) = dead.killed_before;
    if let Some(seen) = lately(dead).filter(|seen| seen.signal == signal) {
        // Its own doing all the same: a signal that kills leaves no exit code.
        why.what = format!(
            "exited {code} by choice, {} after {name} from {}, which did not kill it",
            length(dead.t.since(seen.t)),
            who(&seen.killer)
        );
        why.evidence.push(seen.seq);
        return;
    }
    why.what = match (all, of_this) {
        (0, _) => format!("exited {code} by choice: no process of the tree was killed"),
        (_, 0) => format!("exited {code} by choice: no process of the tree was killed by {name}"),
        _ => format!("exited {code} by choice: no child of its own was killed by {name}"),
    };
    if of_this > 0 {
        why.confidence = Confidence::Likely;
    }
    doubt(
        why,
        dead.case.since,
        dead.t,
        "a killed child among them perhaps",
        after,
    );
}

/// The last signal that somebody sent it not long before its end.
fn lately(dead: &Dead) -> Option<&SignalSeen> {
    let seen = dead.case.signals.values().max_by_key(|seen| seen.seq)?;
    let fits = seen.how() == How::Sent && !seen.is_own();
    (fits && dead.t.since(seen.t) < LATELY_NS).then_some(seen)
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
    to_origin(passed)
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
            "unknown: {by}, which nobody was seen to send; a debugger can put a signal in, and a \
             thread can end so by itself"
        )
    })
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
