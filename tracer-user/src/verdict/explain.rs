//! From the signal that ended a process to the cause behind it.
//!
//! What a signal means is in how it came to be: who can have sent one with such a code, into such a
//! queue, at such a moment. `docs/verdicts.md` has the same rules as a table.

use super::{
    Cause, Confidence, Killer,
    ending::Ending,
    evidence::{Dead, How, SI_KERNEL, SignalSeen},
    signals,
    words::{fault, length, who},
};

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGQUIT: i32 = 3;
const SIGKILL: i32 = 9;
const SIGPIPE: i32 = 13;
const SIGXCPU: i32 = 24;
const SIGXFSZ: i32 = 25;
const SIGIO: i32 = 29;

/// How long a program may take from handling a signal to ending itself with it, ns.
const REPEATED_NS: u64 = 120_000_000_000;
/// A second of CPU time, µs.
const SECOND_US: u64 = 1_000_000;

/// A cause, with what it rests on.
#[derive(Debug)]
pub(super) struct Why {
    pub(super) cause: Cause,
    pub(super) confidence: Confidence,
    /// The sentence, without the subject.
    pub(super) what: String,
    pub(super) killer: Option<Killer>,
    pub(super) evidence: Vec<u64>,
}

impl Why {
    fn certain(cause: Cause, what: String, killer: Killer) -> Self {
        Self {
            cause,
            confidence: Confidence::Certain,
            what,
            killer: Some(killer),
            evidence: Vec::new(),
        }
    }

    /// Adds to the sentence.
    pub(super) fn add(&mut self, text: &str) {
        self.what.push_str(text);
    }

    fn likely(self) -> Self {
        Self {
            confidence: Confidence::Likely,
            ..self
        }
    }

    fn resting_on(mut self, records: impl IntoIterator<Item = u64>) -> Self {
        self.evidence.extend(records);
        self
    }
}

/// How a signal that did not kill is put into words.
pub(super) enum Told {
    /// A process sent it: who.
    Sent(String),
    /// Anything else: what it was.
    Other(String),
}

/// What a signal was that did not end `dead`.
pub(super) fn told(dead: &Dead, seen: &SignalSeen) -> Told {
    if seen.how() == How::Sent && seen.passed_on.is_none() {
        return Told::Sent(who(&seen.killer));
    }
    let what = killed(dead, seen, "").what;
    Told::Other(what.strip_prefix("killed by ").unwrap_or(&what).to_owned())
}

/// What ended `dead`, by the signal that did. `core` is what to say of a core.
pub(super) fn killed(dead: &Dead, seen: &SignalSeen, core: &str) -> Why {
    if let Some(first) = seen.repeats.as_deref()
        && seen.t.since(first.t) < REPEATED_NS
    {
        return repeated(dead, seen, first, core);
    }
    let name = signals::name(seen.signal);
    let by = format!("killed by {name}{core}");
    // Only the kernel's own signals are beyond pretence: a program may send itself any code.
    let pretended = seen.is_made_up() && seen.how() == How::Kernel;
    let why = match seen.how() {
        How::Told | How::Kernel | How::Sent if signals::is_fault(seen.signal) && seen.is_own() => {
            let what = format!("{name} in {}{core}", dead.comm.to_text());
            let what = match fault(&name, seen.code) {
                Some(complaint) => format!("{what}: {complaint}"),
                None if seen.how() == How::Sent => format!("{what}: it sent that to itself"),
                None => what,
            };
            Why::certain(Cause::Fault, what, seen.killer.clone())
        }
        How::Sent => sent(dead, seen, &by),
        How::Kernel if pretended => sent(dead, seen, &by),
        How::OnBehalf => on_behalf(seen, &by),
        How::Kernel => by_kernel(dead, seen, &by),
        How::Timer => timer(&by),
        How::Told => {
            let what = format!("{by}: sent by the kernel, by which it had asked to be told");
            Why::certain(Cause::Killed, what, Killer::kernel()).likely()
        }
    };
    why.resting_on([seen.seq])
}

/// It handled a signal and then sent it to itself, as programs do that want to end the way they would
/// have ended, only tidier: `bash` and Python at SIGINT, whoever reports a crash before it crashes.
fn repeated(dead: &Dead, seen: &SignalSeen, first: &SignalSeen, core: &str) -> Why {
    let mut why = killed(dead, first, core);
    let name = signals::name(seen.signal);
    let later = length(seen.t.since(first.t));
    why.add(&format!(
        "; it handled that and sent itself {name} {later} later"
    ));
    // A fault is its own doing either way; what it wanted with the others only it knows.
    if why.cause != Cause::Fault {
        why = why.likely();
    }
    why.resting_on([seen.seq])
}

