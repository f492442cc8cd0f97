//! The fold over events that gathers evidence, process by process, and closes a case at each exit.
//!
//! Live or read back from a journal it sees the same records in the same order, so a verdict given
//! later is the verdict that was given then. Nothing is judged here.

mod sender;

use std::{collections::VecDeque, sync::Arc};

use super::{
    Killer, Relation, WaitStatus,
    aftermath::Aftermath,
    ending::Ending,
    evidence::{Case, Dead, How, OomSeen, SignalSeen},
    images::Images,
    lineage::Lineage,
    passing, signals,
};
use crate::{
    collections::{HashMap, remove_if},
    event::{EventKind, Exit, Fork, Oom, Signal},
    units::{BootNs, ProcKey, Process, Tgid, Ticks},
};

/// `result` of a signal that was queued, and of one whose details were lost for want of memory or by
/// `RLIMIT_SIGPENDING`, but which was queued all the same (`TRACE_SIGNAL_DELIVERED`, `_LOSE_INFO`).
const QUEUED: [i32; 2] = [0, 4];
/// OOM kills remembered for those who share the victim's memory.
const OOMS_MAX: usize = 8;
/// Signals that the observer is about to pass on, and that have not been seen to be sent yet.
const FORWARDED_MAX: usize = 8;
/// Children's ends remembered for one living process.
const ENDS_MAX: usize = 4;

const SIGHUP: i32 = 1;
const SIGCONT: i32 = 18;
const SIGXCPU: i32 = 24;

/// A signal that the observer got and passed on to the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    /// The note that says so.
    pub seq: u64,
    /// Signal number.
    pub signal: i32,
    /// Its `si_code` when the observer got it.
    pub code: i32,
    /// Who sent it to the observer.
    pub sender: Killer,
}

/// Everybody's cases.
#[derive(Debug, Clone, Default)]
pub struct Casebook {
    /// What can be known only after an end.
    pub aftermath: Aftermath,
    lineage: Lineage,
    images: Images,
    cases: HashMap<ProcKey, Case>,
    by_pid: HashMap<u32, ProcKey>,
    ooms: VecDeque<OomSeen>,
    forwarded: VecDeque<Forwarded>,
    ending: Option<Ending>,
    observer: Option<Tgid>,
    workload: Option<ProcKey>,
    /// Ends by signal, by number; all of them at 0.
    killed: HashMap<i32, u64>,
}

impl Casebook {
    /// With all that is known of what came after, from an earlier reading of the same records.
    #[must_use]
    pub fn knowing(aftermath: Aftermath) -> Self {
        Self {
            aftermath,
            ..Self::default()
        }
    }

    /// Who observes: what that process sends it only passes on.
    pub fn observer(&mut self, pid: u32) {
        self.observer = Some(Tgid(pid));
    }

    /// Who the workload is. What was above it is a wrapper from now on, also in what came before: a
    /// signal can be faster than the exec by which the workload is known.
    pub fn workload(&mut self, key: ProcKey) {
        self.workload = Some(key);
        let signals = self
            .cases
            .values_mut()
            .flat_map(|case| case.signals.values_mut());
        for seen in signals.filter(|seen| seen.killer.relation == Relation::Ancestor) {
            let from = seen.sender.key;
            if from != key && self.lineage.is_under(key, from) {
                seen.killer.relation = Relation::Wrapper;
            }
        }
    }

    /// The ending that the observer has begun.
    #[must_use]
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// The observer is about to end its target.
    pub fn ends(&mut self, ending: Ending) {
        self.ending = Some(ending);
    }

    /// The observer got a signal and is about to pass it on.
    pub fn forwarded(&mut self, mut forwarded: Forwarded) {
        let pid = forwarded.sender.pid.unwrap_or(0);
        // Whoever sent it may have ended meanwhile. Numbers of other namespaces are not looked for among
        // the dead.
        let living = self.by_pid.get(&pid).copied();
        if let Some(key) = living.or_else(|| self.lineage.latest(pid)) {
            // The root's place stands for the target's: that is whom it is passed on to.
            forwarded.sender.relation = if Some(key) == self.workload {
                Relation::Itself
            } else if self
                .workload
                .is_some_and(|workload| self.lineage.is_under(workload, key))
            {
                Relation::Wrapper
            } else {
                Relation::Descendant
            };
        }
        if self.forwarded.len() == FORWARDED_MAX {
            self.forwarded.pop_front();
        }
        self.forwarded.push_back(forwarded);
    }

