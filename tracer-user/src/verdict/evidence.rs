//! What may explain an end: the signals and OOM kills that came before it.
//!
//! Evidence is kept for living processes only, a few items each, so that memory does not grow with
//! the number of processes that have ended.

use std::collections::HashMap;

use super::{Killer, Relation, signals};
use crate::{
    event::{Oom, Signal},
    units::{BootNs, ProcKey, Process, Ticks},
};

/// Lethal signals kept for one process; the last ones count.
const SIGNALS_MAX: usize = 8;

/// A lethal signal that was generated for a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalSeen {
    /// Its record.
    pub seq: u64,
    /// When.
    pub t: BootNs,
    /// Signal number.
    pub signal: i32,
    /// `si_code`.
    pub code: i32,
    /// 0 when delivered.
    pub result: i32,
    /// Sent by the kernel by itself.
    pub from_kernel: bool,
    /// Who sent it; for a signal of the kernel's, who was running.
    pub sender: Process,
    /// The same, with names and relation.
    pub killer: Killer,
    /// Who sent the sender a lethal signal before.
    pub behind: Option<Killer>,
}

/// An OOM kill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OomSeen {
    /// Its record.
    pub seq: u64,
    /// Anonymous resident memory of the victim, KiB, where the kernel says it.
    pub anon_rss_kb: Option<u64>,
}

/// What is known of one living process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Case {
    /// The last lethal signals for it, oldest first.
    pub signals: Vec<SignalSeen>,
    /// The OOM killer chose it.
    pub oom: Option<OomSeen>,
    /// Record of its parent's end, when that came first.
    pub parent_exit: Option<(u64, ProcKey)>,
}

/// What is known of all living processes.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    cases: HashMap<ProcKey, Case>,
}

impl Evidence {
    /// Takes a signal record. `relation` is what the sender is to the target at this moment,
    /// `start` the sender's start as `/proc` shows it.
    pub fn signal(
        &mut self,
        seq: u64,
        t: BootNs,
        signal: &Signal,
        relation: Relation,
        start: Ticks,
    ) {
        // What was ignored, or pending already, did nothing: it must not push out what did.
        if !signals::is_lethal(signal.signal) || signal.result != 0 {
            return;
        }
        // A wrapper that somebody sent a lethal signal most likely only passes it on. What it got from
        // the kernel, such as the alarm that timeout(1) sets, is its own business.
        let sender = self.cases.get(&signal.sender.key);
        let sent_to_sender = sender.and_then(|case| {
            let mut signals = case.signals.iter().rev();
            signals.find(|seen| !seen.from_kernel && seen.sender.key != signal.sender.key)
        });
        let behind = sent_to_sender.map(|seen| seen.killer.clone());
        let case = self.cases.entry(signal.target.key).or_default();
        if case.signals.len() == SIGNALS_MAX {
            case.signals.remove(0);
        }
        let cmdline = (!signal.sender_cmdline.is_empty()).then(|| {
            let mut words = signal.sender_cmdline.clone();
            while words.last() == Some(&0) {
                words.pop();
            }
            words
                .iter_mut()
                .filter(|byte| **byte == 0)
                .for_each(|byte| *byte = b' ');
            String::from_utf8_lossy(&words).into_owned()
        });
        case.signals.push(SignalSeen {
            seq,
            t,
            signal: signal.signal,
            code: signal.code,
            result: signal.result,
            from_kernel: signal.from_kernel,
            sender: signal.sender,
            behind,
            killer: Killer {
                pid: (signal.sender.tgid.0 != 0).then_some(signal.sender.tgid.0),
                starttime_ticks: start.0,
                comm: signal.sender_comm.to_text(),
                cmdline,
                uid: signal.sender_uid,
                relation,
            },
        });
    }

    /// Takes an OOM record.
    pub fn oom(&mut self, seq: u64, oom: &Oom) {
        let case = self.cases.entry(oom.victim.key).or_default();
        case.oom = Some(OomSeen {
            seq,
            anon_rss_kb: oom.figures.map(|figures| figures.anon_rss_kb),
        });
    }

    /// Notes for `child` that its parent's exit is record `seq`.
    pub fn parent_ended(&mut self, child: ProcKey, seq: u64, parent: ProcKey) {
        self.cases.entry(child).or_default().parent_exit = Some((seq, parent));
    }

    /// Whether `process` is the parent of `child` and ended before it.
    #[must_use]
    pub fn parent_of(&self, child: ProcKey, process: ProcKey) -> bool {
        let case = self.cases.get(&child);
        case.and_then(|case| case.parent_exit)
            .is_some_and(|(_, parent)| parent == process)
    }

    /// Takes out what is known of a process, at its end.
    pub fn take(&mut self, process: ProcKey) -> Case {
        self.cases.remove(&process).unwrap_or_default()
    }
}
