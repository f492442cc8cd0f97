//! What follows the target: each event goes to the journal, the tree and the resolver; each tick reads
//! `/proc` for those who live.
//!
//! One thread does all of it, in the order of the events, so that what a record says and what the tree
//! says never disagree. Nothing here waits.

mod anomalies;
mod resumed;
mod sampling;
mod scenes;
mod search;

use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};

pub(super) use self::anomalies::PastAnomalies;
use self::{anomalies::Anomalies, scenes::Scenes};
use crate::{
    config::ObserveConfig,
    event::{Event, EventKind},
    observe::{
        Audience, ObserveError, attached::doubts, begin::Session, kernel::Kernel,
        own::expense::Expense,
    },
    probe::attached::Attached,
    procfs::{
        ProcRoot,
        host::{read_boot, read_mono_ns},
    },
    sampler::{Sampler, SystemClock, schedule::Schedule},
    session::journal::record::{Body, Note, Record},
    target::{Resolver, Spec},
    tree::Tree,
    units::{BootNs, ProcKey, Process, Tgid},
};

/// Records taken from the ring in one go, so that a storm cannot keep the loop from its other work.
const DRAIN_MAX: usize = 4096;
/// Signals remembered to tell whether the command got one already.
const SIGNALS_MAX: usize = 64;

/// Follows one target tree.
pub(super) struct Follower<'a> {
    pub(super) session: Session,
    pub(super) kernel: Option<Kernel>,
    audience: &'a mut dyn Audience,
    tree: Tree,
    resolver: Option<Resolver>,
    expect: Option<Vec<u8>>,
    sampler: Sampler,
    clock: SystemClock,
    root: Option<Process>,
    root_ended: bool,
    target: Option<Process>,
    target_ended: bool,
    wrappers: HashSet<ProcKey>,
    /// Ended, and perhaps not waited for yet.
    unresolved: bool,
    events: Vec<Event>,
    /// Taken from the ring during a tick, and not yet looked at.
    backlog: Vec<Event>,
    records: Vec<Record>,
    root_signals: Vec<(i32, Tgid, BootNs)>,
    /// The last sender of a signal in this round, with its command line: a storm of signals reads it
    /// once.
    sender: Option<(ProcKey, Vec<u8>)>,
    scenes: Scenes,
    /// Forks, execs and exits so far.
    happened: u64,
    anomalies: Anomalies,
    pub(super) expense: Expense,
}

impl<'a> Follower<'a> {
    pub(super) fn new(
        session: Session,
        proc: ProcRoot,
        config: &ObserveConfig,
        audience: &'a mut dyn Audience,
    ) -> Self {
        let anomalies = Anomalies::new(&proc, &config.thresholds);
        let mut follower = Self::expecting(session, proc, config.expect.clone(), audience);
        follower.anomalies = anomalies;
        follower.sampler.slow_every(config.slow_every);
        follower
    }

    fn expecting(
        session: Session,
        proc: ProcRoot,
        expect: Option<Vec<u8>>,
        audience: &'a mut dyn Audience,
    ) -> Self {
        let clock = SystemClock::new(proc.host());
        Self {
            session,
            kernel: None,
            audience,
            tree: Tree::new(),
            resolver: None,
            expect,
            anomalies: Anomalies::new(&proc, &BTreeMap::new()),
            sampler: Sampler::new(proc),
            clock,
            root: None,
            root_ended: false,
            target: None,
            target_ended: false,
            wrappers: HashSet::new(),
            unresolved: false,
            events: Vec::new(),
            backlog: Vec::new(),
            records: Vec::new(),
            root_signals: Vec::new(),
            sender: None,
            scenes: Scenes::default(),
            happened: 0,
            expense: Expense::new(),
        }
    }

