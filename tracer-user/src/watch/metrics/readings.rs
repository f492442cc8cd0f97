//! Everything that is measured, as plain data: the watch fills it, nobody counts in here but
//! [`Durations`].
//!
//! Maps are by the value of a label. A kind that is not there yet has no line; what has been there once
//! should stay, with its count.

use std::{collections::BTreeMap, time::Duration};

use crate::watch::notify::Counters;

/// The state of the watch at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Readings {
    /// Sessions, by status (`running`, `interrupted`, `finished`, …).
    pub sessions: BTreeMap<String, u64>,
    /// Processes that the kernel source tracks.
    pub processes_tracked: u64,
    /// Processes the last look went through.
    pub processes_seen: u64,
    /// Events from the kernel, by kind.
    pub events: BTreeMap<String, u64>,
    /// Events that were lost, by reason.
    pub lost: BTreeMap<String, u64>,
    /// Alerts that are open, by kind.
    pub alerts_open: BTreeMap<String, u64>,
    /// Decisions that were told, by kind and decision (`alert`, `realert`, `recovery`).
    pub decisions: BTreeMap<(String, String), u64>,
    /// Notifiers.
    pub notifiers: Vec<Counters>,
    /// How long looks took.
    pub ticks: Durations,
    /// Looks that began late because the one before took too long.
    pub ticks_missed: u64,
    /// CPU time of the watch itself.
    pub cpu: Duration,
    /// Resident memory of the watch itself, bytes.
    pub rss_bytes: u64,
    /// Open descriptors of the watch itself.
    pub open_fds: u64,
    /// When the watch began, seconds since 1970.
    pub start_time_s: f64,
    /// Settings were last read well; false after a reload that was refused.
    pub config_ok: bool,
    /// What does not work as it should. `/healthz` is red while there is anything.
    pub degraded: Vec<Degraded>,
}

/// A part that does not work as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Degraded {
    /// Which: `kernel`, `procfs`, `state`, ….
    pub part: String,
    /// One sentence.
    pub why: String,
}

/// Upper bounds of the buckets, seconds.
const BOUNDS: [(f64, u64); 9] = [
    (0.001, 1),
    (0.005, 5),
    (0.01, 10),
    (0.025, 25),
    (0.05, 50),
    (0.1, 100),
    (0.5, 500),
    (1.0, 1000),
    (5.0, 5000),
];

/// A histogram of durations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Durations {
    /// By bucket, each with what is in the smaller ones.
    buckets: [u64; BOUNDS.len()],
    count: u64,
    sum: Duration,
}

impl Durations {
    /// One more.
    pub fn add(&mut self, took: Duration) {
        self.count += 1;
        self.sum = self.sum.saturating_add(took);
        for ((_, bound_ms), bucket) in BOUNDS.iter().zip(&mut self.buckets) {
            *bucket += u64::from(took <= Duration::from_millis(*bound_ms));
        }
    }

    /// Upper bound in seconds and count of every bucket.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        BOUNDS.iter().map(|(bound, _)| *bound).zip(self.buckets)
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn sum(&self) -> Duration {
        self.sum
    }
}
