//! What a journal can say: one [`Body`] a record.
//!
//! Data only. The names of the keys in the file are in `encode` and `decode`, not here.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    event::{Event, EventKind},
    session::journal::{anomaly::Anomaly, info::SessionInfo},
    snapshot::{SnapshotRow, TreeTotals},
    units::{BootNs, Comm, Process},
};

/// One record before it has its place in the journal: the recorder's thread gives it its `seq`.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// When it happened.
    pub t: BootNs,
    /// What it says.
    pub body: Body,
}

impl From<Event> for Record {
    fn from(event: Event) -> Self {
        Self {
            t: event.t,
            body: Body::Event(event.kind),
        }
    }
}

/// What a record says.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// First record of every epoch: whose observation this is.
    Session(Box<SessionInfo>),
    /// Something the kernel reported: `fork`, `exec`, `exit`, `signal`, `oom`.
    Event(EventKind),
    /// The workload is pinned, or will not be.
    Target(Box<TargetBody>),
    /// One row of `/proc` values.
    Snapshot {
        /// The row.
        row: Box<SnapshotRow>,
        /// Why it was taken.
        event: SnapshotEvent,
    },
    /// Sums over one tick's rows.
    Tick(Box<TreeTotals>),
    /// A condition worth telling: it begins, or it is over.
    Anomaly(Box<Anomaly>),
    /// Events the kernel side could not deliver.
    Loss {
        /// Which counter: ring full, map full, …
        reason: String,
        /// How many since the last record with this reason.
        count: u64,
    },
    /// Records that the recorder took and could not keep, or a stretch nobody watched.
    Gap(Box<Gap>),
    /// Anything a reader should know, in words.
    Note(Box<Note>),
    /// The observer crashed and could still say so. Terminal.
    Crash(Box<Crash>),
    /// The observation ended. Terminal.
    End(Box<End>),
    /// A kind this version does not know, with its keys, as read from a journal.
    Unknown {
        /// The kind.
        kind: String,
        /// Every other key, without `seq`, `t_boot_ns` and `crc`.
        value: Map<String, Value>,
    },
}

impl Body {
    /// The record's `kind` in the journal.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Session(_) => "session",
            Self::Event(EventKind::Fork(_)) => "fork",
            Self::Event(EventKind::Exec(_)) => "exec",
            Self::Event(EventKind::Exit(_)) => "exit",
            Self::Event(EventKind::Signal(_)) => "signal",
            Self::Event(EventKind::Oom(_)) => "oom",
            Self::Event(EventKind::Account(_)) => "account",
            Self::Target(_) => "target",
            Self::Snapshot { .. } => "snapshot",
            Self::Tick(_) => "tick",
            Self::Anomaly(_) => "anomaly",
            Self::Loss { .. } => "loss",
            Self::Gap(_) => "gap",
            Self::Note(_) => "note",
            Self::Crash(_) => "crash",
            Self::End(_) => "end",
            Self::Unknown { kind, .. } => kind,
        }
    }

    /// After a terminal record nothing counts any more: the first one decides.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::End(_) | Self::Crash(_))
    }

    /// Whether the recorder may leave the record out, counted, when it can keep no more. The rest
    /// steers a reader and is rare: it is taken beyond the bound.
    #[must_use]
    pub fn may_be_dropped(&self) -> bool {
        matches!(self, Self::Event(_) | Self::Snapshot { .. } | Self::Tick(_))
    }
}

/// Why a row was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotEvent {
    /// At the interval.
    Snapshot,
    /// At the process's end, while it could still be read.
    ExitSnapshot,
}

impl SnapshotEvent {
    /// The value of the key `event`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::ExitSnapshot => "exit_snapshot",
        }
    }
}

/// What became of the search for the workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetBody {
    /// Found.
    Pinned(Pinned),
    /// Not found, and why.
    Unresolved {
        /// For people: root, expected name, time waited, candidates.
        reason: String,
    },
}

