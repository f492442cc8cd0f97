//! What waits for one notifier, oldest first, on disk.
//!
//! Bounded: what comes when it is full is refused, and the caller counts it. When the disk does not take
//! an alert it waits in memory instead: better told once than kept for a restart that may not come.

use std::{collections::VecDeque, io, path::Path};

use super::{json, store::Store};
use crate::watch::alert::Alert;

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    store: Store,
    capacity: usize,
    next: u64,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    /// Where the disk did not take it.
    memory: Option<Alert>,
}

/// What became of an alert that was put in.
#[derive(Debug)]
pub(super) enum Put {
    /// On disk.
    Kept,
    /// In memory, because of this.
    InMemory(io::Error),
    /// There was no room.
    Full,
}

/// The oldest that waits.
#[derive(Debug)]
pub(super) enum Front {
    /// It, under its number.
    Alert(u64, Box<Alert>),
    /// A file that nobody can read any more.
    Unreadable(u64, io::Error),
}

impl Queue {
    /// What an earlier run has left comes first.
    pub(super) fn open(dir: &Path, capacity: usize) -> io::Result<Self> {
        let (store, numbers) = Store::open(dir)?;
        let next = numbers.last().map_or(0, |last| last.saturating_add(1));
        let waiting = numbers.into_iter().map(|number| Waiting {
            number,
            memory: None,
        });
        Ok(Self {
            store,
            capacity,
            next,
            waiting: waiting.collect(),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// What waits already stays, also beyond it.
    pub(super) fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    pub(super) fn put(&mut self, alert: &Alert) -> Put {
        if self.waiting.len() >= self.capacity {
            return Put::Full;
        }
        let number = self.next;
        self.next = self.next.saturating_add(1);
        let written = json::encode(alert)
            .map_err(io::Error::from)
            .and_then(|bytes| self.store.put(number, &bytes));
        let memory = written.is_err().then(|| alert.clone());
        self.waiting.push_back(Waiting { number, memory });
        written.map_or_else(Put::InMemory, |()| Put::Kept)
    }

    pub(super) fn front(&self) -> Option<Front> {
        let Waiting { number, memory } = self.waiting.front()?;
        let read = match memory {
            Some(alert) => Ok(alert.clone()),
            None => self
                .store
                .get(*number)
                .and_then(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::from)),
        };
        Some(match read {
            Ok(alert) => Front::Alert(*number, Box::new(alert)),
            Err(error) => Front::Unreadable(*number, error),
        })
    }

    /// It has been told, or is given up.
    pub(super) fn done(&mut self, number: u64) -> io::Result<()> {
        self.waiting.retain(|waiting| waiting.number != number);
        self.store.remove(number)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sample::orphan, *};

    fn front_key(queue: &Queue) -> Option<(u64, String)> {
        match queue.front()? {
            Front::Alert(number, alert) => Some((number, alert.key)),
            Front::Unreadable(..) => None,
        }
    }

    #[test]
    fn a_restart_goes_on_with_the_oldest() {
        let room = tempfile::tempdir().expect("a directory");
        let mut queue = Queue::open(room.path(), 10).expect("open");
        for pid in 1..=3 {
            assert!(matches!(queue.put(&orphan(pid)), Put::Kept));
        }
        let (number, key) = front_key(&queue).expect("one");
        assert_eq!(key, orphan(1).key);
        queue.done(number).expect("remove");
        drop(queue);
        let mut queue = Queue::open(room.path(), 10).expect("open again");
        assert_eq!(queue.len(), 2);
        let (number, key) = front_key(&queue).expect("one");
        assert_eq!(key, orphan(2).key);
        assert!(matches!(queue.put(&orphan(4)), Put::Kept), "numbers go on");
        queue.done(number).expect("remove");
        assert_eq!(front_key(&queue).expect("one").1, orphan(3).key);
    }

    #[test]
    fn what_has_no_room_is_refused_and_the_rest_stays() {
        let room = tempfile::tempdir().expect("a directory");
        let mut queue = Queue::open(room.path(), 2).expect("open");
        assert!(matches!(queue.put(&orphan(1)), Put::Kept));
        assert!(matches!(queue.put(&orphan(2)), Put::Kept));
        assert!(matches!(queue.put(&orphan(3)), Put::Full));
        assert_eq!(front_key(&queue).expect("one").1, orphan(1).key);
        assert_eq!(Queue::open(room.path(), 2).expect("open").len(), 2);
    }

    #[test]
    fn what_is_too_long_for_the_disk_waits_in_memory_and_is_not_lost() {
        let room = tempfile::tempdir().expect("a directory");
        let mut queue = Queue::open(room.path(), 10).expect("open");
        let mut alert = orphan(1);
        alert.text = "x".repeat(2 << 20);
        assert!(matches!(queue.put(&alert), Put::InMemory(_)));
        let front = queue.front();
        assert!(matches!(front, Some(Front::Alert(0, told)) if *told == alert));
    }

    #[test]
    fn without_a_disk_it_waits_in_memory_and_a_torn_file_is_told() {
        let room = tempfile::tempdir().expect("a directory");
        let dir = room.path().join("queue");
        let mut queue = Queue::open(&dir, 10).expect("open");
        assert!(matches!(queue.put(&orphan(1)), Put::Kept));
        let name = dir.join(format!("{:016x}.json", 0));
        std::fs::write(name, b"{\"key\":").expect("tear");
        assert!(matches!(queue.front(), Some(Front::Unreadable(0, _))));
        std::fs::remove_dir_all(&dir).expect("remove");
        assert!(matches!(queue.put(&orphan(2)), Put::InMemory(_)));
        queue.done(0).expect("gone is gone");
        assert_eq!(front_key(&queue).expect("one").1, orphan(2).key);
    }
}
