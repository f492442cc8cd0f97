//! What the watcher tells someone: one decision about one process, as plain data.
//!
//! Made by the watcher, read by every notifier; nothing here reads the system or decides anything.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One decision to tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Kind and process identity: the same for an alert, its repetitions and its recovery, and never for
    /// another process, also where the pid is used again.
    pub key: String,
    /// What is wrong.
    pub kind: Kind,
    /// Which news this is.
    pub decision: Decision,
    /// How bad it is.
    pub severity: Severity,
    /// When it was decided.
    pub at: Timestamp,
    /// Since when it is wrong.
    pub since: Timestamp,
    /// One actionable sentence or more, for a person.
    pub text: String,
    /// What identifies the alert, the same from its first news to its last: pid, start time, comm,
    /// session. What groups and silences go by.
    pub labels: BTreeMap<String, String>,
    /// What may change from one news to the next: age, CPU time, what it holds, the command that ends it.
    pub details: BTreeMap<String, Detail>,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A process that outlived what it was started for.
    Orphan,
    /// A process that something waits for and that does not end.
    Blocker,
    /// A condition a session was found in.
    Anomaly,
}

/// Which news of an alert this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The first.
    Alert,
    /// Still so, after the cooldown.
    Realert,
    /// Gone or fine; the last.
    Recovery,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look.
    Warning,
    /// Somebody should look now.
    Critical,
}

/// A value of [`Alert::details`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Detail {
    /// A count or a quantity; its unit ends the name.
    Number(u64),
    /// Words.
    Text(String),
    /// Several of them.
    List(Vec<String>),
}

impl Kind {
    /// Its name in every output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Orphan => "orphan",
            Self::Blocker => "blocker",
            Self::Anomaly => "anomaly",
        }
    }
}

impl Decision {
    /// Its name in every output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Realert => "realert",
            Self::Recovery => "recovery",
        }
    }
}

impl Severity {
    /// Its name in every output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl std::fmt::Display for Detail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::List(items) => f.write_str(&items.join(", ")),
        }
    }
}
