//! What an Alertmanager is to be kept informed of: every alert that is open, and those that ended and
//! were not accepted yet. On disk like a queue, but the newest news of an alert replaces the older.
//!
//! An alert keeps the labels and the severity it had at first: Alertmanager knows an alert by its labels,
//! so others would make it another alert, and the first would never be resolved.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
};

use jiff::Timestamp;

use super::{count::Count, json, shared::Inbox, store::Store};
use crate::watch::alert::{Alert, Decision};

/// All of them.
pub(super) struct Board {
    store: Store,
    capacity: usize,
    next: u64,
    entries: BTreeMap<String, Entry>,
}

struct Entry {
    number: u64,
    /// Counts its news, so that news which come while older ones are sent are not taken for sent.
    news: u64,
    /// The newest have not been accepted yet.
    untold: bool,
    alert: Alert,
}

/// An alert to send, and which of its news.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) alert: Alert,
    news: u64,
}

impl Board {
    /// What an earlier run has left is sent again at once; files that cannot be read are given back.
    pub(super) fn open(dir: &Path, capacity: usize) -> io::Result<(Self, usize)> {
        let (store, numbers) = Store::open(dir)?;
        let next = numbers.last().map_or(0, |last| last.saturating_add(1));
        let mut entries = BTreeMap::new();
        let mut unreadable = 0;
        for number in numbers {
            let read = store.get(number).map_err(drop);
            let read = read.and_then(|bytes| serde_json::from_slice::<Alert>(&bytes).map_err(drop));
            if let Ok(alert) = read {
                let key = alert.key.clone();
                let entry = Entry {
                    number,
                    news: 0,
                    untold: true,
                    alert,
                };
                entries.insert(key, entry);
            } else {
                unreadable += 1;
                store.remove(number)?;
            }
        }
        let board = Self {
            store,
            capacity,
            next,
            entries,
        };
        Ok((board, unreadable))
    }

    /// Takes the newest news of an alert. Whether there was room, and whether the disk took it.
    fn put(&mut self, alert: &Alert) -> (bool, io::Result<()>) {
        if let Some(entry) = self.entries.get_mut(&alert.key) {
            let first = std::mem::replace(&mut entry.alert, alert.clone());
            entry.alert.labels = first.labels;
            entry.alert.severity = first.severity;
            entry.news += 1;
            entry.untold = true;
            return (true, save(&self.store, entry));
        }
        if self.entries.len() >= self.capacity {
            return (false, Ok(()));
        }
        let entry = Entry {
            number: self.next,
            news: 0,
            untold: true,
            alert: alert.clone(),
        };
        self.next = self.next.saturating_add(1);
        let saved = save(&self.store, &entry);
        self.entries.insert(alert.key.clone(), entry);
        (true, saved)
    }

    /// What has not been accepted yet.
    pub(super) fn untold(&self) -> Vec<Item> {
        self.items(|entry| entry.untold)
    }

    /// Everything.
    pub(super) fn all(&self) -> Vec<Item> {
        self.items(|_| true)
    }

    fn items(&self, which: impl Fn(&Entry) -> bool) -> Vec<Item> {
        let entries = self.entries.values().filter(|entry| which(entry));
        let item = |entry: &Entry| Item {
            alert: entry.alert.clone(),
            news: entry.news,
        };
        entries.map(item).collect()
    }

    /// These were accepted, or are given up. What has ended is forgotten; how many of them were news.
    pub(super) fn told(&mut self, items: &[Item], given_up: bool) -> (u64, io::Result<()>) {
        let (mut news, mut removed) = (0, Ok(()));
        for item in items {
            let Some(entry) = self.entries.get_mut(&item.alert.key) else {
                continue;
            };
            if entry.news != item.news {
                continue;
            }
            news += u64::from(std::mem::replace(&mut entry.untold, false));
            if given_up || entry.alert.decision == Decision::Recovery {
                removed = removed.and(self.store.remove(entry.number));
                self.entries.remove(&item.alert.key);
            }
        }
        (news, removed)
    }

