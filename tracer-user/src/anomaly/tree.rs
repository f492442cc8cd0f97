//! What is wrong with the tree as a whole: `fork_storm`, `zombie_pileup`, `orphan_left`, `pty_holder`.

use crate::collections::HashMap;
use std::collections::VecDeque;

use serde::Serialize;

use super::{
    change::Detail,
    episode::{Held, Seen},
    memory::{count, once, round},
    thresholds::{Key, Thresholds},
};
use crate::{
    tree::{Node, Tree},
    units::{BootNs, ProcKey, Ticks},
};

/// Processes that one anomaly names; it counts them all.
const NAMED_MAX: usize = 8;

/// A process that has to do with an anomaly of the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Relative {
    /// Its pid.
    pub pid: u32,
    /// Its start.
    pub starttime_ticks: u64,
    /// Its name.
    pub comm: String,
    /// What it holds, where that is the matter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holds: Option<String>,
}

impl Relative {
    /// From the tree.
    #[must_use]
    pub fn of(node: &Node, ticks: impl Fn(BootNs) -> Ticks) -> Self {
        Self {
            pid: node.process.tgid.0,
            starttime_ticks: ticks(node.process.key.start).0,
            comm: node.comm.to_text(),
            holds: None,
        }
    }
}

/// Several processes that are the matter together, of which a few are kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    count: u64,
    named: Vec<Relative>,
}

impl Group {
    pub(super) fn add(&mut self, relative: impl FnOnce() -> Relative) {
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(relative());
        }
    }

    /// Whether they are many.
    pub(super) fn look(self, t: BootNs, threshold: u64) -> Seen {
        let Self {
            count: found,
            named,
        } = self;
        if found < threshold.max(1) {
            return Seen::Clear;
        }
        let detail = Detail::Processes {
            count: found,
            processes: named,
        };
        once(t, count(found), detail)
    }
}

/// The times of the last forks, as many as make a storm.
#[derive(Debug, Clone, Default)]
pub(super) struct Forks {
    times: VecDeque<BootNs>,
    last_storm: Option<BootNs>,
}

impl Forks {
    /// A process was made.
    pub(super) fn fork(&mut self, t: BootNs, alive: usize, thresholds: &Thresholds) -> Seen {
        let forks = thresholds.whole(Key::ForkStormForks);
        self.times.push_back(t);
        while self.times.len() as u64 > forks {
            self.times.pop_front();
        }
        let since = *self.times.front().unwrap_or(&t);
        let window = thresholds.ns(Key::ForkStormWindowMs);
        if (self.times.len() as u64) < forks || t.since(since) > window {
            return self.quiet(t, thresholds);
        }
        self.last_storm = Some(t);
        #[expect(clippy::cast_precision_loss, reason = "ns within the window")]
        let seconds = t.since(since).max(1) as f64 / 1e9;
        let per_second = round(count(forks) / seconds, 1);
        Seen::Holds(Held {
            since,
            count: forks,
            value: per_second,
            detail: Detail::ForkStorm {
                forks,
                window_ms: thresholds.whole(Key::ForkStormWindowMs),
                per_second,
                alive: alive as u64,
            },
        })
    }

    /// Whether it is over: a whole window has passed without as many forks.
    pub(super) fn quiet(&mut self, t: BootNs, thresholds: &Thresholds) -> Seen {
        let window = thresholds.ns(Key::ForkStormWindowMs);
        match self.last_storm {
            Some(last) if t.since(last) <= window => Seen::Unknown,
            _ => {
                self.last_storm = None;
                Seen::Clear
            }
        }
    }
}

/// Living processes whose parents have ended, and when.
#[derive(Debug, Clone, Default)]
pub(super) struct Orphans {
    since: HashMap<ProcKey, BootNs>,
}

impl Orphans {
    /// Those of a tree that was watched before, of which it is not known since when: since then.
    pub(super) fn restore(&mut self, since: BootNs, tree: &Tree, root: Option<ProcKey>) {
        let orphans = tree
            .iter()
            .filter(|node| node.parent.is_none() && !node.birth_lost)
            .filter(|node| Some(node.process.key) != root);
        self.since
            .extend(orphans.map(|node| (node.process.key, since)));
    }

    /// A process ends; the tree still has it.
    pub(super) fn exit(&mut self, t: BootNs, key: ProcKey, tree: &Tree) {
        self.since.remove(&key);
        for child in tree.children(key) {
            self.since.insert(child.process.key, t);
        }
    }

    pub(super) fn look(
        &mut self,
        t: BootNs,
        tree: &Tree,
        thresholds: &Thresholds,
        ticks: impl Fn(BootNs) -> Ticks,
    ) -> Seen {
        let age = thresholds.ns(Key::OrphanLeftS);
        let mut ripe: Vec<_> = self
            .since
            .iter()
            .filter(|&(_, &since)| t.since(since) >= age)
            .filter_map(|(&key, &since)| Some((since, key.start, tree.get(key)?)))
            .collect();
        ripe.sort_unstable_by_key(|&(since, start, _)| (since, start));
        let first = ripe.first().map(|&(since, ..)| since);
        let mut group = Group::default();
        for (_, _, node) in ripe {
            group.add(|| Relative::of(node, &ticks));
        }
        match group.look(t, 1) {
            Seen::Holds(mut held) => {
                held.since = first.unwrap_or(t);
                Seen::Holds(held)
            }
            other => other,
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.since.len()
    }
}
