//! What a session comes to: the fold of its records, which becomes `summary.json`.
//!
//! Pure. The recorder folds each record when it is on its way to disk, a rebuild folds the same
//! records read back: both give the same summary, to the byte.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::facts::{ObserverFacts, SessionFacts, TargetFacts};
use crate::{
    event::{Event, EventKind, Exit, ExitTotals, Signal},
    snapshot::{Role, SnapshotRow, TreeTotals},
    tree::{Effect, Tree, accounting::Accounting},
    units::{BootNs, Comm, ProcKey, Process},
    verdict::{Evidence, Relation, Verdict, WaitStatus, evidence::Case, judge, judge::End, relation},
};

/// Ended processes remembered for a target that is named only after its end.
const RECENT_MAX: usize = 64;

/// The fold.
#[derive(Debug)]
pub struct Summarizer {
    session: SessionFacts,
    tree: Tree,
    accounting: Accounting,
    evidence: Evidence,
    target: Option<TargetFacts>,
    unresolved: Option<String>,
    root: Option<Process>,
    recent: VecDeque<Ended>,
    ended_target: Option<Ended>,
    ended_root: Option<Ended>,
    comm_now: Option<Comm>,
    rows: Rows,
    lost: BTreeMap<String, u64>,
    reasons: BTreeMap<String, u64>,
    attach: Option<(u64, bool)>,
    last: BootNs,
    observer: Option<ObserverFacts>,
    anomalies: u64,
}

/// A process that has ended, with what explains it; judged only when somebody asks.
#[derive(Debug, Clone)]
struct Ended {
    process: Process,
    comm: Comm,
    seq: u64,
    t: BootNs,
    status: WaitStatus,
    totals: ExitTotals,
    case: Case,
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
    pub fn new(session: SessionFacts) -> Self {
        Self {
            session,
            tree: Tree::new(),
            accounting: Accounting::default(),
            evidence: Evidence::default(),
            target: None,
            unresolved: None,
            root: None,
            recent: VecDeque::new(),
            ended_target: None,
            ended_root: None,
            comm_now: None,
            rows: Rows::default(),
            lost: BTreeMap::new(),
            reasons: BTreeMap::new(),
            attach: None,
            last: BootNs(0),
            observer: None,
            anomalies: 0,
        }
    }

    /// Takes the time of any record.
    pub fn seen_at(&mut self, t: BootNs) {
        self.last = self.last.max(t);
    }

    /// Takes an event record.
    pub fn event(&mut self, seq: u64, event: &Event) {
        self.accounting.apply(event);
        match &event.kind {
            EventKind::Fork(fork) => {
                if self.root.is_none() {
                    self.root = Some(fork.child);
                }
            }
            EventKind::Exec(exec) => {
                if self.target_key() == Some(exec.process.key) {
                    self.comm_now = Some(exec.comm);
                }
            }
            EventKind::Exit(exit) => self.exit(seq, event.t, exit),
            EventKind::Signal(signal) => self.signal(seq, event.t, signal),
            EventKind::Oom(oom) => self.evidence.oom(seq, oom),
        }
        match self.tree.apply(event) {
            Effect::BirthLost => self.reason("events of processes whose fork was lost"),
            Effect::ExitLost(key) => {
                self.evidence.take(key);
                self.reason("processes whose exit was lost");
            }
            Effect::Applied | Effect::Duplicate | Effect::Untouched => {}
        }
    }

    /// Takes the pin.
    pub fn target(&mut self, target: TargetFacts) {
        let key = target.process.key;
        self.comm_now = Some(target.comm);
        self.ended_target = self.recent.iter().find(|ended| ended.process.key == key).cloned();
        self.unresolved = None;
        self.target = Some(target);
    }

    /// Takes the failure to resolve the workload, and why.
    pub fn unresolved(&mut self, why: String) {
        if self.target.is_none() {
            self.unresolved = Some(why);
        }
    }

    /// Takes one row.
    pub fn snapshot(&mut self, row: &SnapshotRow) {
        let rows = &mut self.rows;
        rows.count += 1;
        if row.role != Role::Workload {
            return;
        }
        let rss = row.vm_hwm_kb.max(row.vm_rss_kb).unwrap_or(0);
        rows.peak_rss_kb = rows.peak_rss_kb.max(rss);
        rows.peak_oom_score = rows.peak_oom_score.max(row.oom_score.unwrap_or(0));
        if let (Some(fds), Some(limit @ 1..)) = (row.fd_count, row.fd_soft_limit) {
            #[expect(clippy::cast_precision_loss, reason = "descriptor counts are below 2^52")]
            let ratio = fds as f64 / limit as f64;
            rows.peak_fd_ratio = rows.peak_fd_ratio.max(ratio);
        }
        if let (Some(comm), Some(expected)) = (&row.comm, self.comm_now) {
            rows.drift |= *comm != expected.to_text();
        }
    }

    /// Takes the sums of one tick.
    pub fn tick(&mut self, totals: &TreeTotals) {
        self.rows.peak_tree_rss_kb = self.rows.peak_tree_rss_kb.max(totals.rss_kb);
    }

    /// Takes an anomaly.
    pub fn anomaly(&mut self) {
        self.anomalies += 1;
    }

    /// Takes a counted loss.
    pub fn loss(&mut self, reason: &str, count: u64) {
        *self.lost.entry(reason.to_owned()).or_default() += count;
    }

    /// Takes what the attach to a living tree came to.
    pub fn attached(&mut self, passes: u64, converged: bool) {
        self.attach = Some((passes, converged));
        if !converged {
            self.reason("the attach did not converge");
        }
    }

    /// Takes how the observer itself ended and what it cost.
    pub fn observer(&mut self, observer: ObserverFacts) {
        // The first end decides.
        self.observer.get_or_insert(observer);
    }

    /// What it all comes to.
    #[must_use]
    pub fn summary(&self) -> Summary {
        output::build(self)
    }

    fn target_key(&self) -> Option<ProcKey> {
        self.target.as_ref().map(|target| target.process.key)
    }

    fn reason(&mut self, reason: &str) {
        *self.reasons.entry(reason.to_owned()).or_default() += 1;
    }

    fn exit(&mut self, seq: u64, t: BootNs, exit: &Exit) {
        let key = exit.process.key;
        let orphans: Vec<_> = self.tree.children(key).map(|child| child.process.key).collect();
        for orphan in orphans {
            self.evidence.parent_ended(orphan, seq, key);
        }
        let ended = Ended {
            process: exit.process,
            comm: exit.comm,
            seq,
            t,
            status: WaitStatus(exit.status),
            totals: exit.totals,
            case: self.evidence.take(key),
        };
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

    fn signal(&mut self, seq: u64, t: BootNs, signal: &Signal) {
        let place = match relation(&self.tree, self.target_key(), signal) {
            // A parent that died a moment ago is off the tree already.
            Relation::Outside if self.evidence.parent_of(signal.target.key, signal.sender.key) => {
                Relation::Ancestor
            }
            place => place,
        };
        self.evidence.signal(seq, t, signal, place, self.session.clk_tck);
    }
}
