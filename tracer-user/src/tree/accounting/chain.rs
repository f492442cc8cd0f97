//! What the wall time of a process went into: itself, and the children it waited for.
//!
//! Nothing says when a process waits. But it can only go on with what a child did once that child has
//! ended, so this much follows from births and ends alone: of the time of a process, go backwards from its
//! end. The child that ended last before was what it waited for; the time since is its own. Go on from
//! where that child was born, and so on to the birth of the process. Each such child's time is divided
//! likewise. So every ns of the root's life is in exactly one process, on its *critical path*.
//!
//! A child counts if its parent is the same at its birth and at its end; one that lives on is waited for
//! by nobody. Going backwards over a journal would need all of it in memory: a process is born where its
//! parent's path stands at that moment, and ends with what its own life added, so the path of each living
//! process is known at any time. Pure.

use std::sync::Arc;

use super::commands::Name;
use crate::units::{BootNs, Process};

/// Most links of a chain.
pub const LINKS_MAX: usize = 20;
/// Most commands that a path tells apart; time of others is only summed.
pub const SHARES_MAX: usize = 16;

/// One process on the way from the root to the last one that was waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Which.
    pub process: Process,
    /// The program that it executed last.
    pub command: Name,
    /// When it was born; of the root of a run, when it was released.
    pub start: BootNs,
    /// When it ended.
    pub end: BootNs,
}

/// What the root's wall time went into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CriticalChain {
    /// The root, the child it waited for last, that one's, and so on.
    pub links: Vec<Link>,
    /// Time on the critical path by the program that ran, ns; most first.
    pub shares: Vec<(Name, u64)>,
    /// Time of programs that are not told apart, ns.
    pub other_ns: u64,
}

/// Where the time of one process went, from its birth to `until`.
#[derive(Debug, Clone)]
pub(super) struct Path {
    pub(super) until: BootNs,
    shares: Vec<(Name, u64)>,
    other_ns: u64,
}

impl Path {
    pub(super) fn new(from: BootNs) -> Self {
        Self {
            until: from,
            shares: Vec::new(),
            other_ns: 0,
        }
    }

    /// Goes on to `t`, with whoever ran `name`.
    pub(super) fn go_on(&mut self, t: BootNs, name: &Name) {
        let more = t.since(self.until);
        if more > 0 {
            self.add(name, more);
            self.until = t;
        }
    }

    fn add(&mut self, name: &Name, ns: u64) {
        let known = |(other, _): &&mut (Name, u64)| Arc::ptr_eq(other, name) || other == name;
        match self.shares.iter_mut().find(known) {
            Some((_, sum)) => *sum = sum.saturating_add(ns),
            None => self.shares.push((Arc::clone(name), ns)),
        }
        if self.shares.len() > SHARES_MAX {
            let least = (0..self.shares.len()).min_by_key(|&at| self.shares[at].1);
            if let Some(at) = least {
                let (_, ns) = self.shares.remove(at);
                self.other_ns = self.other_ns.saturating_add(ns);
            }
        }
    }

    /// Goes on to the end of a child, by the child's own path.
    fn go_through(&mut self, child: &Self) {
        for (name, ns) in &child.shares {
            self.add(name, *ns);
        }
        self.other_ns = self.other_ns.saturating_add(child.other_ns);
        self.until = self.until.max(child.until);
    }
}

/// Its parent's path at the birth of a process, and what the parent ran then.
pub(super) type Before = (Arc<Path>, Name);

/// A living process, as far as its time is concerned.
#[derive(Debug, Clone)]
pub(super) struct Course {
    start: BootNs,
    before: Option<Before>,
    path: Arc<Path>,
    /// The child that ended last, and whom that one waited for.
    waited: Option<Arc<[Link]>>,
}

impl Course {
    /// Born at `start`, below a parent of which this came before.
    pub(super) fn born(start: BootNs, before: Option<Before>) -> Self {
        Self {
            start,
            before,
            path: Arc::new(Path::new(start)),
            waited: None,
        }
    }

    /// What comes before the life of a child that is born now, while this one runs `name`.
    pub(super) fn before_child(&self, name: &Name) -> Before {
        (Arc::clone(&self.path), Arc::clone(name))
    }

    /// Nothing before `t` was its own doing.
    pub(super) fn released(&mut self, t: BootNs) {
        if t > self.start {
            self.start = t;
            self.path = Arc::new(Path::new(t));
        }
    }

    /// What it runs from now on is something else than `name`.
    pub(super) fn changes(&mut self, t: BootNs, name: &Name) {
        Arc::make_mut(&mut self.path).go_on(t, name);
    }

    /// A child of this process has ended.
    pub(super) fn child_ended(&mut self, child: Ended) {
        let Some((path, name)) = child.before else {
            return;
        };
        // Events of two processors may come in another order than their times have.
        if child.path.until < self.path.until {
            return;
        }
        // Where nothing has happened since the child's birth it is the same path, and nobody else's: it goes on
        // without a copy.
        self.path = path;
        let way = Arc::make_mut(&mut self.path);
        way.go_on(child.start, &name);
        way.go_through(&child.path);
        self.waited = Some(child.links);
    }

    /// It has ended.
    pub(super) fn ended(mut self, t: BootNs, process: Process, name: &Name) -> Ended {
        let path = Arc::make_mut(&mut self.path);
        path.go_on(t, name);
        let own = Link {
            process,
            command: Arc::clone(name),
            start: self.start,
            end: t.max(self.start),
        };
        let below = self.waited.as_deref().unwrap_or_default();
        let below = below.iter().take(LINKS_MAX - 1).cloned();
        Ended {
            start: self.start,
            before: self.before,
            links: std::iter::once(own).chain(below).collect(),
            path: self.path,
        }
    }
}

/// The course of a process that has ended.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    start: BootNs,
    before: Option<Before>,
    path: Arc<Path>,
    links: Arc<[Link]>,
}

impl Ended {
    pub(super) fn chain(&self) -> CriticalChain {
        let mut shares = self.path.shares.clone();
        shares.sort_unstable_by(|(one, more), (other, less)| less.cmp(more).then(one.cmp(other)));
        CriticalChain {
            links: self.links.to_vec(),
            shares,
            other_ns: self.path.other_ns,
        }
    }
}
