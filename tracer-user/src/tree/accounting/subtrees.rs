//! The costliest subtrees. Pure.

use std::cmp::Reverse;

use super::{
    commands::{Name, TOP},
    cost::Cost,
};
use crate::units::Process;

/// A process with all that it and its descendants have cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subtree {
    /// Which.
    pub process: Process,
    /// The program that it executed last.
    pub command: Name,
    /// Generations below the root.
    pub depth: u32,
    /// Sums, its own included.
    pub cost: Cost,
}

/// The costliest, most CPU time first; of those with the same, the one that has the other in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Subtrees(Vec<Subtree>);

impl Subtrees {
    /// Puts a subtree in its place, if it is one of them and more than one process.
    pub(super) fn rank(&mut self, subtree: Subtree) {
        if subtree.cost.processes < 2 {
            return;
        }
        let order = |subtree: &Subtree| {
            let key = subtree.process.key;
            (
                Reverse(subtree.cost.cpu_us()),
                subtree.depth,
                key.start,
                key.init,
            )
        };
        let place = self
            .0
            .partition_point(|other| order(other) <= order(&subtree));
        if place < TOP {
            self.0.insert(place, subtree);
            self.0.truncate(TOP);
        }
    }

    /// The root has cost more than was known when it ended.
    pub(super) fn charge_root(&mut self, cost: &Cost) {
        // What has everything in it is first.
        if let Some(root) = self.0.first_mut().filter(|first| first.depth == 0) {
            root.cost.add(cost);
        }
    }

    /// All of them.
    pub(super) fn all(self) -> Vec<Subtree> {
        self.0
    }
}
