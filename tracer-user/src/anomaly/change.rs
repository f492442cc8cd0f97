//! What a detector says: an anomaly has opened, or has closed.

use serde::Serialize;

use super::{kind::Kind, tree::Relative};
use crate::units::BootNs;

/// One anomaly, as it opens or closes.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Its number in the session, from 1: what its two records have in common.
    pub no: u64,
    /// What is wrong.
    pub kind: Kind,
    /// Whether it opens or closes.
    pub phase: Phase,
    /// When: of the row or event that shows it.
    pub t: BootNs,
    /// Whom it is about.
    pub subject: Subject,
    /// How long it was seen, how often and how bad it was.
    pub span: Span,
}

/// Opening or closing.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// The condition holds from now on; what it was seen by.
    Opened(Detail),
    /// It does not hold any more, or nobody looks any more.
    Closed(Ended),
}

/// Why an anomaly closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The condition does not hold any more.
    Condition,
    /// Its process is gone.
    Process,
    /// The observation ended while it held.
    Session,
}

impl Ended {
    /// Its name in the record.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Condition => "condition",
            Self::Process => "process",
            Self::Session => "session",
        }
    }
}

/// Whom an anomaly is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The process; the root for what is about the tree; the parent of the failing ones for
    /// `retry_loop`.
    pub pid: u32,
    /// Its start; `None` when it is not known.
    pub starttime_ticks: Option<u64>,
    /// Its name; `None` when it is not known.
    pub comm: Option<String>,
}

/// When and how often a condition was seen to hold, and its worst value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// The first row or event that counts towards it.
    pub first: BootNs,
    /// The last one at which it held.
    pub last: BootNs,
    /// How many of them.
    pub count: u64,
    /// The worst value, in the unit of its kind.
    pub worst: f64,
}

/// What an anomaly was seen by, with the keys of the record.
#[expect(missing_docs, reason = "each key is explained in docs/anomalies.md")]
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Detail {
    OomSpike {
        from: i64,
        to: i64,
        delta: i64,
        oom_score_raw: i64,
    },
    OomCritical {
        oom_score: i64,
        oom_score_raw: i64,
        of: &'static str,
    },
    Zombie {
        state: String,
        consecutive_count: u64,
    },
    DState {
        state: String,
        wchan: String,
        consecutive_count: u64,
    },
    HighCpu {
        cpu_percent: f64,
        consecutive_count: u64,
    },
    SignalsPending {
        from: String,
        to: String,
    },
    FdHigh {
        fd_count: u64,
        fd_soft_limit: i64,
        ratio: f64,
    },
    RssGrowth {
        initial_rss_kb: u64,
        final_rss_kb: u64,
        growth_factor: f64,
        rows: u64,
    },
    IdentityDrift {
        expected_comm: String,
        actual_comm: String,
    },
    ForkStorm {
        forks: u64,
        window_ms: u64,
        per_second: f64,
        alive: u64,
    },
    /// `zombie_pileup`, `orphan_left`, `pty_holder`: how many, and who, as far as there is room.
    Processes {
        count: u64,
        processes: Vec<Relative>,
    },
    RetryLoop {
        command: String,
        command_id: String,
        failures: u64,
        exit_code: Option<i32>,
        signal: Option<i32>,
    },
}
