//! What a recovery came to: one line a session, counted by outcome.

use std::collections::BTreeMap;

use crate::session::{SessionId, recover::gates::Gate};

/// What became of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Its observer had crashed; it is ended.
    Recovered,
    /// The machine had gone down under it; it is ended.
    HostReboot,
    /// It had ended; its derived files were missing and are made.
    Derived,
    /// Its target lives and nobody watches.
    Alive,
    /// An observer or another recoverer has it.
    Running,
    /// Its files are so young that they may still be written.
    Young,
    /// Nothing says whose it is, or it is not ours.
    Alien,
    /// Left in memory by another boot; it is removed.
    Stale,
    /// Its rows are not of its target; it is put aside as it is.
    Quarantined,
    /// What it needs is not certain; it is left.
    Doubtful,
    /// Something went wrong.
    Failed,
    /// It had ended, and nothing is missing.
    Whole,
}

impl Outcome {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::HostReboot => "host_reboot",
            Self::Derived => "derived",
            Self::Alive => "alive",
            Self::Running => "running",
            Self::Young => "young",
            Self::Alien => "alien",
            Self::Stale => "stale",
            Self::Quarantined => "quarantined",
            Self::Doubtful => "doubtful",
            Self::Failed => "failed",
            Self::Whole => "whole",
        }
    }
}

/// One session as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its id, or the name of another recorder's file: somebody else's bytes.
    pub name: String,
    /// The session of ours; `None` for another recorder's files that became none.
    pub session: Option<SessionId>,
    /// What became of it.
    pub outcome: Outcome,
    /// The gate that decided.
    pub gate: Option<Gate>,
    /// Why.
    pub reason: String,
}

/// What a recovery came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Nothing was done: outcomes are what would be.
    pub dry_run: bool,
    /// Everything but sessions that are whole.
    pub found: Vec<Found>,
    /// All of them, by outcome.
    pub counts: BTreeMap<Outcome, u64>,
}

impl Report {
    /// Nothing found yet.
    #[must_use]
    pub fn new(dry_run: bool) -> Self {
        Self {
            dry_run,
            ..Self::default()
        }
    }

    /// Takes in one session.
    pub fn add(&mut self, found: Found) {
        *self.counts.entry(found.outcome).or_default() += 1;
        if found.outcome != Outcome::Whole {
            self.found.push(found);
        }
    }

    /// How many had this outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.counts.get(&outcome).copied().unwrap_or(0)
    }
}
