//! What a session's journals say of its tree where they stop, for an observer that goes on from there.

use std::collections::HashSet;

use super::follower::PastAnomalies;
use crate::{
    event::{Event, EventKind},
    session::{
        derive::Onlooker,
        journal::{
            info::SessionInfo,
            record::{Body, TargetBody},
        },
    },
    target::{Resolver, Spec},
    tree::Tree,
    units::{BootNs, ProcKey, Process},
};

/// The tree and the search for the workload, as an observer would know them that had been there.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) info: SessionInfo,
    pub(super) tree: Tree,
    pub(super) root: Option<Process>,
    pub(super) root_ended: bool,
    pub(super) target: Option<Process>,
    pub(super) target_ended: bool,
    pub(super) wrappers: HashSet<ProcKey>,
    pub(super) unresolved: bool,
    /// What is wrong with it.
    pub(super) anomalies: PastAnomalies,
    /// As far as the search went; its last word may not have been written.
    pub(super) resolver: Option<Resolver>,
}

impl Past {
    pub(super) fn new(info: SessionInfo) -> Self {
        Self {
            info,
            tree: Tree::new(),
            root: None,
            root_ended: false,
            target: None,
            target_ended: false,
            wrappers: HashSet::new(),
            unresolved: false,
            anomalies: PastAnomalies::default(),
            resolver: None,
        }
    }

    fn event(&mut self, t: BootNs, event: &EventKind) {
        match event {
            EventKind::Fork(fork) if self.root.is_none() && self.is_root(fork.child) => {
                let root = fork.child;
                self.root = Some(root);
                self.wrappers.insert(root.key);
                self.resolver = Some(Resolver::new(Spec { expect: None, root }));
            }
            EventKind::Exit(exit) => {
                let is =
                    |process: Option<Process>| process.is_some_and(|p| p.key == exit.process.key);
                self.root_ended |= is(self.root);
                self.target_ended |= is(self.target);
            }
            _ => {}
        }
        self.tree.apply(t, event);
        if let Some(resolver) = self.resolver.as_mut().filter(|_| self.target.is_none()) {
            let kind = event.clone();
            resolver.observe(&Event { t, kind });
        }
    }

    fn is_root(&self, process: Process) -> bool {
        let root = &self.info.root;
        let start = self.info.tick_rule.ticks(process.key.start);
        process.tgid.0 == root.pid && root.starttime_ticks.is_none_or(|ticks| ticks == start)
    }

    /// Whose end will end the session: the root's, or the workload's when the root is gone.
    pub(super) fn followed(&self) -> Option<Process> {
        let root = self.root.filter(|_| !self.root_ended);
        root.or_else(|| self.target.filter(|_| !self.target_ended))
    }
}

impl Onlooker for Past {
    fn see(&mut self, t: BootNs, body: &Body) {
        self.anomalies.see(body);
        match body {
            Body::Event(event) => self.event(t, event),
            Body::Target(target) => match &**target {
                TargetBody::Pinned(pinned) => {
                    self.target = Some(pinned.process);
                    self.unresolved = false;
                    let above = self.tree.ancestors(pinned.process.key);
                    self.wrappers.extend(above.map(|node| node.process.key));
                    self.wrappers.remove(&pinned.process.key);
                }
                TargetBody::Unresolved { .. } => self.unresolved = self.target.is_none(),
            },
            _ => {}
        }
    }
}