    /// Ends what is open and not in `keys`.
    fn end_others(&mut self, keys: &BTreeSet<String>, now: Timestamp) {
        for (_, entry) in self
            .entries
            .iter_mut()
            .filter(|(key, _)| !keys.contains(*key))
        {
            if entry.alert.decision == Decision::Recovery {
                continue;
            }
            entry.alert.decision = Decision::Recovery;
            entry.alert.at = now;
            entry.news += 1;
            entry.untold = true;
            // Not saved, it would end the same way after the next start.
            let _saved = save(&self.store, entry);
        }
    }
}

fn save(store: &Store, entry: &Entry) -> io::Result<()> {
    store.put(entry.number, &json::encode(&entry.alert)?)
}

impl Inbox for Board {
    fn file(&mut self, alert: &Alert, count: &Count) -> Option<String> {
        match self.put(alert) {
            (true, Ok(())) => None,
            (true, Err(error)) => Some(format!(
                "its alerts cannot be written ({error}): a restart forgets them"
            )),
            (false, _) => {
                count.dropped(1);
                let capacity = self.capacity;
                Some(format!("{capacity} alerts are open: more are dropped"))
            }
        }
    }

    fn only(&mut self, keys: &BTreeSet<String>) {
        self.end_others(keys, Timestamp::now());
    }

    fn limit(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    fn waiting(&self) -> usize {
        self.entries.values().filter(|entry| entry.untold).count()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sample::orphan, *};
    use crate::watch::alert::Severity;

    fn recovery(pid: u32) -> Alert {
        let mut alert = orphan(pid);
        alert.decision = Decision::Recovery;
        alert.severity = Severity::Info;
        alert.labels.clear();
        alert
    }

    fn board(dir: &Path) -> Board {
        Board::open(dir, 3).expect("open").0
    }

    #[test]
    fn an_open_alert_stays_until_its_end_is_accepted() {
        let room = tempfile::tempdir().expect("a directory");
        let mut board = board(room.path());
        assert!(board.put(&orphan(1)).0);
        let sent = board.untold();
        assert_eq!(board.told(&sent, false).0, 1);
        assert_eq!((board.untold().len(), board.all().len()), (0, 1));
        assert!(board.put(&recovery(1)).0);
        let sent = board.untold();
        assert_eq!(
            sent[0].alert.labels,
            orphan(1).labels,
            "the same alert to the end"
        );
        assert_eq!(sent[0].alert.severity, Severity::Warning);
        assert_eq!(board.told(&sent, false).0, 1);
        assert_eq!(board.all().len(), 0);
        assert_eq!(self::board(room.path()).all().len(), 0);
    }

    #[test]
    fn news_that_come_while_older_ones_are_sent_are_sent_too() {
        let room = tempfile::tempdir().expect("a directory");
        let mut board = board(room.path());
        board.put(&orphan(1)).1.expect("saved");
        let sent = board.untold();
        board.put(&recovery(1)).1.expect("saved");
        assert_eq!(board.told(&sent, false).0, 0);
        assert_eq!(board.untold()[0].alert.decision, Decision::Recovery);
    }

    #[test]
    fn a_restart_forgets_nothing_and_ends_what_the_watcher_does_not_know() {
        let room = tempfile::tempdir().expect("a directory");
        let mut before = board(room.path());
        for pid in 1..=2 {
            before.put(&orphan(pid)).1.expect("saved");
        }
        let sent = before.untold();
        before.told(&sent, false).1.expect("told");
        drop(before);
        let mut board = board(room.path());
        assert_eq!(board.all().len(), 2);
        board.end_others(&BTreeSet::from([orphan(2).key]), orphan(1).at);
        let decisions: Vec<_> = board.all().iter().map(|item| item.alert.decision).collect();
        assert_eq!(decisions, [Decision::Recovery, Decision::Alert]);
    }

    #[test]
    fn no_more_are_open_than_there_is_room_for() {
        let room = tempfile::tempdir().expect("a directory");
        let mut board = board(room.path());
        let took: Vec<bool> = (1..=4).map(|pid| board.put(&orphan(pid)).0).collect();
        assert_eq!(took, [true, true, true, false]);
        assert!(
            board.put(&recovery(2)).0,
            "news of an open one need no room"
        );
    }
}
