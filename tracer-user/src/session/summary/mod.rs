//! What a session comes to: the fold of its records, which becomes `summary.json`.
//!
//! Pure. The recorder folds each record when it is on its way to disk, a rebuild folds the same
//! records read back: both give the same summary, to the byte.

mod costs;
mod ending;
pub(in crate::session) mod evidence;
mod output;
mod reasons;
mod row;
mod text;
mod totals;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use serde::Deserialize;
use serde_json::{Map, Value};

pub(crate) use self::text::quote;
pub use self::{
    costs::{CommandCost, Critical, Validity},
    output::Summary,
    totals::ACCOUNTS_LOST,
};
use super::{
    anomalies,
    derive::Fold,
    journal::{
        info::{Mode, SessionInfo},
        notes::{
            AttachDoubts, Leftover, ObserverCost, Reaped, Recovered, UNSAMPLED, UNWATCHED, topic,
        },
        record::{Body, Note, Pinned, TargetBody},
    },
};
use crate::{
    event::{EventKind, ExitTotals},
    snapshot::{Role, SnapshotRow, TreeTotals},
    tree::{
        Effect, Tree,
        accounting::{Accounting, cost::Seen, ledger::Ledger},
    },
    units::{BootNs, Comm, ProcKey, Process},
    verdict::{Casebook, WaitStatus, evidence::Dead},
};

/// States of a process that has ended.
const DEAD: [&str; 2] = ["zombie", "dead"];
/// Ended processes remembered for a target that is named only after its end.
const RECENT_MAX: usize = 64;
/// Leftovers that the summary names; `completeness.alive` counts all.
const LEFTOVERS_MAX: usize = 16;

/// The fold.
#[derive(Debug)]
pub struct Summarizer {
    session: SessionInfo,
    tree: Tree,
    accounting: Accounting,
    ledger: Ledger,
    casebook: Casebook,
    target: Option<Pinned>,
    unresolved: Option<String>,
    root: Option<Process>,
    recent: VecDeque<Ended>,
    ended_target: Option<Ended>,
    ended_root: Option<Ended>,
    comm_now: Option<Comm>,
    /// When the workload was last seen to live.
    target_lived: BootNs,
    rows: Rows,
    lost: BTreeMap<String, u64>,
    degraded: Vec<String>,
    reasons: BTreeMap<String, u64>,
    /// Processes with events whose fork has not come.
    births_lost: u64,
    attach: Option<(u64, Option<AttachDoubts>)>,
    last: BootNs,
    ending: Option<ending::Observation>,
    /// What the last recovery found; none while no recovery was needed.
    recovered: Option<Recovered>,
    /// Stretches between two observers.
    unwatched: u64,
    /// The rows are another recorder's.
    imported: bool,
    /// Wait status of the root as its parent saw it, where that was us.
    waited: Option<(u64, WaitStatus)>,
    cost: ObserverCost,
    /// What the root and all that was waited for below it came to, where the root's parent was us.
    reaped: Option<Reaped>,
    /// Ended processes whose parent was then neither in the tree nor us.
    strays: u64,
    /// When tracking was on; a command that was started is released then.
    armed: Option<BootNs>,
    leftovers: Vec<Leftover>,
    anomalies: anomalies::Following,
}

impl Fold for Summarizer {
    type Output = Summary;

    fn apply(&mut self, seq: u64, t: BootNs, body: &Body) {
        // The first end decides; what follows is counted by the reader, never obeyed.
        if self.ending.is_none() {
            self.take(seq, t, body);
        }
    }

    fn finish(mut self) -> Summary {
        let ours = self
            .reaped
            .map(|reaped| (reaped.cpu_user_us, reaped.cpu_system_us));
        let report = std::mem::take(&mut self.ledger).report(ours);
        output::build(&self, &report)
    }

    fn index_row(summary: &Summary) -> Value {
        row::index_row(summary)
    }

    fn has_anomalies(summary: &Summary) -> bool {
        summary.anomaly_count > 0
    }
}

/// A process that has ended, with what explains it; judged only when somebody asks.
#[derive(Debug, Clone)]
struct Ended {
    dead: Arc<Dead>,
    totals: ExitTotals,
}

#[derive(Debug, Default)]
struct Rows {
    count: u64,
    peak_rss_kb: u64,
    peak_tree_rss_kb: u64,
    peak_oom_score: i64,
    peak_fd_ratio: f64,
    drift: bool,
}

