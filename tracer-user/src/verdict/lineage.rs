//! Who descends from whom, by who made whom.
//!
//! A signal's sender is placed by blood, not by who happens to be its parent now: a daemon whose
//! parent has left is still below those who made it. So the dead stay in the books as long as they
//! tell two living ones apart; what lies on a straight line between them is spliced out, and memory
//! stays in proportion to the living.

use std::collections::VecDeque;

use crate::{
    collections::HashMap,
    units::{BootNs, ProcKey},
};

/// The dead that are kept whole for a while: what they cause comes after their own end.
const FRESH_MAX: usize = 256;

/// Stands for the record of an end that was lost.
const NO_RECORD: u64 = u64::MAX;

/// One process.
#[derive(Debug, Clone, Default)]
struct Kin {
    up: Option<ProcKey>,
    below: Below,
    /// The one above has it in its `below`.
    is_below: bool,
    /// Record of its end.
    ended: Option<u64>,
    /// Ended not long ago.
    is_fresh: bool,
}

/// Those who are right below one: how many, and what their keys come to, each combined with the others by
/// exclusive or. So one that goes leaves no trace, and when a single one is left it is that one's key: nothing
/// else is ever asked.
#[derive(Debug, Clone, Copy, Default)]
struct Below {
    count: usize,
    keys: ProcKey,
}

impl Below {
    fn add(&mut self, key: ProcKey) {
        self.count += 1;
        self.combine(key);
    }

    fn remove(&mut self, key: ProcKey) {
        self.count -= 1;
        self.combine(key);
    }

    fn combine(&mut self, key: ProcKey) {
        self.keys.init ^= key.init;
        self.keys.start = BootNs(self.keys.start.0 ^ key.start.0);
    }

    fn single(&self) -> Option<ProcKey> {
        (self.count == 1).then_some(self.keys)
    }
}

/// Everybody's descent.
#[derive(Debug, Clone, Default)]
pub struct Lineage {
    kin: HashMap<ProcKey, Kin>,
    fresh: VecDeque<ProcKey>,
    /// Somebody was said to be older than his maker.
    any_backwards: bool,
}

impl Lineage {
    /// A process was made.
    pub fn born(&mut self, child: ProcKey, creator: ProcKey) {
        // Nobody makes himself or his forebears; a journal could claim so all the same. Where everybody is
        // younger than his maker there is no ring, and no need to look all the way up for one.
        self.any_backwards |= creator.start > child.start;
        let may_ring = self.any_backwards || creator.start == child.start;
        if may_ring && self.is_under(creator, child) {
            return;
        }
        let is_below = self.kin.contains_key(&creator);
        let kin = self.kin.entry(child).or_default();
        if kin.up.is_none() {
            kin.up = Some(creator);
            kin.is_below = is_below;
            if let Some(above) = self.kin.get_mut(&creator) {
                above.below.add(child);
            }
        }
    }

    /// A process has ended, by record `seq`.
    pub fn ended(&mut self, key: ProcKey, seq: u64) {
        let Some(kin) = self.kin.get_mut(&key) else {
            return;
        };
        if kin.ended.replace(seq).is_some() {
            return;
        }
        kin.is_fresh = true;
        self.fresh.push_back(key);
        if self.fresh.len() > FRESH_MAX
            && let Some(old) = self.fresh.pop_front()
        {
            if let Some(kin) = self.kin.get_mut(&old) {
                kin.is_fresh = false;
            }
            self.splice(old);
        }
    }

    /// A process is gone, and no record tells of its end.
    pub fn lost(&mut self, key: ProcKey) {
        self.ended(key, NO_RECORD);
    }

    /// The record of a process's end, while that is remembered.
    #[must_use]
    pub fn end_of(&self, key: ProcKey) -> Option<u64> {
        self.kin.get(&key)?.ended.filter(|&seq| seq != NO_RECORD)
    }

    /// Who made a process, or who made that one, if it is forgotten.
    #[must_use]
    pub fn above(&self, key: ProcKey) -> Option<ProcKey> {
        self.kin.get(&key)?.up
    }

    /// Whether a process is known.
    #[must_use]
    pub fn knows(&self, key: ProcKey) -> bool {
        self.kin.contains_key(&key)
    }

    /// Whether `key` is `above`, or descends from it.
    #[must_use]
    pub fn is_under(&self, key: ProcKey, above: ProcKey) -> bool {
        std::iter::successors(Some(key), |key| self.kin.get(key)?.up)
            .take(self.kin.len() + 2)
            .any(|key| key == above)
    }

