//! Which news there is of a condition: the first alert, the same again, its end, or none.
//!
//! Pure: what was seen and the time are arguments, the ledger of what has been told is the only memory.
//! A condition is of one kind and one process; a pid that is used again is another process. Who could not
//! be looked at is neither there nor gone: nothing is told of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::alert::{Decision, Kind};
use crate::units::{BootNs, Tgid, Ticks};

/// One process on this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Who {
    /// Its pid.
    pub pid: Tgid,
    /// Its start after boot.
    pub start: Ticks,
}

/// What is told once: a kind of condition of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// What is wrong.
    pub kind: Kind,
    /// Of whom.
    pub who: Who,
}

/// A candidate that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// What and who.
    pub key: Key,
    /// Its age in whole seconds; `None` when that cannot be known, and then it is never too old.
    pub age_s: Option<u64>,
}

/// What one look has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// The candidates, each key once.
    pub seen: Vec<Sighting>,
    /// Processes of which nothing could be read this time.
    pub unknown: BTreeSet<Who>,
    /// Nothing at all could be read.
    pub blind: bool,
}

/// When something is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// A candidate is told of when it is older than so many seconds.
    pub older_than_s: u64,
    /// From one news of a condition to the next, in seconds.
    pub cooldown_s: u64,
    /// The same for kinds that have one of their own.
    pub cooldown_of_s: BTreeMap<Kind, u64>,
}

impl Rules {
    fn cooldown_ns(&self, kind: Kind) -> u64 {
        let seconds = self.cooldown_of_s.get(&kind).unwrap_or(&self.cooldown_s);
        seconds.saturating_mul(1_000_000_000)
    }
}

/// A condition that was told and is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// When it was told first.
    pub first: BootNs,
    /// When it was told last.
    pub last: BootNs,
    /// How often.
    pub times: u64,
}

/// What has been told and is not over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    open: BTreeMap<Key, Open>,
}

impl Ledger {
    /// The ledger of an earlier watcher, on the same boot.
    #[must_use]
    pub fn of(open: impl IntoIterator<Item = (Key, Open)>) -> Self {
        Self {
            open: open.into_iter().collect(),
        }
    }

    /// What is open, in the order of the keys.
    pub fn open(&self) -> impl Iterator<Item = (&Key, &Open)> {
        self.open.iter()
    }

    /// Decides what to tell, in the order of the keys, and takes it as told. A key that is not in the
    /// answer gives no news.
    pub fn decide(&mut self, now: BootNs, look: &Look, rules: &Rules) -> Vec<(Key, Decision)> {
        if look.blind {
            return Vec::new();
        }
        let seen: BTreeMap<Key, Option<u64>> = look
            .seen
            .iter()
            .map(|sighting| (sighting.key, sighting.age_s))
            .collect();
        let mut news = self.recoveries(&seen, look, rules);
        for (&key, &age_s) in &seen {
            if age_s.is_some_and(|age_s| age_s > rules.older_than_s) {
                news.extend(self.raise(now, key, rules).map(|decision| (key, decision)));
            }
        }
        news.sort_unstable_by_key(|&(key, _)| key);
        news
    }

    /// Ends everything that is open: the boot it was on is over.
    pub fn end_all(&mut self) -> Vec<(Key, Decision)> {
        let open = std::mem::take(&mut self.open);
        open.into_keys()
            .map(|key| (key, Decision::Recovery))
            .collect()
    }

    fn raise(&mut self, now: BootNs, key: Key, rules: &Rules) -> Option<Decision> {
        let Some(open) = self.open.get_mut(&key) else {
            let open = Open {
                first: now,
                last: now,
                times: 1,
            };
            self.open.insert(key, open);
            return Some(Decision::Alert);
        };
        let over = now.since(open.last) >= rules.cooldown_ns(key.kind);
        over.then(|| {
            open.last = now;
            open.times = open.times.saturating_add(1);
            Decision::Realert
        })
    }

    fn recoveries(
        &mut self,
        seen: &BTreeMap<Key, Option<u64>>,
        look: &Look,
        rules: &Rules,
    ) -> Vec<(Key, Decision)> {
        let mut news = Vec::new();
        self.open.retain(|&key, _| {
            let still = match seen.get(&key) {
                // Its age cannot be known now; it was known once, and no process becomes younger.
                Some(None) => true,
                Some(&Some(age_s)) => age_s > rules.older_than_s,
                None => look.unknown.contains(&key.who),
            };
            if !still {
                news.push((key, Decision::Recovery));
            }
            still
        });
        news
    }
}

#[cfg(test)]
mod tests;