impl Summarizer {
    /// Starts with what the `session` record says.
    #[must_use]
    pub fn new(session: SessionInfo) -> Self {
        let mut casebook = Casebook::default();
        casebook.observer(session.observer.pid);
        Self {
            tree: Tree::new(),
            accounting: Accounting::default(),
            ledger: Ledger::default(),
            casebook,
            target: None,
            unresolved: None,
            root: None,
            recent: VecDeque::new(),
            ended_target: None,
            ended_root: None,
            comm_now: None,
            target_lived: BootNs(0),
            rows: Rows::default(),
            lost: BTreeMap::new(),
            degraded: session.degraded.clone(),
            reasons: BTreeMap::new(),
            births_lost: 0,
            attach: None,
            last: BootNs(0),
            ending: None,
            recovered: None,
            unwatched: 0,
            imported: false,
            waited: None,
            cost: ObserverCost::default(),
            reaped: None,
            strays: 0,
            armed: None,
            leftovers: Vec::new(),
            anomalies: anomalies::Following::default(),
            session,
        }
    }

    fn take(&mut self, seq: u64, t: BootNs, body: &Body) {
        if !ending::is_afterthought(body) {
            self.last = self.last.max(t);
        }
        evidence::outside(&mut self.casebook, seq, t, body);
        match body {
            Body::Event(event) => self.event(seq, t, event),
            Body::Target(target) => self.target(target),
            Body::Snapshot { row, .. } => self.snapshot(t, row),
            Body::Tick(totals) => self.tick(totals),
            Body::Anomaly(anomaly) => self.anomalies.apply(anomaly),
            Body::Loss { reason, count } => {
                let lost = self.lost.entry(reason.clone()).or_default();
                *lost = lost.saturating_add(*count);
            }
            Body::Gap(gap) if gap.reason == UNWATCHED => self.unwatched += 1,
            // Rows only; how many there are is no matter of completeness.
            Body::Gap(gap) if gap.reason == UNSAMPLED => {}
            Body::Gap(gap) => {
                let lost = self
                    .lost
                    .entry(format!("records: {}", gap.reason))
                    .or_default();
                *lost = lost.saturating_add(gap.dropped);
                self.reason("gap in the journal");
            }
            Body::Note(note) => self.note(seq, t, note),
            Body::End(end) => self.ending = Some((&**end).into()),
            Body::Crash(crash) => self.ending = Some((&**crash).into()),
            Body::Unknown { kind, value } if kind == "snapshot" => self.foreign_row(value),
            Body::Session(_) | Body::Unknown { .. } => {}
        }
    }

    fn event(&mut self, seq: u64, t: BootNs, event: &EventKind) {
        match event {
            // At an attach, others of the tree may be reported before the root.
            EventKind::Fork(fork) if fork.child.tgid.0 == self.session.root.pid => {
                let root = *self.root.get_or_insert(fork.child);
                self.ledger.root(root.key);
            }
            EventKind::Exec(exec) if self.target_key() == Some(exec.process.key) => {
                self.comm_now = Some(exec.comm);
            }
            _ => {}
        }
        let rule = self.session.tick_rule;
        let dead = self.casebook.take(seq, t, event, |start| rule.ticks(start));
        if let (Some(dead), EventKind::Exit(exit)) = (dead, event) {
            let totals = exit.totals;
            self.ended(Ended { dead, totals });
        }
        let effect = self.tree.apply(t, event);
        if let Effect::ExitLost(old) = effect {
            self.ledger.end_lost(t, old);
        }
        // A process that is reported twice is one process.
        if effect != Effect::Duplicate {
            self.accounting.apply(event);
            self.account(t, event);
        }
        match effect {
            Effect::BirthLost => self.births_lost += 1,
            Effect::BirthLate => self.births_lost = self.births_lost.saturating_sub(1),
            Effect::ExitLost(_) => self.reason("process whose exit was lost"),
            Effect::Applied | Effect::Duplicate | Effect::Untouched => {}
        }
    }

    /// Enters it into the accounts; what the tree knows of it is up to date.
    fn account(&mut self, t: BootNs, event: &EventKind) {
        match event {
            // Its exit may have come first.
            EventKind::Fork(fork) if self.tree.get(fork.child.key).is_some() => {
                self.ledger.born(fork);
            }
            EventKind::Exec(exec) => self.ledger.executed(t, exec),
            EventKind::Exit(exit) => {
                let parent = exit.parent;
                let is_ours = parent.tgid.0 == self.session.observer.pid;
                let is_kept = is_ours || self.tree.get(parent.key).is_some();
                self.strays += u64::from(!is_kept);
                self.ledger.ended(t, exit, is_ours);
            }
            EventKind::Account(account) => self.ledger.closed(account),
            EventKind::Fork(_) | EventKind::Signal(_) | EventKind::Oom(_) => {}
        }
    }

