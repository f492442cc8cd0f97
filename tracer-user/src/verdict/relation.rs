//! What the sender of a signal is to its target, by descent at that moment.

use super::{Relation, lineage::Lineage};
use crate::units::{ProcKey, Process};

/// Places the sender. `workload` is the pinned process, where there is one: its ancestors within the
/// tree are wrappers.
#[must_use]
pub fn relation(
    lineage: &Lineage,
    workload: Option<ProcKey>,
    sender: Process,
    target: Process,
) -> Relation {
    let (from, to) = (sender.key, target.key);
    let known = lineage.knows(from);
    if from == to {
        Relation::Itself
    } else if known
        && workload.is_some_and(|workload| workload != from && lineage.is_under(workload, from))
    {
        Relation::Wrapper
    } else if known && lineage.is_under(to, from) {
        // Who made the root is no part of its tree.
        Relation::Ancestor
    } else if known && lineage.is_under(from, to) {
        Relation::Descendant
    } else if known {
        Relation::Sibling
    } else if sender.tgid.0 == 0 {
        // A process of a namespace that the observer cannot see has no pid for it.
        Relation::Unknown
    } else {
        Relation::Outside
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{BootNs, Tgid};

    fn process(pid: u32) -> Process {
        Process {
            key: ProcKey {
                init: pid,
                start: BootNs(1),
            },
            tgid: Tgid(pid),
            inner: pid,
        }
    }

    #[test]
    fn every_place_in_the_tree_has_its_name() {
        // 10 wraps 11, the workload, which has children 12 and 13; 14 is 10's other child.
        let mut lineage = Lineage::default();
        for (child, creator) in [(10, 1), (11, 10), (12, 11), (13, 11), (14, 10)] {
            lineage.born(process(child).key, process(creator).key);
        }
        let workload = Some(process(11).key);
        let of = |sender, target| relation(&lineage, workload, process(sender), process(target));
        assert_eq!(of(11, 11), Relation::Itself);
        assert_eq!(of(10, 11), Relation::Wrapper);
        assert_eq!(of(10, 14), Relation::Wrapper);
        assert_eq!(of(11, 12), Relation::Ancestor);
        assert_eq!(of(12, 11), Relation::Descendant);
        assert_eq!(of(13, 12), Relation::Sibling);
        assert_eq!(of(14, 11), Relation::Sibling);
        assert_eq!(of(99, 11), Relation::Outside);
        assert_eq!(of(1, 11), Relation::Outside, "who started the root");
        let hidden = Process {
            tgid: Tgid(0),
            ..process(98)
        };
        assert_eq!(
            relation(&lineage, workload, hidden, process(11)),
            Relation::Unknown
        );
    }

    #[test]
    fn a_daemon_that_kills_its_maker_is_still_below_it() {
        let mut lineage = Lineage::default();
        for (child, creator) in [(10, 1), (11, 10), (12, 11)] {
            lineage.born(process(child).key, process(creator).key);
        }
        lineage.ended(process(11).key, 3);
        let place = relation(&lineage, None, process(12), process(10));
        assert_eq!(place, Relation::Descendant);
    }
}