    /// The process that had this number in the initial namespace last, as far as it is remembered.
    #[must_use]
    pub fn latest(&self, init: u32) -> Option<ProcKey> {
        let of_number = self.kin.keys().filter(|key| key.init == init);
        of_number.max_by_key(|key| key.start).copied()
    }

    /// How many are in the books.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kin.len()
    }

    /// Whether nobody is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kin.is_empty()
    }

    /// Takes out a dead process that tells nobody apart, and then those above for whom that is true by
    /// now.
    fn splice(&mut self, key: ProcKey) {
        let mut next = Some(key);
        while let Some(key) = next.take() {
            let Some(kin) = self.kin.get(&key) else {
                return;
            };
            if kin.ended.is_none() || kin.below.count > 1 || kin.is_fresh {
                return;
            }
            let (up, was_below, heir) = (kin.up, kin.is_below, kin.below.single());
            self.kin.remove(&key);
            let above = up.and_then(|up| self.kin.get_mut(&up));
            let has_above = above.is_some();
            if let Some(above) = above {
                if was_below {
                    above.below.remove(key);
                }
                match heir {
                    Some(heir) => above.below.add(heir),
                    None => next = up,
                }
            }
            if let Some(heir) = heir.and_then(|heir| self.kin.get_mut(&heir)) {
                heir.up = up;
                heir.is_below = has_above;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn key(n: u32) -> ProcKey {
        ProcKey {
            init: n,
            start: BootNs(u64::from(n)),
        }
    }

    #[test]
    fn a_daemon_is_below_those_who_made_it_when_its_parent_has_left() {
        let mut lineage = Lineage::default();
        lineage.born(key(1), key(100));
        lineage.born(key(2), key(1));
        lineage.born(key(3), key(2));
        lineage.ended(key(2), 7);
        assert_eq!(lineage.end_of(key(2)), Some(7));
        assert!(lineage.is_under(key(3), key(1)) && lineage.is_under(key(3), key(100)));
        assert!(!lineage.is_under(key(1), key(3)));
    }

    #[test]
    fn a_chain_of_daemons_takes_no_more_room_the_longer_it_gets() {
        let mut lineage = Lineage::default();
        lineage.born(key(1), key(0));
        for n in 1..5000 {
            lineage.born(key(n + 1), key(n));
            if n > 1 {
                lineage.ended(key(n), u64::from(n));
            }
        }
        assert!(lineage.len() <= FRESH_MAX + 2, "{}", lineage.len());
        assert!(lineage.is_under(key(5000), key(1)));
    }

    #[test]
    fn a_crowd_of_dead_children_is_forgotten() {
        let mut lineage = Lineage::default();
        lineage.born(key(1), key(0));
        for n in 2..5000 {
            lineage.born(key(n), key(1));
            lineage.ended(key(n), u64::from(n));
        }
        assert!(lineage.len() <= FRESH_MAX + 1);
    }

    #[test]
    fn a_ring_of_forebears_is_refused() {
        let mut lineage = Lineage::default();
        lineage.born(key(1), key(2));
        lineage.born(key(2), key(1));
        lineage.born(key(3), key(3));
        assert!(!lineage.is_under(key(2), key(1)));
        assert!(!lineage.knows(key(3)));
    }

    /// Of everybody: those below, counted and combined, are those who say that they are.
    fn assert_sound(lineage: &Lineage) {
        let mut below: HashMap<ProcKey, Below> = HashMap::default();
        for (&key, kin) in lineage.kin.iter().filter(|(_, kin)| kin.is_below) {
            below.entry(kin.up.unwrap()).or_default().add(key);
        }
        for (key, kin) in &lineage.kin {
            let expected = below.remove(key).unwrap_or_default();
            assert_eq!(
                (kin.below.count, kin.below.keys),
                (expected.count, expected.keys)
            );
        }
        assert!(below.is_empty(), "below those who are gone: {below:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whatever_a_journal_claims_who_is_below_stays_true(
            acts in vec((any::<bool>(), 0..400_u32, 0..400_u32, 0..2_u64), 1..3000),
        ) {
            let mut lineage = Lineage::default();
            for (at, (is_born, one, other, start)) in (0..).zip(acts) {
                let key = |init| ProcKey { init, start: BootNs(start * u64::from(init)) };
                if is_born {
                    lineage.born(key(one), key(other));
                } else {
                    lineage.ended(key(one), at);
                }
                if at % 500 == 0 {
                    assert_sound(&lineage);
                }
            }
            assert_sound(&lineage);
        }
    }
}