    /// Takes an event. At an exit, the case that it closes. `ticks` turns a start into what `/proc`
    /// shows for it.
    pub fn take(
        &mut self,
        seq: u64,
        t: BootNs,
        event: &EventKind,
        ticks: impl Fn(BootNs) -> Ticks,
    ) -> Option<Arc<Dead>> {
        match event {
            EventKind::Fork(fork) => self.fork(t, fork),
            EventKind::Exec(exec) => {
                self.open(t, exec.process).stops.acted();
                self.images.exec(t, exec);
            }
            EventKind::Signal(signal) => self.signal(seq, t, signal, &ticks),
            EventKind::Oom(oom) => self.oom(seq, t, oom),
            // Of one whose case is closed.
            EventKind::Account(_) => {}
            EventKind::Exit(exit) => return Some(self.exit(seq, t, exit, &ticks)),
        }
        None
    }

    /// A process is gone without an exit record.
    fn lose(&mut self, key: ProcKey) {
        self.cases.remove(&key);
        self.images.forget(key);
        self.lineage.lost(key);
    }

    fn fork(&mut self, t: BootNs, fork: &Fork) {
        let key = fork.child.key;
        self.lineage.born(key, fork.creator.key);
        self.images.fork(fork.child, fork.creator.key, fork.comm);
        // A pid is given anew only when its process has ended, so that end was lost.
        if let Some(old) = self.by_pid.insert(fork.child.tgid.0, key)
            && old != key
            && fork.child.tgid.0 != 0
        {
            self.lose(old);
        }
        if !fork.adopted
            && let Some(creator) = self.cases.get_mut(&fork.creator.key)
        {
            creator.stops.acted();
        }
        let case = self.cases.entry(key).or_default();
        case.adopted = fork.adopted;
        case.since = if fork.adopted { t } else { key.start };
    }

    fn open(&mut self, t: BootNs, process: Process) -> &mut Case {
        let by_pid = &mut self.by_pid;
        self.cases.entry(process.key).or_insert_with(|| {
            by_pid.insert(process.tgid.0, process.key);
            unborn(t)
        })
    }

    fn oom(&mut self, seq: u64, t: BootNs, oom: &Oom) {
        let first = self.ooms.iter().find(|earlier| {
            earlier.trigger.key == oom.trigger.key
                && earlier.victim.key != oom.victim.key
                && t.since(earlier.t) < sender::SHARERS_NS
        });
        let seen = OomSeen {
            first: first.map(|first| first.first.unwrap_or(first.victim)),
            seq,
            t,
            victim: oom.victim,
            comm: oom.comm,
            trigger: oom.trigger,
            figures: oom.figures,
        };
        if self.ooms.len() == OOMS_MAX {
            self.ooms.pop_front();
        }
        self.ooms.push_back(seen.clone());
        self.open(t, oom.victim).oom = Some(seen);
    }

    fn signal(&mut self, seq: u64, t: BootNs, signal: &Signal, ticks: &impl Fn(BootNs) -> Ticks) {
        let (to, from) = (signal.target.key, signal.sender.key);
        if !signal.from_kernel
            && let Some(sender) = self.cases.get_mut(&from)
        {
            sender.stops.acted();
        }
        let queued = QUEUED.contains(&signal.result);
        let case = self.open(t, signal.target);
        let while_stopped = case.stops.is_open();
        case.stops.signal(t, signal.signal, !queued);
        // A terminal that goes away sends the two in one go.
        if signal.signal == SIGCONT
            && let Some(hangup) = case.signals.get_mut(&(SIGHUP, true))
            && hangup.how() == How::Kernel
            && hangup.sender.key == from
        {
            hangup.continued = true;
        }
        // Also when it is ignored: SIGKILL follows where there is a harder limit.
        if signal.signal == SIGXCPU && signal.scene.privileged {
            case.cpu_limit = Some(seq);
        }
        if !queued || !signals::is_lethal(signal.signal) {
            return;
        }
        let mut seen = self.see(seq, t, signal, ticks);
        seen.while_stopped = while_stopped;
        let case = self.open(t, signal.target);
        match seen.how() {
            How::Timer => case.alarm = Some((seq, signal.signal)),
            How::Kernel if signals::is_timer(signal.signal) => {
                case.alarm = Some((seq, signal.signal));
            }
            _ => {}
        }
        if seen.is_made_up() {
            seen.repeats = repeated(case, signal.signal);
        }
        let place = (signal.signal, signal.group);
        seen.contested = case
            .signals
            .get(&place)
            .is_some_and(|earlier| earlier.contested || earlier.sender.key != from);
        self.cases
            .entry(to)
            .or_default()
            .signals
            .insert(place, seen);
    }

