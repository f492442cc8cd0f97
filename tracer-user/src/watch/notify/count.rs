//! What became of the alerts a notifier was offered.

use std::sync::atomic::{AtomicU64, Ordering};

/// A notifier's counters, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counters {
    /// Its name.
    pub notifier: String,
    /// How it tells: `jsonl`, `webhook`, `alertmanager`, `command`.
    pub channel: &'static str,
    /// Alerts that it has told.
    pub delivered: u64,
    /// Attempts that failed and are made again.
    pub failed: u64,
    /// Alerts given up: no room, or refused by whoever should hear of them.
    pub dropped: u64,
    /// Alerts that wait.
    pub queued: u64,
}

/// Counters while they count.
#[derive(Debug, Default)]
pub(super) struct Count {
    delivered: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    queued: AtomicU64,
}

impl Count {
    pub(super) fn delivered(&self, count: u64) {
        self.delivered.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn queued(&self, now: usize) {
        self.queued.store(now as u64, Ordering::Relaxed);
    }

    pub(super) fn read(&self, notifier: &str, channel: &'static str) -> Counters {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counters {
            notifier: notifier.to_owned(),
            channel,
            delivered: of(&self.delivered),
            failed: of(&self.failed),
            dropped: of(&self.dropped),
            queued: of(&self.queued),
        }
    }
}