/// The workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// Which process.
    pub process: Process,
    /// The rule that matched.
    pub rule: String,
    /// What stands between root and workload.
    pub skipped: Vec<Skipped>,
    /// Its name.
    pub comm: Comm,
    /// Its command line, NUL-separated as `/proc/<pid>/cmdline`.
    pub cmdline: Vec<u8>,
    /// Path of its image; empty when it could not be read.
    pub exe: Vec<u8>,
    /// From the exec that showed it to the pin, ns; `None` when it was there before tracking began.
    pub pin_latency_ns: Option<u64>,
    /// Secrets in `cmdline` that were replaced.
    pub redacted: u32,
}

/// A process that was passed over as a wrapper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Which process.
    pub process: Process,
    /// Its name when it was passed over.
    pub comm: Comm,
    /// Why.
    pub reason: String,
}

/// Records that are missing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// `write_failed: …`, `write_stuck`, `queue_full`, `deadline`, `unwatched`.
    pub reason: String,
    /// Records left out; 0 when unknown.
    pub dropped: u64,
    /// Time of the first of them.
    pub first_t: BootNs,
    /// Time of the last of them.
    pub last_t: BootNs,
}

/// Words for a reader.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Note {
    /// What programs can look for: `degraded`, `attach`, `attachment`, …
    pub topic: String,
    /// What people read.
    pub text: String,
    /// Particulars.
    pub data: Map<String, Value>,
}

/// The observer crashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crash {
    /// `panic`, a signal name, …; never empty.
    pub cause: String,
    /// Message and place.
    pub detail: String,
}

/// The observation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// How the observer ended. How the target ended is another matter, told by its exit record.
    pub ending: ObserverEnding,
    /// Why, in a few words.
    pub cause: String,
    /// What the journal holds before this record.
    pub counts: Counts,
}

/// How an observer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObserverEnding {
    /// The target ended, and the observation with it.
    Completed,
    /// Someone asked it to stop while the target went on.
    Stopped,
    /// It gave up with an error of its own.
    Failed,
    /// It crashed; written by itself or by recovery.
    Crashed,
    /// A value this version does not know.
    Other(String),
}

impl ObserverEnding {
    /// The value of the key `observer_ending`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Completed => "completed",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Crashed => "crashed",
            Self::Other(text) => text,
        }
    }
}

impl From<&str> for ObserverEnding {
    fn from(text: &str) -> Self {
        match text {
            "completed" => Self::Completed,
            "stopped" => Self::Stopped,
            "failed" => Self::Failed,
            "crashed" => Self::Crashed,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// How many records a journal holds, for a reader to check its own count against.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// All records.
    pub records: u64,
    /// `fork`.
    pub forks: u64,
    /// `exec`.
    pub execs: u64,
    /// `exit`.
    pub exits: u64,
    /// `signal`.
    pub signals: u64,
    /// `oom`.
    pub ooms: u64,
    /// `account`.
    pub accounts: u64,
    /// `snapshot`.
    pub snapshots: u64,
    /// `tick`.
    pub ticks: u64,
    /// `anomaly`.
    pub anomalies: u64,
    /// Sum of the `loss` records.
    pub lost: u64,
    /// Sum of the `gap` records.
    pub dropped: u64,
}

impl Counts {
    /// Counts one more record.
    pub fn add(&mut self, body: &Body) {
        self.records += 1;
        match body {
            Body::Event(EventKind::Fork(_)) => self.forks += 1,
            Body::Event(EventKind::Exec(_)) => self.execs += 1,
            Body::Event(EventKind::Exit(_)) => self.exits += 1,
            Body::Event(EventKind::Signal(_)) => self.signals += 1,
            Body::Event(EventKind::Oom(_)) => self.ooms += 1,
            Body::Event(EventKind::Account(_)) => self.accounts += 1,
            Body::Snapshot { .. } => self.snapshots += 1,
            Body::Tick(_) => self.ticks += 1,
            Body::Anomaly(_) => self.anomalies += 1,
            Body::Loss { count, .. } => self.lost = self.lost.saturating_add(*count),
            Body::Gap(gap) => self.dropped = self.dropped.saturating_add(gap.dropped),
            _ => {}
        }
    }
}