    /// Starts tracking the root and all that lives below it; without a probe, only `/proc` is read.
    pub(super) fn track(&mut self, probe: Option<Attached>) -> Result<(), ObserveError> {
        self.audience.began(self.session.recorder.path());
        self.note_thresholds();
        let Some(probe) = probe else { return Ok(()) };
        let page_kb = self.sampler.root().host().page_size / 1024;
        let mut kernel = Kernel::new(probe, page_kb)?;
        let adoption = kernel.adopt(self.session.root_tgid, self.session.started_root)?;
        self.kernel = Some(kernel);
        self.take_all_events();
        if adoption.adopted == 0 {
            self.kernel = None;
            return Err(ObserveError::NotTracked {
                pid: self.session.root_tgid.0,
            });
        }
        if !self.session.started_root {
            let (passes, adopted) = (adoption.passes.into(), adoption.adopted.into());
            self.note(Note::attached(passes, adopted, doubts(adoption.doubts)));
        }
        self.note(Note::armed());
        Ok(())
    }

    /// Whether the kernel side tells of the tree.
    pub(super) fn is_traced(&self) -> bool {
        self.kernel.is_some()
    }

    /// Forks, execs and exits so far.
    pub(super) fn happened(&self) -> u64 {
        self.happened
    }

    /// `/proc`.
    pub(super) fn proc(&self) -> &ProcRoot {
        self.sampler.root()
    }

    /// Tells people something.
    pub(super) fn say(&mut self, text: &str) {
        self.audience.notice(text);
    }

    /// When to read `/proc`: the first rows are taken at the pin, the others from now on at each
    /// interval.
    pub(super) fn schedule(&self) -> Schedule {
        let mut schedule = Schedule::new(self.session.interval());
        schedule.begin(read_mono_ns());
        schedule
    }

    /// Whether a panic somewhere has ended the record: what comes now would not be in it.
    pub(super) fn has_crashed(&self) -> bool {
        self.session.recorder.has_crashed()
    }

    /// How long this session has been going on.
    pub(super) fn session_age(&self) -> Duration {
        Duration::from_nanos(self.clock_now().since(self.session.began()))
    }

    /// Whether the root's end was seen.
    pub(super) fn root_ended(&self) -> bool {
        self.root_ended
    }

    /// Whether the workload is known.
    pub(super) fn has_target(&self) -> bool {
        self.target.is_some()
    }

    /// Whether the workload's end was seen.
    pub(super) fn target_ended(&self) -> bool {
        self.target_ended
    }

    pub(super) fn audience(&mut self) -> &mut dyn Audience {
        self.audience
    }

