//! From a wait status and its evidence to a verdict.

use super::{
    Cause, Confidence, Killer, Outcome, Relation, Verdict,
    evidence::{Case, SignalSeen},
    signals,
    status::WaitStatus,
};

/// What became of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its exit record: `seq` and raw wait status.
    Seen(u64, WaitStatus),
    /// It lived when observation ended.
    StillRunning,
    /// Its end was not seen, and why.
    NotSeen(&'static str),
}

/// Judges one process. `name` is what people call it, for the sentence.
#[must_use]
pub fn judge(name: &str, end: End, case: &Case) -> Verdict {
    match end {
        End::StillRunning => {
            let sentence = format!("{name} was still running when observation ended");
            open(Outcome::StillRunning, sentence)
        }
        End::NotSeen(why) => open(
            Outcome::Unknown,
            format!("how {name} ended is unknown: {why}"),
        ),
        End::Seen(seq, status) => match (status.signal(), status.exit_code()) {
            (Some(signal), _) => signaled(name, seq, signal, status.core_dumped(), case),
            (None, code) => exited(name, seq, code.unwrap_or(0)),
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
        evidence: Vec::new(),
    }
}

fn exited(name: &str, seq: u64, code: i32) -> Verdict {
    let (cause, sentence) = match code {
        0 => (Cause::Success, format!("{name} exited 0")),
        code => (Cause::ErrorExit, format!("{name} exited {code}")),
    };
    Verdict {
        outcome: Outcome::Exited,
        exit_code: Some(code),
        signal: None,
        core_dumped: false,
        cause,
        confidence: Confidence::Certain,
        sentence,
        killer: None,
        evidence: vec![seq],
    }
}

fn signaled(name: &str, seq: u64, signal: i32, core_dumped: bool, case: &Case) -> Verdict {
    // Only a delivered signal of that number can have done it; the last one did.
    let sent = case
        .signals
        .iter()
        .rev()
        .find(|seen| seen.signal == signal && seen.result == 0);
    let (why, confidence, detail) = explain(signal, sent, case);
    let signal_name = signals::name(signal);
    let core = if core_dumped { " (core dumped)" } else { "" };
    let sentence = match detail {
        Some(detail) => format!("{name} ended by {signal_name}{core}: {detail}"),
        None => format!("{name} ended by {signal_name}{core}"),
    };
    let mut evidence = vec![seq];
    evidence.extend(sent.map(|seen| seen.seq));
    evidence.extend(case.oom.as_ref().map(|oom| oom.seq));
    if why == Cause::ParentDeath {
        evidence.extend(case.parent_exit.map(|(seq, _)| seq));
    }
    evidence.sort_unstable();
    Verdict {
        outcome: Outcome::Signaled,
        exit_code: None,
        signal: Some(signal_name),
        core_dumped,
        cause: why,
        confidence,
        sentence,
        killer: sent
            .filter(|_| why != Cause::KernelOom)
            .map(|seen| seen.killer.clone()),
        evidence,
    }
}

fn explain(
    signal: i32,
    sent: Option<&SignalSeen>,
    case: &Case,
) -> (Cause, Confidence, Option<String>) {
    if signal == 9
        && let Some(oom) = &case.oom
    {
        let held = oom
            .anon_rss_kb
            .map_or(String::new(), |kb| format!(", holding {kb} KiB"));
        let why = format!("the kernel ran out of memory and chose it{held}");
        return (Cause::KernelOom, Confidence::Certain, Some(why));
    }
    let Some(sent) = sent else {
        // A group exit kills the other threads without a signal record, and what was sent before
        // tracking began was not seen.
        return (
            Cause::Unknown,
            Confidence::Unknown,
            Some("who sent it was not seen".to_owned()),
        );
    };
    if signals::is_fault(signal) && (sent.from_kernel || sent.code > 0 || is_self(&sent.killer)) {
        return (Cause::Fault, Confidence::Certain, None);
    }
    if sent.from_kernel {
        return match signal {
            2 | 3 => (
                Cause::Interrupt,
                Confidence::Likely,
                Some("typed at its terminal".to_owned()),
            ),
            1 => {
                let why = format!("its terminal went away, with {}", who(&sent.killer));
                (Cause::Hangup, Confidence::Likely, Some(why))
            }
            // The OOM killer reports its choice; without such a report this is a limit on CPU time
            // (RLIMIT_CPU), or a report that was lost.
            9 if is_self(&sent.killer) => {
                let why = "the kernel killed it and reported no want of memory: a limit such as \
                           RLIMIT_CPU, most likely"
                    .to_owned();
                (Cause::Killed, Confidence::Likely, Some(why))
            }
            _ => (
                Cause::Killed,
                Confidence::Likely,
                Some("sent by the kernel".to_owned()),
            ),
        };
    }
    // The kernel sends this after the parent's end. A parent that kills its child and then leaves has
    // killed it.
    if let Some((parent_seq, parent)) = case.parent_exit
        && parent == sent.sender.key
        && parent_seq < sent.seq
    {
        let why = format!("its parent {} ended first", who(&sent.killer));
        return (Cause::ParentDeath, Confidence::Certain, Some(why));
    }
    if let Some(behind) = &sent.behind
        && sent.killer.relation == Relation::Wrapper
    {
        let why = format!(
            "{} passed on what it got from {}",
            who(&sent.killer),
            who(behind)
        );
        return (Cause::Killed, Confidence::Likely, Some(why));
    }
    if sent.killer.comm == "timeout" && sent.killer.relation == Relation::Wrapper {
        // Any program may call itself so; one that was started by another name is not believed.
        let started_so = sent.killer.cmdline.as_deref().is_none_or(|cmdline| {
            let program = cmdline.split(' ').next().unwrap_or_default();
            program.rsplit('/').next() == Some("timeout")
        });
        let confidence = if started_so {
            Confidence::Certain
        } else {
            Confidence::Likely
        };
        let why = format!("{} ran out of time", who(&sent.killer));
        return (Cause::Timeout, confidence, Some(why));
    }
    (
        Cause::Killed,
        Confidence::Certain,
        Some(format!("sent by {}", who(&sent.killer))),
    )
}

fn is_self(killer: &Killer) -> bool {
    killer.relation == Relation::Itself
}

/// `pkill (pid 4711, "pkill -f python", uid 0, outside the tree)`.
fn who(killer: &Killer) -> String {
    let mut facts = Vec::new();
    match killer.pid {
        Some(pid) => facts.push(format!("pid {pid}")),
        None => facts.push("pid hidden by a pid namespace".to_owned()),
    }
    facts.extend(
        killer
            .cmdline
            .as_ref()
            .map(|cmdline| format!("\"{cmdline}\"")),
    );
    facts.push(format!("uid {}", killer.uid));
    facts.push(
        match killer.relation {
            Relation::Itself => "itself",
            Relation::Descendant => "below it",
            Relation::Ancestor => "above it",
            Relation::Wrapper => "its wrapper",
            Relation::Sibling => "in its tree",
            Relation::Outside => "outside the tree",
            Relation::Kernel => "the kernel",
            Relation::Unknown => "relation unknown",
        }
        .to_owned(),
    );
    format!("{} ({})", killer.comm, facts.join(", "))
}

#[cfg(test)]
mod tests;
