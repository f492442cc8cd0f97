//! Puts the kinds together: rows, events and ends in, changes out.

use crate::collections::HashMap;

use super::{
    change::{Change, Ended, Span, Subject},
    episode::{Episode, Held, Open, Seen},
    identity::{Identity, Pinned},
    kind::Kind,
    ledger::Ledger,
    oom::Scale,
    retry::{self, Retries},
    state::is_zombie,
    thresholds::{Key, Thresholds},
    tree::{Forks, Group, Orphans, Relative},
    watch::{Watch, Who},
};
use crate::{
    event::EventKind,
    snapshot::SnapshotRow,
    tree::Tree,
    units::{BootNs, ProcKey, Process, Ticks},
};

/// Ticks without a row after which a process is gone whose end nobody told.
const ABSENT_MAX: u64 = 3;

/// What is known of the life of a process whose row it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Nobody tells of ends.
    Untold,
    /// It lives, as far as its end has not been told.
    Tracked,
    /// It ended then.
    Ended(BootNs),
}

/// An anomaly that is open, as another observer left it.
#[derive(Debug, Clone, PartialEq)]
pub struct Ongoing {
    /// Its number.
    pub no: u64,
    /// What is wrong.
    pub kind: Kind,
    /// Whom it is about.
    pub subject: Subject,
    /// How far it had come.
    pub span: Span,
    /// Of `rss_growth`: what it grew from, KiB.
    pub initial_rss_kb: Option<u64>,
    /// Of `retry_loop`: which command.
    pub command_id: Option<u64>,
}

/// Finds anomalies. State is that of the living, and of commands that failed lately.
#[derive(Debug, Clone)]
pub struct Detector {
    thresholds: Thresholds,
    scale: Scale,
    ledger: Ledger,
    root: Subject,
    watches: HashMap<Who, Watch>,
    /// Whose anomalies they are.
    identity: Option<Identity>,
    retries: Retries,
    forks: Forks,
    orphans: Orphans,
    zombies: Group,
    /// Open anomalies of the tree, and those of a process that another observer left.
    tree_open: Open,
    tick: u64,
}

impl Detector {
    /// A detector that has seen nothing yet.
    #[must_use]
    pub fn new(thresholds: Thresholds, scale: Scale) -> Self {
        Self {
            thresholds,
            scale,
            ledger: Ledger::default(),
            root: Subject::default(),
            watches: HashMap::default(),
            identity: None,
            retries: Retries::default(),
            forks: Forks::default(),
            orphans: Orphans::default(),
            zombies: Group::default(),
            tree_open: Open::default(),
            tick: 1,
        }
    }