    /// Completes when there may be events to take.
    pub(super) async fn readable(&mut self) {
        let Some(kernel) = &mut self.kernel else {
            return std::future::pending().await;
        };
        if !self.backlog.is_empty() && self.session.recorder.has_room() {
            return;
        }
        if self.session.recorder.has_room() {
            kernel.wait().await;
        } else {
            // The ring buffer holds what comes meanwhile, and the kernel side counts what it cannot.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Takes what the kernel side has sent, a bounded number at a time. True while there is more.
    pub(super) fn take_events(&mut self) -> bool {
        if let Some(kernel) = self.kernel.as_mut().filter(|kernel| kernel.is_pinned()) {
            kernel.written(self.session.recorder.progress().written);
        }
        if !self.session.recorder.has_room() {
            return true;
        }
        let Some(kernel) = &mut self.kernel else {
            return false;
        };
        self.expense.measure(Instant::now(), kernel);
        let mut events = std::mem::take(&mut self.events);
        // What a tick took from the ring is older than what is in it now.
        events.append(&mut self.backlog);
        self.session.recorder.reuse(&mut kernel.spare);
        let more = kernel.drain(DRAIN_MAX, &mut events);
        for event in events.drain(..) {
            self.take(event);
        }
        // A burst must not leave its room behind.
        events.shrink_to(DRAIN_MAX);
        self.events = events;
        self.sender = None;
        self.hand_over();
        if let Some(kernel) = self.kernel.as_mut().filter(|kernel| kernel.is_pinned())
            && self.backlog.is_empty()
        {
            kernel.handed_over(self.session.recorder.progress().accepted);
        }
        more || !self.backlog.is_empty()
    }

    /// Takes all that the kernel side has sent until now, as far as the journal has room.
    pub(super) fn take_all_events(&mut self) {
        while self.session.recorder.has_room() && self.take_events() {}
    }

    fn take(&mut self, mut event: Event) {
        if let EventKind::Account(account) = &event.kind {
            // Of one that nobody of ours has to do with any more.
            self.released(account);
            self.audience.event(&event);
            self.records.push(Record::from(event));
            return;
        }
        match &mut event.kind {
            EventKind::Fork(fork) => {
                if self.root.is_none() && self.session.is_root(fork.child) {
                    // The command was held before its first instruction: nothing of it was missed.
                    fork.adopted &= !self.session.started_root;
                    self.root_found(fork.child);
                }
            }
            EventKind::Signal(signal) => self.complete(event.t, signal),
            EventKind::Exec(_) | EventKind::Exit(_) | EventKind::Oom(_) | EventKind::Account(_) => {
            }
        }
        let changes = matches!(
            event.kind,
            EventKind::Fork(_) | EventKind::Exec(_) | EventKind::Exit(_)
        );
        self.happened += u64::from(changes);
        // The search for the workload needs the true arguments; nothing behind it does.
        let pinned = self
            .resolver
            .as_mut()
            .and_then(|resolver| resolver.observe(&event))
            .cloned();
        self.session.redactor().event(&mut event.kind);
        self.audience.event(&event);
        self.watch_event(event.t, &event.kind);
        self.tree.apply(event.t, &event.kind);
        let ended = match &event.kind {
            EventKind::Exit(exit) => Some(exit.process),
            _ => None,
        };
        let note = match &event.kind {
            EventKind::Exit(exit) => self.core_note(exit),
            EventKind::Oom(oom) => Some(self.oom_note(oom)),
            _ => None,
        };
        let t = event.t;
        self.records.push(Record::from(event));
        self.tell_anomalies(None);
        if let Some(note) = note {
            let body = Body::Note(Box::new(note));
            self.records.push(Record { t, body });
        }
        if let Some(pinned) = pinned {
            self.pin(&pinned);
        }
        if let Some(ended) = ended {
            self.ended(ended);
        }
    }

    fn root_found(&mut self, root: Process) {
        self.root = Some(root);
        self.look_at(root);
        self.watch_root(root);
        self.wrappers.insert(root.key);
        self.resolver = Some(Resolver::new(Spec {
            expect: self.expect.clone(),
            root,
        }));
        if let Some(kernel) = &self.kernel {
            kernel.watch([root.key.init, 0]);
        }
    }

    /// The command line of a process, if it is still the one that is meant.
    fn cmdline(&self, process: Process) -> Vec<u8> {
        let read = || {
            let dir = self.sampler.root().process(process.tgid).ok()?;
            let words = dir.cmdline().ok()?;
            let start = dir.stat().ok()?.start_time;
            (start == self.session.ticks(process.key.start)).then_some(words)
        };
        let mut line = Vec::new();
        for word in read().unwrap_or_default() {
            line.extend_from_slice(&word);
            line.push(0);
        }
        line
    }

    /// Whether the root got this signal from that sender since `t`. Asked again, it is about another.
    pub(super) fn root_got(&mut self, signal: i32, sender: Tgid, t: BootNs) -> bool {
        let found = self
            .root_signals
            .iter()
            .position(|&(number, from, at)| number == signal && from == sender && at >= t);
        found.map(|at| self.root_signals.remove(at)).is_some()
    }

    /// Adds a note.
    pub(super) fn note(&mut self, note: Note) {
        let t = self.clock_now();
        self.records.push(Record {
            t,
            body: Body::Note(Box::new(note)),
        });
        self.hand_over();
    }

    /// The boot clock now.
    pub(super) fn clock_now(&self) -> BootNs {
        read_boot(self.sampler.root().host().boot_offset)
    }

    fn hand_over(&mut self) {
        // What cannot be kept is counted there, and comes back as a gap.
        self.session.recorder.accept_all(&mut self.records);
    }
}
