//! Rows in a row that say the same.

use crate::units::BootNs;

/// Consecutive rows at which something held. A row that says nothing is no row.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Consecutive {
    /// How many so far.
    pub(super) count: u64,
    /// When the first of them was taken.
    pub(super) since: BootNs,
}

impl Consecutive {
    /// Takes one row that says whether it holds.
    pub(super) fn row(&mut self, t: BootNs, holds: bool) {
        if !holds {
            *self = Self::default();
            return;
        }
        if self.count == 0 {
            self.since = t;
        }
        self.count += 1;
    }
}
