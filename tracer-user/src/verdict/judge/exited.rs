//! Verdicts on processes that left by themselves: what the code stands for, and what came just before.
//!
//! An exit code is a number that the program chose; why it chose that is in what befell it: a child's
//! end, a signal that it handled. What is told of these is what the records show, in their order.

use super::{
    Aftermath, Cause, Confidence, Dead, End, Origin, Passed, Passing, Verdict, Why, add_stops,
    by_itself, close, doubt, judge, stopped_us,
};
use crate::verdict::{
    ending::{self, ended_by},
    evidence::SignalSeen,
    explain::{self, Told, told},
    passing, signals,
    words::{length, list},
};

/// How long before an exit a signal is still worth telling, ns.
const LATELY_NS: u64 = 10_000_000_000;
/// How long before an exit something is said to have come just before, ns.
const JUST_NS: u64 = 1_000_000_000;

pub(super) fn exited(name: &str, dead: &Dead, after: &Aftermath) -> Verdict {
    let code = dead.status.exit_code().unwrap_or(0);
    let mut why = by_itself(code, format!("exited {code}"));
    let mut origin = None;
    if let Some(passed) = &dead.passed {
        origin = Some(pass_up(&mut why, dead, passed, code, after));
    } else if let Some(ending) = ended_by(dead) {
        ending::by_request(&mut why, dead, ending);
    } else if let Some(signal) = passing::stands_for(dead.status) {
        by_choice(&mut why, dead, signal, code, after);
    } else {
        why.add(by_custom(code));
        add_lately(&mut why, dead, code);
        add_below(&mut why, dead, code, after);
    }
    add_stops(&mut why, dead);
    Verdict {
        origin,
        stopped_us: stopped_us(dead),
        ..close(name, dead.status, why, dead.seq)
    }
}

/// What shells, `env(1)` and everybody who starts programs for others mean by a code (POSIX, XCU 2.8.2).
fn by_custom(code: i32) -> &'static str {
    match code {
        126 => " (by custom: a command could not be executed)",
        127 => " (by custom: a command was not found)",
        _ => "",
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

pub(super) fn to_origin(passed: &Passed) -> Origin {
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
        let before = length(dead.t.since(seen.t));
        let what = match told(dead, seen) {
            Told::Sent(from) => {
                format!("{before} after {name} from {from}, which did not kill it")
            }
            Told::Other(what) => {
                format!("{before} after {name}, which did not kill it ({what})")
            }
        };
        why.what = format!("exited {code} by choice, {what}");
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

/// A signal that it got not long before, and which did not end it.
fn add_lately(why: &mut Why, dead: &Dead, code: i32) {
    let Some(seen) = lately(dead) else { return };
    let before = length(dead.t.since(seen.t));
    match told(dead, seen) {
        Told::Sent(from) => {
            let name = signals::name(seen.signal);
            why.add(&format!("; it had got {name} from {from} {before} before"));
        }
        // Those who leave without an error had no trouble with it.
        Told::Other(_) if code == 0 && !is_from_terminal(dead, seen) => return,
        Told::Other(what) => why.add(&format!("; {before} before: {what}")),
    }
    why.evidence.push(seen.seq);
}

/// The end of a child just before: `make`, `xargs` and their kind have codes of their own for it.
fn add_below(why: &mut Why, dead: &Dead, code: i32, after: &Aftermath) {
    let fits = |below: &&std::sync::Arc<Dead>| code != 0 && dead.t.since(below.t) < JUST_NS;
    let Some(below) = dead.below.as_ref().filter(fits) else {
        return;
    };
    let below = judge(&below.name(), End::Seen(below), after);
    why.add(&format!("; just before, below it: {}", below.sentence));
    why.evidence.extend(below.evidence);
}

fn is_from_terminal(dead: &Dead, seen: &SignalSeen) -> bool {
    let cause = explain::killed(dead, seen, "").cause;
    matches!(cause, Cause::Interrupt | Cause::Hangup | Cause::ParentDeath)
}

/// The last signal not long before its end that is worth telling.
fn lately(dead: &Dead) -> Option<&SignalSeen> {
    let news = dead.case.signals.values().filter(|seen| seen.is_news());
    let seen = news.max_by_key(|seen| seen.seq)?;
    // A fault that is handled is nothing to leave for, unless that happens at once.
    let lately = if signals::is_fault(seen.signal) && seen.is_own() {
        JUST_NS
    } else {
        LATELY_NS
    };
    (dead.t.since(seen.t) < lately).then_some(seen)
}
