//! One condition over time: closed, open, and what was seen while it was open.

use super::{
    change::{Detail, Span},
    kind::Kind,
    memory::round,
};
use crate::units::BootNs;

/// What one look says about a condition.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Seen {
    /// It holds.
    Holds(Held),
    /// It does not.
    Clear,
    /// Nobody can tell: a value is missing.
    Unknown,
}

/// A condition that holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Held {
    /// The first look that counts towards it.
    pub(super) since: BootNs,
    /// Looks that count towards it.
    pub(super) count: u64,
    /// How bad it is.
    pub(super) value: f64,
    /// What it was seen by.
    pub(super) detail: Detail,
}

/// An open anomaly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Episode {
    pub(super) no: u64,
    pub(super) kind: Kind,
    pub(super) span: Span,
}

/// What a look changed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Turn {
    Opens(Held),
    Closes(Episode),
}

/// The open anomalies of one process, or of the tree: none, nearly always.
#[derive(Debug, Clone, Default)]
pub(super) struct Open(Vec<Episode>);

impl Open {
    /// Takes one look at one condition.
    pub(super) fn look(&mut self, kind: Kind, t: BootNs, seen: Seen) -> Option<Turn> {
        let at = self.0.iter().position(|episode| episode.kind == kind);
        match (seen, at) {
            (Seen::Holds(held), Some(at)) => {
                self.0[at].goes_on(t, held.value);
                None
            }
            (Seen::Holds(held), None) => Some(Turn::Opens(held)),
            (Seen::Clear, Some(at)) => Some(Turn::Closes(self.0.swap_remove(at))),
            (Seen::Clear, None) | (Seen::Unknown, _) => None,
        }
    }

    pub(super) fn insert(&mut self, episode: Episode) {
        self.0.push(episode);
    }

    /// All of them, in the order in which they opened; none is open any more.
    pub(super) fn drain(&mut self) -> Vec<Episode> {
        let mut all = std::mem::take(&mut self.0);
        all.sort_unstable_by_key(|episode| episode.no);
        all
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Episode {
    pub(super) fn goes_on(&mut self, t: BootNs, value: f64) {
        let span = &mut self.span;
        span.last = span.last.max(t);
        span.count += 1;
        span.worst = span.worst.max(round(value, 3));
    }
}

impl Held {
    /// The episode that begins with it.
    pub(super) fn begin(&self, no: u64, kind: Kind, t: BootNs) -> Episode {
        let span = Span {
            first: self.since.min(t),
            last: t,
            count: self.count,
            worst: round(self.value, 3),
        };
        Episode { no, kind, span }
    }
}
