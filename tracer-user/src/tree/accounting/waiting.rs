//! Processes that have ended and whose closed accounts may still come.
//!
//! An account comes when its process has been waited for and released, 10 to 30 ms after the end as a rule; a
//! zombie's does not come, nor does that of the last ones before observation ends. So there is a bound: whoever
//! has waited longest goes when it is reached, and is counted by its exit event alone. Pure.

use std::collections::VecDeque;

use super::cost::Cost;
use crate::units::ProcKey;

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

/// All of them, in the order of their ends. What is left of each stands in its entry: who asks says which of them
/// still wait.
#[derive(Debug, Clone, Default)]
pub(super) struct Waiting {
    count: usize,
    /// Some are gone.
    order: VecDeque<ProcKey>,
}

impl Waiting {
    /// One more; the one that has to go for it.
    pub(super) fn add(&mut self, key: ProcKey, waits: impl Fn(ProcKey) -> bool) -> Option<ProcKey> {
        self.count += 1;
        self.order.push_back(key);
        if self.order.len() > 2 * WAITING_MAX {
            // Some that wait for ever must not keep the names of all that came after them.
            self.order.retain(|&key| waits(key));
        }
        if self.count > WAITING_MAX {
            return self.next(waits);
        }
        None
    }

    /// One of them waits no longer.
    pub(super) fn gone(&mut self) {
        self.count = self.count.saturating_sub(1);
    }

    /// The one that has waited longest.
    pub(super) fn next(&mut self, waits: impl Fn(ProcKey) -> bool) -> Option<ProcKey> {
        while let Some(key) = self.order.pop_front() {
            if waits(key) {
                return Some(key);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{collections::HashSet, units::BootNs};

    fn key(init: u32) -> ProcKey {
        ProcKey {
            init,
            start: BootNs(init.into()),
        }
    }

    #[derive(Default)]
    struct Room {
        waiting: Waiting,
        there: HashSet<ProcKey>,
    }

    impl Room {
        fn enter(&mut self, key: ProcKey) -> Option<ProcKey> {
            self.there.insert(key);
            let gone = self.waiting.add(key, |key| self.there.contains(&key))?;
            self.leave(gone);
            Some(gone)
        }

        fn leave(&mut self, key: ProcKey) {
            assert!(self.there.remove(&key));
            self.waiting.gone();
        }
    }

    #[test]
    fn who_has_waited_longest_goes_and_names_of_the_gone_are_not_kept() {
        let max = u32::try_from(WAITING_MAX).unwrap();
        let mut room = Room::default();
        // A zombie at the head, and a million that come and go behind it.
        assert!(room.enter(key(0)).is_none());
        for n in 1..1_000_000 {
            assert!(room.enter(key(n)).is_none());
            room.leave(key(n));
            assert!(room.waiting.order.len() <= 2 * WAITING_MAX);
        }
        for n in 0..max - 1 {
            assert!(room.enter(key(2_000_000 + n)).is_none());
        }
        assert_eq!(room.enter(key(3_000_000)), Some(key(0)));
        assert_eq!(room.enter(key(3_000_001)), Some(key(2_000_000)));
        assert_eq!(room.there.len(), WAITING_MAX);
    }
}