fn timer(by: &str) -> Why {
    let what = format!("{by}: a timer of its own ran out");
    Why::certain(Cause::Killed, what, Killer::kernel())
}

/// A process sent it.
fn sent(dead: &Dead, seen: &SignalSeen, by: &str) -> Why {
    if let Some((note, code)) = seen.passed_on {
        return passed_on(seen, code, by).resting_on([note]);
    }
    if let Some(ending) = &seen.ended_by {
        return by_observer(seen, ending, by).resting_on([ending.seq]);
    }
    let from = who(&seen.killer);
    // Whoever has ended sends nothing any more; the kernel does, to those who asked for it.
    if seen.sender_ended.is_some() && !seen.is_own() {
        return parent_death(seen, by);
    }
    if seen.program_is("timeout") && !seen.is_own() && seen.behind.is_none() {
        // Its own time, not that of whom it ends: it ends their children as well.
        // And from when on it could have looked at a clock: a command is held until it is tracked.
        let after = length(seen.t.since(seen.runs_since));
        let what = format!("timeout(1) ended it after {after}: {by} from {from}");
        let why = Why::certain(Cause::Timeout, what, seen.killer.clone()).resting_on(seen.alarm);
        // Any program may be called so; one whose timer ran out just before is believed.
        return if seen.alarm.is_some() {
            why
        } else {
            why.likely()
        };
    }
    let mut why = Why::certain(
        Cause::Killed,
        format!("{by} from {from}"),
        seen.killer.clone(),
    );
    if let Some(behind) = &seen.behind {
        let before = length(seen.t.since(behind.t));
        let got = match told(dead, behind) {
            Told::Sent(from) => format!("{} from {from}", signals::name(behind.signal)),
            Told::Other(what) => format!("{} ({what})", signals::name(behind.signal)),
        };
        why.add(&format!(", which had got {got} {before} before"));
        why.evidence.push(behind.seq);
    }
    why
}

/// The observer sent it, as it was asked to.
fn by_observer(seen: &SignalSeen, ending: &Ending, by: &str) -> Why {
    let (words, how) = (ending.words(), ending.how(seen.signal, seen.t));
    let killer = seen.killer.clone();
    Why::certain(ending.reason.cause(), format!("{words}: {by}{how}"), killer)
}

/// The observer got it and passed it on.
fn passed_on(seen: &SignalSeen, code: i32, by: &str) -> Why {
    if code != SI_KERNEL {
        let what = format!("{by} from {}, passed on by tracer", who(&seen.killer));
        return Why::certain(Cause::Killed, what, seen.killer.clone());
    }
    let (cause, what) = match seen.signal {
        SIGINT => (Cause::Interrupt, "Ctrl-C at tracer's terminal".to_owned()),
        SIGQUIT => (Cause::Interrupt, "Ctrl-\\ at tracer's terminal".to_owned()),
        SIGHUP => (Cause::Hangup, "tracer's terminal went away".to_owned()),
        _ => (Cause::Killed, format!("{by}, sent by the kernel")),
    };
    Why::certain(
        cause,
        format!("{what}, passed on by tracer"),
        Killer::kernel(),
    )
}

fn parent_death(seen: &SignalSeen, by: &str) -> Why {
    let from = who(&seen.killer);
    let what = if seen.sender_was_dying() {
        format!("{by} because its parent {from} ended, as it had asked for (PR_SET_PDEATHSIG)")
    } else {
        format!(
            "{by} because the thread of {from} that had started it ended, as it had asked for \
             (PR_SET_PDEATHSIG)"
        )
    };
    Why::certain(Cause::ParentDeath, what, seen.killer.clone()).resting_on(seen.sender_ended)
}

/// The kernel sent it for something that the sender did.
fn on_behalf(seen: &SignalSeen, by: &str) -> Why {
    let kernel = |what: String| Why::certain(Cause::Killed, what, Killer::kernel());
    match seen.signal {
        _ if seen.group && !seen.is_own() => parent_death(seen, by),
        SIGKILL => {
            let what = format!(
                "{by} from {} through cgroup.kill (or PTRACE_KILL, were it its debugger)",
                who(&seen.killer)
            );
            Why::certain(Cause::Killed, what, seen.killer.clone())
        }
        SIGPIPE if seen.is_own() => kernel(format!(
            "{by}: it wrote to a pipe or socket that nobody reads any more"
        )),
        SIGXFSZ if seen.is_own() => kernel(format!(
            "{by}: a file it wrote reached its limit (RLIMIT_FSIZE)"
        )),
        _ if seen.is_own() => kernel(format!("{by}, sent by the kernel for what it did")).likely(),
        _ => {
            let from = who(&seen.killer);
            kernel(format!("{by}, sent by the kernel for what {from} did")).likely()
        }
    }
}