    fn exit(
        &mut self,
        seq: u64,
        t: BootNs,
        exit: &Exit,
        ticks: &impl Fn(BootNs) -> Ticks,
    ) -> Arc<Dead> {
        let key = exit.process.key;
        let mut case = self.cases.remove(&key).unwrap_or_else(|| unborn(t));
        self.images.forget(key);
        remove_if(&mut self.by_pid, exit.process.tgid.0, |named| *named == key);
        for seen in case.signals.values_mut() {
            // A parent of several threads can send its last signal before its end is reported.
            if seen.scene.sender_exiting && seen.sender_ended.is_none() {
                seen.sender_ended = self.lineage.end_of(seen.sender.key);
            }
        }
        self.lineage.ended(key, seq);
        let status = WaitStatus(exit.status);
        let stands_for = passing::stands_for(status);
        let count = |signal: i32| self.killed.get(&signal).copied().unwrap_or(0);
        let killed_before = (count(0), stands_for.map_or(0, count));
        if let Some(signal) = status.signal() {
            *self.killed.entry(0).or_default() += 1;
            *self.killed.entry(signal).or_default() += 1;
        }
        let passed = passing::passed(key, status, &case);
        let below = passing::below(&case);
        // Whom it passes up for is kept; nobody asks for the others any more.
        case.ends.clear();
        case.failed = None;
        let last = case.signals.values().filter(|seen| seen.is_news());
        let last = last.map(|seen| seen.seq).max();
        let by = status.signal();
        case.signals
            .retain(|&(signal, _), seen| Some(signal) == by || Some(seen.seq) == last);
        let dead = Arc::new(Dead {
            process: exit.process,
            starttime_ticks: ticks(key.start).0,
            comm: exit.comm,
            seq,
            t,
            status,
            cpu_us: exit
                .totals
                .cpu_user_us
                .saturating_add(exit.totals.cpu_system_us),
            case,
            passed,
            below,
            killed_before,
        });
        self.tell_the_parent(exit, &dead);
        dead
    }

    /// Whoever waits for a process may pass its ending up.
    fn tell_the_parent(&mut self, exit: &Exit, dead: &Arc<Dead>) {
        let mut parent = Some(exit.parent.key);
        if !self.cases.contains_key(&exit.parent.key) {
            parent = self.lineage.above(exit.process.key);
        }
        let Some(case) = parent.and_then(|parent| self.cases.get_mut(&parent)) else {
            return;
        };
        case.last_end = Some(dead.seq);
        case.failed = None;
        if dead.status.0 == 0 {
            return;
        }
        // A chain of these would be as long as the tree is deep: what ended like the one below it
        // leads there, and that one leads nowhere.
        let is_other = |below: &Arc<Dead>| below.status != dead.status;
        let end = if dead.below.as_ref().is_some_and(is_other) {
            Arc::new(Dead {
                below: None,
                ..Dead::clone(dead)
            })
        } else {
            Arc::clone(dead)
        };
        case.failed = Some(Arc::clone(&end));
        if passing::number(dead.status).is_some() {
            if case.ends.len() == ENDS_MAX {
                case.ends.remove(0);
            }
            case.ends.push(end);
        }
    }
}

/// The signal of this number that a process has handled and now sends to itself.
fn repeated(case: &Case, signal: i32) -> Option<Box<SignalSeen>> {
    let earlier = [false, true].map(|group| case.signals.get(&(signal, group)));
    let last = earlier.into_iter().flatten().max_by_key(|seen| seen.seq)?;
    if last.is_made_up() {
        return last.repeats.clone();
    }
    last.scene.handled.then(|| Box::new(last.clone()))
}

/// A process whose fork was not seen: who knows what it had got before.
fn unborn(t: BootNs) -> Case {
    Case {
        adopted: true,
        since: t,
        ..Case::default()
    }
}
