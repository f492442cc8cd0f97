//! The living children of one process. Nearly every parent has one at a time, and that one needs no room of
//! its own. Pure.

use crate::{collections::HashSet, units::ProcKey};

/// At least one of them, until [`Children::remove`] says otherwise.
#[derive(Debug, Clone)]
pub(super) enum Children {
    One(ProcKey),
    More(Box<HashSet<ProcKey>>),
}

impl Children {
    pub(super) fn add(&mut self, key: ProcKey) {
        match self {
            Self::One(only) if *only == key => {}
            Self::One(only) => *self = Self::More(Box::new(HashSet::from_iter([*only, key]))),
            Self::More(all) => {
                all.insert(key);
            }
        }
    }

    /// Takes one out; whether nobody is left.
    pub(super) fn remove(&mut self, key: ProcKey) -> bool {
        match self {
            Self::One(only) => *only == key,
            Self::More(all) => {
                all.remove(&key);
                all.is_empty()
            }
        }
    }

    /// In no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = ProcKey> {
        let (one, more) = match self {
            Self::One(only) => (Some(only), None),
            Self::More(all) => (None, Some(all.iter())),
        };
        one.into_iter().chain(more.into_iter().flatten()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::BootNs;

    fn key(n: u32) -> ProcKey {
        ProcKey {
            init: n,
            start: BootNs(n.into()),
        }
    }

    #[test]
    fn whoever_is_added_is_there_once_until_removed() {
        let mut children = Children::One(key(1));
        children.add(key(1));
        assert_eq!(children.iter().collect::<Vec<_>>(), [key(1)]);
        assert!(!children.remove(key(2)));
        children.add(key(2));
        children.add(key(3));
        children.add(key(3));
        assert!(!children.remove(key(1)) && !children.remove(key(3)));
        assert_eq!(children.iter().collect::<Vec<_>>(), [key(2)]);
        assert!(children.remove(key(2)));
        assert!(Children::One(key(4)).remove(key(4)));
    }
}
