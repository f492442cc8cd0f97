//! Whether the rows of the workload bear its name: `identity_drift`.
//!
//! The rule is recovery's own (docs/decisions, rows of another): an exec explains another name, and so
//! does that the kernel side tracked the process, which then has renamed itself (`PR_SET_NAME`), for no
//! hook tells of that. The name of one of its wrappers is explained by an exec only: rows of the wrapper
//! are the mistake this is for.

use std::collections::HashSet;

use super::{change::Detail, episode::Seen, memory::once, watch::Who};
use crate::{
    snapshot::{Role, SnapshotRow},
    units::{BootNs, Comm, ProcKey},
};

/// The workload as it was pinned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pinned {
    /// Its identity, where the kernel side tracks it.
    pub key: Option<ProcKey>,
    /// Its pid.
    pub pid: u32,
    /// Its start.
    pub starttime_ticks: u64,
    /// Its name.
    pub comm: String,
    /// Names of the processes between root and workload.
    pub wrappers: HashSet<String>,
}

/// The workload and what is known of its names.
#[derive(Debug, Clone, Default)]
pub(super) struct Identity {
    pinned: Pinned,
    /// Names of wrappers that it has by an exec.
    executed: HashSet<String>,
    /// The last row was unexplained, and an exec that explains it may be on its way: the name changes
    /// a moment before the exec is told.
    pending: Option<BootNs>,
}

impl Identity {
    pub(super) fn new(pinned: Pinned) -> Self {
        Self {
            pinned,
            ..Self::default()
        }
    }

    /// A process executes a program of this name.
    pub(super) fn exec(&mut self, key: ProcKey, comm: Comm) {
        if self.pinned.key != Some(key) {
            return;
        }
        let comm = comm.to_text();
        if self.pinned.wrappers.contains(&comm) {
            self.executed.insert(comm);
        }
    }

    pub(super) fn look(&mut self, t: BootNs, row: &SnapshotRow) -> Option<Seen> {
        if row.role != Role::Workload {
            return None;
        }
        let Some(actual) = &row.comm else {
            return Some(Seen::Unknown);
        };
        let pinned = &self.pinned;
        let who = Who::of_row(row);
        let same = (pinned.pid, pinned.starttime_ticks) == (who.pid, who.starttime_ticks);
        let tracked = same && pinned.key.is_some();
        let explained = *actual == pinned.comm
            || self.executed.contains(actual)
            || (tracked && !pinned.wrappers.contains(actual));
        if explained {
            self.pending = None;
            return Some(Seen::Clear);
        }
        if tracked && self.pending.is_none() {
            self.pending = Some(t);
            return Some(Seen::Unknown);
        }
        let detail = Detail::IdentityDrift {
            expected_comm: pinned.comm.clone(),
            actual_comm: actual.clone(),
        };
        Some(match (once(t, 1.0, detail), self.pending) {
            (Seen::Holds(mut held), Some(since)) => {
                held.since = since;
                held.count = 2;
                Seen::Holds(held)
            }
            (seen, _) => seen,
        })
    }
}
