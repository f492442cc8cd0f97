//! Hash maps for what happens several times an event.
//!
//! The standard library's hasher withstands keys that an enemy has made up; with a short key it costs
//! more than the rest of the look-up. Keys here are pids, start times and the like, seeded anew in each
//! process: nobody outside can aim at one bucket.

use std::{collections::hash_map::Entry, hash::Hash};

use foldhash::fast::RandomState;

/// `std::collections::HashMap` with a fast hasher.
pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;
/// `std::collections::HashSet` with a fast hasher.
pub(crate) type HashSet<K> = std::collections::HashSet<K, RandomState>;

/// Takes out what a key stands for, if `is_it` says so: one look-up for both.
pub(crate) fn remove_if<K: Eq + Hash, V>(
    map: &mut HashMap<K, V>,
    key: K,
    is_it: impl FnOnce(&mut V) -> bool,
) {
    if let Entry::Occupied(mut entry) = map.entry(key)
        && is_it(entry.get_mut())
    {
        entry.remove();
    }
}
