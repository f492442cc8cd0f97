//! What the sender of a signal is to its target, by the tree at that moment.

use super::Relation;
use crate::{event::Signal, tree::Tree, units::ProcKey};

/// Places the sender. `workload` is the pinned process, where there is one: its ancestors within the
/// tree are wrappers.
#[must_use]
pub fn relation(tree: &Tree, workload: Option<ProcKey>, signal: &Signal) -> Relation {
    let (target, sender) = (signal.target.key, signal.sender.key);
    if sender == target {
        Relation::Itself
    } else if signal.from_kernel {
        Relation::Kernel
    } else if tree.get(sender).is_none() {
        // A process of a namespace that the observer cannot see has no pid for it.
        if signal.sender.tgid.0 == 0 {
            Relation::Unknown
        } else {
            Relation::Outside
        }
    } else if tree.is_under(sender, target) {
        Relation::Descendant
    } else if workload.is_some_and(|workload| workload != sender && tree.is_under(workload, sender))
    {
        Relation::Wrapper
    } else if tree.is_under(target, sender) {
        Relation::Ancestor
    } else {
        Relation::Sibling
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{EventKind, Fork},
        units::{BootNs, Comm, Process, Tgid},
    };

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

    fn kill(sender: u32, target: u32) -> Signal {
        Signal {
            target: process(target),
            signal: 9,
            code: 0,
            result: 0,
            group: true,
            from_kernel: false,
            sender: process(sender),
            sender_comm: Comm::default(),
            sender_uid: 0,
            sender_cmdline: Vec::new(),
            sender_redacted: 0,
        }
    }

    #[test]
    fn every_place_in_the_tree_has_its_name() {
        // 10 wraps 11, the workload, which has children 12 and 13; 14 is 10's other child.
        let mut tree = Tree::new();
        for (child, parent) in [(10, 1), (11, 10), (12, 11), (13, 11), (14, 10)] {
            let fork = Fork {
                child: process(child),
                creator: process(parent),
                parent: process(parent),
                comm: Comm::default(),
                depth: 0,
                uid: 0,
                adopted: false,
            };
            tree.apply(BootNs(1), &EventKind::Fork(fork));
        }
        let workload = Some(process(11).key);
        let of = |sender, target| relation(&tree, workload, &kill(sender, target));
        assert_eq!(of(11, 11), Relation::Itself);
        assert_eq!(of(10, 11), Relation::Wrapper);
        assert_eq!(of(10, 14), Relation::Wrapper);
        assert_eq!(of(11, 12), Relation::Ancestor);
        assert_eq!(of(12, 11), Relation::Descendant);
        assert_eq!(of(13, 12), Relation::Sibling);
        assert_eq!(of(14, 11), Relation::Sibling);
        assert_eq!(of(99, 11), Relation::Outside);
        let hidden = Signal {
            sender: Process {
                tgid: Tgid(0),
                ..process(98)
            },
            ..kill(98, 11)
        };
        assert_eq!(relation(&tree, workload, &hidden), Relation::Unknown);
        let kernel = Signal {
            from_kernel: true,
            ..kill(99, 11)
        };
        assert_eq!(relation(&tree, workload, &kernel), Relation::Kernel);
    }
}
