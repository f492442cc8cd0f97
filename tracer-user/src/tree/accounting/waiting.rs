//! Processes that have ended and whose closed accounts may still come.
//!
//! An account comes when its process has been waited for and released, 10 to 30 ms after the end as a rule; a
//! zombie's does not come, nor does that of the last ones before observation ends. So there is a bound: whoever
//! has waited longest goes when it is reached, and is counted by its exit event alone. Pure.

use std::collections::VecDeque;

use super::cost::Cost;
use crate::{collections::HashMap, units::ProcKey};

/// Most that wait: more than end in the time that an account takes, and few enough for the observer's memory if
/// none ever comes.
pub(super) const WAITING_MAX: usize = 4096;

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left {
    /// What its exit event said.
    pub(super) cost: Cost,
    /// It executed more than one program.
    pub(super) after_others: bool,
    /// Who is charged for it.
    pub(super) payer: Payer,
}

/// Who is charged for a process that has ended, if it waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Payer {
    /// tracer itself.
    Tracer,
    /// A process of the tree.
    Process(ProcKey),
    /// Somebody outside.
    Nobody,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Waiting {
    left: HashMap<ProcKey, Box<Left>>,
    /// In the order of their ends; some are gone.
    order: VecDeque<ProcKey>,
}

impl Waiting {
    /// One more; the one that has to go for it.
    pub(super) fn add(&mut self, key: ProcKey, left: Left) -> Option<(ProcKey, Left)> {
        self.left.insert(key, Box::new(left));
        self.order.push_back(key);
        if self.order.len() > 2 * WAITING_MAX {
            // Some that wait for ever must not keep the names of all that came after them.
            self.order.retain(|key| self.left.contains_key(key));
        }
        if self.left.len() > WAITING_MAX {
            return self.next();
        }
        None
    }

    /// Its account has come.
    pub(super) fn take(&mut self, key: ProcKey) -> Option<Left> {
        self.left.remove(&key).map(|left| *left)
    }

    /// The one that has waited longest; it does so no longer.
    pub(super) fn next(&mut self) -> Option<(ProcKey, Left)> {
        while let Some(key) = self.order.pop_front() {
            if let Some(left) = self.left.remove(&key) {
                return Some((key, *left));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::BootNs;

    fn key(init: u32) -> ProcKey {
        ProcKey {
            init,
            start: BootNs(init.into()),
        }
    }

    fn left() -> Left {
        Left {
            cost: Cost::default(),
            after_others: false,
            payer: Payer::Nobody,
        }
    }

    #[test]
    fn who_has_waited_longest_goes_and_names_of_the_gone_are_not_kept() {
        let max = u32::try_from(WAITING_MAX).unwrap();
        let mut waiting = Waiting::default();
        // A zombie at the head, and a million that come and go behind it.
        assert!(waiting.add(key(0), left()).is_none());
        for n in 1..1_000_000 {
            assert!(waiting.add(key(n), left()).is_none());
            assert!(waiting.take(key(n)).is_some() && waiting.take(key(n)).is_none());
            assert!(waiting.order.len() <= 2 * WAITING_MAX);
        }
        for n in 0..max - 1 {
            assert!(waiting.add(key(2_000_000 + n), left()).is_none());
        }
        let gone = waiting.add(key(3_000_000), left()).map(|(gone, _)| gone);
        assert_eq!(gone, Some(key(0)));
        let gone = waiting.add(key(3_000_001), left()).map(|(gone, _)| gone);
        assert_eq!(gone, Some(key(2_000_000)));
        assert_eq!(waiting.left.len(), WAITING_MAX);
    }
}