    /// What there is to tell since the last time.
    pub fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.ledger.changes)
    }

    /// Anomalies that were not told because there were too many.
    #[must_use]
    pub fn untold(&self) -> u64 {
        self.ledger.untold
    }

    /// The process the user named: whom anomalies of the tree are about.
    pub fn root(&mut self, root: Subject) {
        self.root = root;
    }

    /// The workload is pinned.
    pub fn pin(&mut self, pinned: Pinned) {
        self.identity = Some(Identity::new(pinned));
    }

    /// Goes on with what another observer left open, and with its numbers: `last_no` is the last one.
    /// `tree` is what lives now, and `root` is nobody's orphan.
    pub fn restore(
        &mut self,
        t: BootNs,
        last_no: u64,
        ongoing: &[Ongoing],
        tree: &Tree,
        root: Option<ProcKey>,
    ) {
        self.ledger.last_no = self.ledger.last_no.max(last_no);
        let mut orphans_since = t;
        for ongoing in ongoing {
            let Ongoing { no, kind, span, .. } = *ongoing;
            let episode = Episode { no, kind, span };
            let subject = &ongoing.subject;
            match (subject.starttime_ticks, ongoing.command_id) {
                (_, Some(command)) => self.retries.restore(command, episode, subject.clone()),
                (Some(starttime_ticks), None) if !kind.is_of_tree() => {
                    let pid = subject.pid;
                    let who = Who {
                        pid,
                        starttime_ticks,
                    };
                    let fresh = || Watch::since(span.first);
                    let watch = self.watches.entry(who).or_insert_with(fresh);
                    watch.restore(episode, ongoing.initial_rss_kb);
                    watch.comm = subject.comm.as_deref().map(Box::from);
                    watch.seen = self.tick;
                }
                _ => {
                    if kind == Kind::OrphanLeft {
                        orphans_since = span.first;
                    }
                    self.tree_open.insert(episode);
                }
            }
        }
        self.orphans.restore(orphans_since, tree, root);
    }

    /// Takes an event before the tree does. `ticks` says the ticks of a start.
    pub fn event(
        &mut self,
        t: BootNs,
        event: &EventKind,
        tree: &Tree,
        ticks: impl Fn(BootNs) -> Ticks,
    ) {
        let who = |process: Process| Who {
            pid: process.tgid.0,
            starttime_ticks: ticks(process.key.start).0,
        };
        match event {
            // What was there when tracking began was not made just now.
            EventKind::Fork(fork) if !fork.adopted => {
                let seen = self.forks.fork(t, tree.len() + 1, &self.thresholds);
                self.of_tree(Kind::ForkStorm, t, seen);
            }
            EventKind::Exec(exec) => {
                self.retries.exec(exec);
                if let Some(watch) = self.watches.get_mut(&who(exec.process)) {
                    watch.exec(t);
                }
                if let Some(identity) = &mut self.identity {
                    identity.exec(exec.process.key, exec.comm);
                }
            }
            EventKind::Exit(exit) => {
                self.gone(t, who(exit.process));
                self.orphans.exit(t, exit.process.key, tree);
                let parent = || {
                    let comm = tree.get(exit.parent.key).map(|node| node.comm.to_text());
                    who(exit.parent).subject(comm.as_deref())
                };
                match self.retries.exit(t, exit, parent, &self.thresholds) {
                    Some(retry::Turn::Opens(hash, held, subject)) => {
                        self.retries(t, hash, held, subject);
                    }
                    Some(retry::Turn::Closes(episode, subject)) => {
                        self.ledger.close(episode, t, Ended::Condition, subject);
                    }
                    None => {}
                }
            }
            EventKind::Fork(_)
            | EventKind::Signal(_)
            | EventKind::Oom(_)
            | EventKind::Account(_) => {}
        }
    }

    fn retries(&mut self, t: BootNs, hash: u64, held: Held, subject: Subject) {
        let told = || subject.clone();
        if let Some(episode) = self.ledger.open(Kind::RetryLoop, t, held, told) {
            self.retries.opened(hash, episode, subject);
        }
    }

    fn of_tree(&mut self, kind: Kind, t: BootNs, seen: Seen) {
        let Self {
            ledger,
            tree_open,
            root,
            ..
        } = self;
        ledger.look(tree_open, kind, t, seen, || root.clone());
    }

    /// Takes one row of a tick.
    pub fn row(&mut self, t: BootNs, row: &SnapshotRow, life: Life) {
        let Self {
            thresholds,
            scale,
            ledger,
            watches,
            identity,
            zombies,
            tick,
            ..
        } = self;
        let who = Who::of_row(row);
        let watch = watches.entry(who).or_insert_with(|| {
            // In ticks of 10 ms, on any Linux but Alpha's: near enough for when memory settles.
            Watch::since(BootNs(row.starttime_ticks.saturating_mul(10_000_000)))
        });
        watch.seen = *tick;
        let of_identity = identity.as_mut().and_then(|identity| identity.look(t, row));
        let of_identity = of_identity.map(|seen| (Kind::IdentityDrift, seen));
        for (kind, seen) in watch
            .look(t, row, life, *scale, thresholds)
            .chain(of_identity)
        {
            ledger.look(&mut watch.open, kind, t, seen, || {
                who.subject(row.comm.as_deref())
            });
        }
        if watch.comm.is_none() && !watch.open.is_empty() {
            watch.comm = row.comm.as_deref().map(Box::from);
        }
        if is_zombie(row) == Some(true) && watch.is_zombie() {
            zombies.add(|| Relative {
                pid: row.pid,
                starttime_ticks: row.starttime_ticks,
                comm: row.comm.clone().unwrap_or_default(),
                holds: None,
            });
        }
    }

    /// The rows of one tick have all been taken.
    pub fn tick(&mut self, t: BootNs, tree: &Tree, ticks: impl Fn(BootNs) -> Ticks) {
        let zombies = std::mem::take(&mut self.zombies);
        let many = self.thresholds.whole(Key::ZombiePileupCount);
        self.of_tree(Kind::ZombiePileup, t, zombies.look(t, many));
        let orphans = self.orphans.look(t, tree, &self.thresholds, ticks);
        self.of_tree(Kind::OrphanLeft, t, orphans);
        let forks = self.forks.quiet(t, &self.thresholds);
        self.of_tree(Kind::ForkStorm, t, forks);
        for (episode, subject) in self.retries.quiet(t, &self.thresholds) {
            self.ledger.close(episode, t, Ended::Condition, subject);
        }
        let Self {
            ledger,
            watches,
            tick,
            ..
        } = self;
        let begun = ledger.changes.len();
        watches.retain(|who, watch| {
            // A zombie without a row has been reaped; of another, the end is on its way or was lost.
            let absent = *tick - watch.seen;
            let stays = absent == 0 || (absent < ABSENT_MAX && !watch.was_zombie());
            if !stays {
                let subject = watch.subject(*who);
                ledger.close_all(&mut watch.open, t, Ended::Process, &subject);
            }
            stays
        });
        ledger.changes[begun..].sort_by_key(|change| change.no);
        self.tick += 1;
    }

    /// Processes that live on although the command, or their parent, has ended.
    pub fn left(&mut self, t: BootNs, processes: impl IntoIterator<Item = Relative>) {
        self.group(Kind::OrphanLeft, t, processes, 1);
    }

    /// Processes that hold the terminal of the command, which has ended.
    pub fn held(&mut self, t: BootNs, processes: impl IntoIterator<Item = Relative>) {
        let threshold = self.thresholds.whole(Key::PtyHolderCount);
        self.group(Kind::PtyHolder, t, processes, threshold);
    }

    fn group(
        &mut self,
        kind: Kind,
        t: BootNs,
        processes: impl IntoIterator<Item = Relative>,
        threshold: u64,
    ) {
        let mut group = Group::default();
        for process in processes {
            group.add(|| process);
        }
        // None at the end does not end what was seen before.
        if let held @ Seen::Holds(_) = group.look(t, threshold) {
            self.of_tree(kind, t, held);
        }
    }

    /// The observation ends, and with it everything that is open.
    pub fn end(&mut self, t: BootNs) {
        let Self {
            ledger,
            watches,
            retries,
            tree_open,
            root,
            ..
        } = self;
        let begun = ledger.changes.len();
        for (who, mut watch) in watches.drain() {
            let subject = watch.subject(who);
            ledger.close_all(&mut watch.open, t, Ended::Session, &subject);
        }
        ledger.close_all(tree_open, t, Ended::Session, root);
        for (episode, subject) in retries.close_all() {
            ledger.close(episode, t, Ended::Session, subject);
        }
        ledger.changes[begun..].sort_by_key(|change| change.no);
    }

    /// A process has ended: nothing of it goes on but, maybe, that nobody reaps it.
    fn gone(&mut self, t: BootNs, who: Who) {
        if let Some(mut watch) = self.watches.remove(&who) {
            let subject = watch.subject(who);
            self.ledger
                .close_all(&mut watch.open, t, Ended::Process, &subject);
        }
    }

    /// Things remembered, each of bounded size.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.watches.len() + self.retries.len() + self.orphans.len() + self.tree_open.len()
    }
}
