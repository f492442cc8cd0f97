//! The live process tree, from events alone.
//!
//! [`Tree`] says who lives, whose child it is and what it is called; [`accounting`] adds up what the
//! dead have cost. Both are pure: the same events give the same state, live or replayed from a
//! journal. Memory is that of the living, however many have died.
//!
//! Events come in the order in which the kernel side wrote them, which is the order of cause and effect
//! for one process with one exception: at attach, a process may exit between being adopted and being
//! reported, so its exit can stand before its fork. [`Tree`] waits for such a fork.

pub mod accounting;
mod children;

use self::children::Children;
use crate::{
    collections::{HashMap, HashSet, remove_if},
    event::{EventKind, Exec, Exit, Fork},
    units::{BootNs, Comm, ProcKey, Process},
};

/// A living process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// All its names.
    pub process: Process,
    /// Who is told when it ends, as of its birth; `None` once that process has ended, because the
    /// kernel then gives it another parent without an event.
    pub parent: Option<ProcKey>,
    /// Who called fork or clone, dead or alive; `None` only when its fork was lost.
    pub creator: Option<ProcKey>,
    /// Its name now.
    pub comm: Comm,
    /// Execs since tracking began.
    pub exec_no: u32,
    /// When it was seen first.
    pub since: BootNs,
    /// Generations below the root.
    pub depth: u32,
    /// It was there before tracking began.
    pub adopted: bool,
    /// Its fork was not seen: an event was lost.
    pub birth_lost: bool,
}

/// What an event did to the tree, where that is worth telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// As expected.
    Applied,
    /// The event names a process whose fork was not seen: at least one fork was lost.
    BirthLost,
    /// A process was made with the pid of one that had not been seen to end: an exit was lost. The
    /// old one is taken off the tree.
    ExitLost(ProcKey),
    /// The fork of a process that an earlier event named already: nothing was lost after all.
    BirthLate,
    /// The process was in the tree already; nothing changed.
    Duplicate,
    /// Signals, OOM kills and accounts leave the tree as it is.
    Untouched,
}

/// Most exits remembered for a fork that has not come yet. They stand only between an adoption and its
/// report, so a handful is many.
const EARLY_EXITS_MAX: usize = 4096;

/// The living processes of one target tree.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    live: HashMap<ProcKey, Node>,
    by_pid: HashMap<u32, ProcKey>,
    children: HashMap<ProcKey, Children>,
    early_exits: HashSet<ProcKey>,
}

impl Tree {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one event and when it happened.
    pub fn apply(&mut self, t: BootNs, event: &EventKind) -> Effect {
        match event {
            EventKind::Fork(fork) => self.fork(t, fork),
            EventKind::Exec(exec) => self.exec(t, exec),
            EventKind::Exit(exit) => self.exit(exit),
            EventKind::Signal(_) | EventKind::Oom(_) | EventKind::Account(_) => Effect::Untouched,
        }
    }

    /// The living process of that identity.
    #[must_use]
    pub fn get(&self, key: ProcKey) -> Option<&Node> {
        self.live.get(&key)
    }

    /// How many live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether nobody lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// The living, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Node> {
        self.live.values()
    }

    /// The living children of a process, in no order. A child whose parent has ended is nobody's.
    pub fn children(&self, key: ProcKey) -> impl Iterator<Item = &Node> {
        self.children
            .get(&key)
            .into_iter()
            .flat_map(Children::iter)
            .filter_map(|child| self.live.get(&child))
    }

    /// From the process's parent upwards, as far as living ancestors go.
    pub fn ancestors(&self, key: ProcKey) -> impl Iterator<Item = &Node> {
        // A child is younger than its parent, so parents cannot form a ring; a hostile journal could
        // claim one all the same, and depth bounds the walk then.
        std::iter::successors(self.live.get(&key), |node| self.live.get(&node.parent?))
            .skip(1)
            .take(self.live.len())
    }

    /// Whether `key` is `above` or one of its living descendants.
    #[must_use]
    pub fn is_under(&self, key: ProcKey, above: ProcKey) -> bool {
        key == above || self.ancestors(key).any(|node| node.process.key == above)
    }

    /// Takes off one whose end was lost.
    pub fn forget(&mut self, key: ProcKey) -> Option<Node> {
        self.remove(key)
    }

    fn fork(&mut self, t: BootNs, fork: &Fork) -> Effect {
        let key = fork.child.key;
        if self.early_exits.remove(&key) {
            return Effect::BirthLate;
        }
        match self.live.get_mut(&key) {
            Some(old) if !old.birth_lost => return Effect::Duplicate,
            Some(old) => {
                // An adopted process can exec between its adoption and the report of that: what the
                // exec said is newer.
                old.parent = Some(fork.parent.key);
                old.creator = Some(fork.creator.key);
                old.depth = fork.depth;
                old.adopted = fork.adopted;
                old.birth_lost = false;
                self.is_child(key, fork.parent.key);
                return Effect::BirthLate;
            }
            None => {}
        }
        let mut effect = Effect::Applied;
        if let Some(old) = self
            .by_pid
            .get(&key.init)
            .copied()
            .filter(|&old| old != key)
        {
            self.remove(old);
            effect = Effect::ExitLost(old);
        }
        self.insert(Node {
            process: fork.child,
            parent: Some(fork.parent.key),
            creator: Some(fork.creator.key),
            comm: fork.comm,
            exec_no: 0,
            since: t,
            depth: fork.depth,
            adopted: fork.adopted,
            birth_lost: false,
        });
        effect
    }

    fn exec(&mut self, t: BootNs, exec: &Exec) -> Effect {
        let key = exec.process.key;
        if let Some(node) = self.live.get_mut(&key) {
            node.comm = exec.comm;
            node.exec_no = exec.exec_no;
            return Effect::Applied;
        }
        self.insert(Node {
            process: exec.process,
            parent: None,
            creator: None,
            comm: exec.comm,
            exec_no: exec.exec_no,
            since: t,
            depth: 0,
            adopted: false,
            birth_lost: true,
        });
        Effect::BirthLost
    }

    fn exit(&mut self, exit: &Exit) -> Effect {
        let key = exit.process.key;
        if self.remove(key).is_some() {
            return Effect::Applied;
        }
        if self.early_exits.len() < EARLY_EXITS_MAX {
            self.early_exits.insert(key);
        }
        Effect::BirthLost
    }

    fn insert(&mut self, node: Node) {
        let key = node.process.key;
        if let Some(parent) = node.parent {
            self.is_child(key, parent);
        }
        self.by_pid.insert(key.init, key);
        self.live.insert(key, node);
    }

    fn is_child(&mut self, key: ProcKey, parent: ProcKey) {
        self.children
            .entry(parent)
            .and_modify(|siblings| siblings.add(key))
            .or_insert(Children::One(key));
    }

    fn remove(&mut self, key: ProcKey) -> Option<Node> {
        let node = self.live.remove(&key)?;
        remove_if(&mut self.by_pid, key.init, |named| *named == key);
        if let Some(parent) = node.parent {
            remove_if(&mut self.children, parent, |siblings| siblings.remove(key));
        }
        if let Some(orphans) = self.children.remove(&key) {
            for orphan in orphans.iter() {
                if let Some(orphan) = self.live.get_mut(&orphan) {
                    orphan.parent = None;
                }
            }
        }
        Some(node)
    }
}

#[cfg(test)]
mod tests;