/// The kernel sent it in its own name.
fn by_kernel(dead: &Dead, seen: &SignalSeen, by: &str) -> Why {
    let killed = |what: String| Why::certain(Cause::Killed, what, Killer::kernel());
    match seen.signal {
        SIGINT | SIGQUIT => interrupt(seen),
        SIGHUP => hangup(seen),
        SIGKILL => kill(dead, seen, by),
        // That limit counts whole seconds, the one on real-time scheduling microseconds.
        SIGXCPU if dead.cpu_us < SECOND_US / 2 => killed(format!(
            "{by}: it reached its limit on CPU time without a pause (RLIMIT_RTTIME)"
        ))
        .likely(),
        SIGXCPU => killed(format!(
            "{by}: it reached its limit on CPU time (RLIMIT_CPU)"
        )),
        signal if signals::is_timer(signal) => timer(by),
        SIGIO => killed(format!(
            "{by}: a descriptor was ready, of which it had asked to be told (O_ASYNC)"
        )),
        _ => killed(format!("{by}, sent by the kernel")).likely(),
    }
}

/// A key typed at the terminal: the line discipline of the terminal's other end sends it, from a
/// kernel worker when that is a pseudoterminal.
fn interrupt(seen: &SignalSeen) -> Why {
    let key = if seen.signal == SIGINT {
        "Ctrl-C"
    } else {
        "Ctrl-\\"
    };
    let what = format!("{key} at its terminal");
    if seen.killer.comm.starts_with("kworker/") && seen.killer.uid == 0 {
        return Why::certain(Cause::Interrupt, what, Killer::kernel());
    }
    let what = format!("{what}, sent while {} ran", who(&seen.killer));
    Why::certain(Cause::Interrupt, what, Killer::kernel()).likely()
}

/// The terminal, or who led the session on it, is gone.
fn hangup(seen: &SignalSeen) -> Why {
    let from = who(&seen.killer);
    let dying = seen.sender_was_dying();
    let what = match (
        seen.is_own(),
        seen.while_stopped && dying,
        seen.continued,
        dying,
    ) {
        (true, ..) => "its terminal went away: it closed it".to_owned(),
        (_, true, ..) => {
            format!("its process group was left stopped and alone: {from} ended")
        }
        // Whoever leads a session is followed without being continued.
        (_, _, false, true) => format!("its session leader {from} ended"),
        (_, _, _, true) => format!("its terminal went away: {from} closed it by ending"),
        (_, _, _, false) => format!("its terminal went away: {from} closed it"),
    };
    Why::certain(Cause::Hangup, what, seen.killer.clone()).resting_on(seen.sender_ended)
}

/// SIGKILL in the kernel's own name, when no OOM kill was reported.
fn kill(dead: &Dead, seen: &SignalSeen, by: &str) -> Why {
    let from = who(&seen.killer);
    if !seen.is_own() && seen.sender.inner == 1 && seen.sender.key.init != 1 {
        let what = format!("{by}: {from}, the first process of its pid namespace, ended");
        return Why::certain(Cause::Killed, what, seen.killer.clone())
            .resting_on(seen.sender_ended);
    }
    if !seen.is_own() && seen.sender_was_dying() {
        let what = format!("{by}: {from}, which traced it (ptrace), ended");
        let why = Why::certain(Cause::Killed, what, seen.killer.clone());
        return why.likely().resting_on(seen.sender_ended);
    }
    // The kernel counts towards the limit in ticks, so that the exact time is only near it.
    let used_up = |limit: u64| seen.is_own() && dead.cpu_us >= limit.saturating_mul(SECOND_US / 2);
    if let Some(limit) = seen.scene.cpu_limit_s.filter(|&limit| used_up(limit)) {
        let what = format!("{by}: it reached its limit of {limit} s of CPU time (RLIMIT_CPU)");
        let why = Why::certain(Cause::Killed, what, Killer::kernel());
        return why.resting_on(dead.case.cpu_limit);
    }
    if let Some(warned) = dead.case.cpu_limit.filter(|_| seen.is_own()) {
        let what =
            format!("{by}: it reached its limit on CPU time without a pause (RLIMIT_RTTIME)");
        let why = Why::certain(Cause::Killed, what, Killer::kernel());
        return why.likely().resting_on([warned]);
    }
    let what = format!("{by}, sent by the kernel, which reported no want of memory");
    Why::certain(Cause::Killed, what, Killer::kernel()).likely()
}