    fn target(&mut self, target: &TargetBody) {
        match target {
            TargetBody::Pinned(pinned) => {
                let key = pinned.process.key;
                self.comm_now = Some(pinned.comm);
                self.ended_target = self
                    .recent
                    .iter()
                    .chain(&self.ended_root)
                    .find(|ended| ended.dead.process.key == key)
                    .cloned();
                self.unresolved = None;
                self.target = Some(pinned.clone());
            }
            TargetBody::Unresolved { reason } => {
                if self.target.is_none() {
                    self.unresolved = Some(reason.clone());
                }
            }
        }
    }

    /// A row of another recorder. Read back from the journal it is an ordinary one, if it has all that
    /// such a one has; otherwise it counts as a row all the same.
    fn foreign_row(&mut self, value: &Map<String, Value>) {
        let event = value.get("event").and_then(Value::as_str);
        let row = SnapshotRow::deserialize(value);
        match (event, row) {
            (Some("snapshot" | "exit_snapshot"), Ok(row)) => self.snapshot(BootNs(0), &row),
            _ => self.rows.count += 1,
        }
    }

    fn snapshot(&mut self, t: BootNs, row: &SnapshotRow) {
        let rows = &mut self.rows;
        rows.count += 1;
        let rule = self.session.tick_rule;
        let is_it = |start| rule.ticks(start).0 == row.starttime_ticks;
        self.ledger.row(row.pid, is_it, &Seen::from(row));
        if row.role != Role::Workload {
            return;
        }
        if row
            .state
            .as_deref()
            .is_some_and(|state| !DEAD.contains(&state))
        {
            self.target_lived = self.target_lived.max(t);
        }
        let rss = row.vm_hwm_kb.max(row.vm_rss_kb).unwrap_or(0);
        rows.peak_rss_kb = rows.peak_rss_kb.max(rss);
        rows.peak_oom_score = rows.peak_oom_score.max(row.oom_score.unwrap_or(0));
        if let (Some(fds), Some(limit @ 1..)) = (row.fd_count, row.fd_soft_limit) {
            #[expect(
                clippy::cast_precision_loss,
                reason = "descriptor counts are below 2^52"
            )]
            let ratio = fds as f64 / limit as f64;
            rows.peak_fd_ratio = rows.peak_fd_ratio.max(ratio);
        }
        if let (Some(comm), Some(target)) = (&row.comm, &self.target) {
            rows.drift |= *comm != target.comm.to_text();
        }
    }

    fn tick(&mut self, totals: &TreeTotals) {
        self.rows.peak_tree_rss_kb = self.rows.peak_tree_rss_kb.max(totals.rss_kb);
    }

    fn note(&mut self, seq: u64, t: BootNs, note: &Note) {
        match note.topic.as_str() {
            topic::ATTACHED => {
                let doubts = (!note.flag("converged")).then(|| note.as_attach_doubts());
                self.attach = Some((note.number("passes").unwrap_or(0), doubts));
            }
            topic::WAITED => {
                let status = note
                    .number("status")
                    .and_then(|status| u32::try_from(status).ok());
                self.waited = status.map(|status| (seq, WaitStatus(status)));
            }
            topic::ARMED => {
                if self.armed.is_none() && self.session.mode == Mode::Run {
                    self.ledger.released(t);
                }
                self.armed.get_or_insert(t);
            }
            topic::LEFTOVER => {
                let room = self.leftovers.len() < LEFTOVERS_MAX;
                self.leftovers.extend(note.as_leftover().filter(|_| room));
            }
            topic::DEGRADED if self.degraded.contains(&note.text) => {}
            topic::DEGRADED => self.degraded.push(note.text.clone()),
            topic::RECOVERED => self.recovered = Some(note.as_recovered()),
            topic::UNATTENDED_LOST => self.reason("unwatched stretch that could not be read"),
            topic::IMPORTED => self.imported = true,
            topic::OBSERVER_COST => self.cost = note.as_observer_cost(),
            topic::REAPED => self.reaped = note.as_reaped(),
            _ => {}
        }
    }

    fn target_key(&self) -> Option<ProcKey> {
        self.target.as_ref().map(|target| target.process.key)
    }

    fn reason(&mut self, reason: &str) {
        *self.reasons.entry(reason.to_owned()).or_default() += 1;
    }

    fn ended(&mut self, ended: Ended) {
        let key = ended.dead.process.key;
        if self.target_key() == Some(key) {
            self.ended_target = Some(ended.clone());
        }
        if self.root.is_some_and(|root| root.key == key) {
            self.ended_root = Some(ended.clone());
        }
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(ended);
    }
}
