//! The account of every process, by command and by subtree, and the root's critical chain.
//!
//! A process is entered at its birth and closed once: after its end with the account that the kernel closes when
//! it has been waited for, or where that does not come with the totals of its exit event, or where the end is not
//! seen with what its last row said. Who made whom never changes, whatever process the kernel
//! gives an orphan to, so a subtree is a process and all that it and they made.
//!
//! Memory is that of the living, and of a bounded number that wait for their accounts. Otherwise a process that
//! has ended is kept only while somebody below it is, and only to a depth of [`TOP`]: a subtree has cost at least what any subtree in it has, so one that is
//! inside of [`TOP`] others is never among the costliest [`TOP`]. Pure.

mod closing;

use crate::collections::HashMap;

use super::{
    chain::{Before, Course, CriticalChain},
    charges::Charges,
    commands::{Commands, Costliest, Name, Names, TOP},
    cost::{Cost, Sampled, Seen},
    subtrees::{Subtree, Subtrees},
    waiting::{Left, Waiting},
};
use crate::{
    event::{Exec, Fork},
    units::{BootNs, ProcKey, Process},
};

/// What all accounts come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Commands.
    pub costliest: Costliest,
    /// Processes with descendants, those whose subtrees have taken the most CPU time first.
    pub subtrees: Vec<Subtree>,
    /// The root's, once it has ended.
    pub chain: Option<CriticalChain>,
    /// Those whose end was not seen, as of their last rows.
    pub alive: Cost,
    /// All that have ended and whose end was seen.
    pub ended: Cost,
}

/// All accounts.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// In boxes: a table has room for up to four times as many as are in it.
    entries: HashMap<ProcKey, Box<Entry>>,
    /// The living by their pid in the observer's namespace, for rows.
    by_tgid: HashMap<u32, ProcKey>,
    names: Names,
    commands: Commands,
    subtrees: Subtrees,
    root: Option<ProcKey>,
    chain: Option<CriticalChain>,
    lost: Cost,
    /// The processes that tracer itself is the parent of.
    ours: Charges,
    waiting: Waiting,
    ended: Cost,
}

/// One process, and what those below it that have ended came to.
#[derive(Debug, Clone)]
struct Entry {
    process: Process,
    command: Name,
    depth: u32,
    /// Whose subtree this one is a part of.
    above: Option<ProcKey>,
    /// Itself until all is known of it, and the entries and deep processes below that are open.
    open: u64,
    /// Whose account it goes to: its own, or that of an ancestor when it is too deep to have one.
    account: ProcKey,
    /// `None` before anything in its subtree has ended.
    sums: Option<Box<Sums>>,
    stage: Stage,
}

/// What has ended in a subtree.
#[derive(Debug, Clone, Default)]
struct Sums {
    /// All of it, the process itself once it has.
    cost: Cost,
    /// Its children.
    charges: Charges,
}

/// How far it has come.
#[derive(Debug, Clone)]
enum Stage {
    Lives(Life, Course),
    /// It has ended, and its account may still come.
    Waits(Left),
    /// All is known of it.
    Over,
}

/// What is known of a living process.
#[derive(Debug, Clone, Copy)]
struct Life {
    /// Who is told of its end, as of its birth.
    parent: Option<ProcKey>,
    /// Images it had before the one it has.
    images_before: u32,
    /// It executed something since its birth here.
    has_executed: bool,
    adopted: bool,
    sampled: Sampled,
}

impl Entry {
    fn sums(&mut self) -> &mut Sums {
        self.sums.get_or_insert_default()
    }

    fn lives(&self) -> bool {
        matches!(self.stage, Stage::Lives(..))
    }

    fn waits(&self) -> bool {
        matches!(self.stage, Stage::Waits(_))
    }

    fn living(&mut self) -> Option<(&mut Life, &mut Course)> {
        match &mut self.stage {
            Stage::Lives(life, course) => Some((life, course)),
            Stage::Waits(_) | Stage::Over => None,
        }
    }

    /// It has ended.
    fn lives_no_longer(&mut self) -> Option<(Life, Course)> {
        if !self.lives() {
            return None;
        }
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Lives(life, course) => Some((life, course)),
            Stage::Waits(_) | Stage::Over => None,
        }
    }

    /// Nothing more is to come.
    fn waits_no_longer(&mut self) -> Option<Left> {
        match self.stage {
            Stage::Waits(left) => {
                self.stage = Stage::Over;
                Some(left)
            }
            Stage::Lives(..) | Stage::Over => None,
        }
    }

    /// What comes before the life of a child that is born now.
    fn before_child(&self) -> Option<Before> {
        match &self.stage {
            Stage::Lives(_, course) => Some(course.before_child(&self.command)),
            Stage::Waits(_) | Stage::Over => None,
        }
    }
}

/// Whose child a process is.
#[derive(Default)]
struct Place {
    parent: Option<ProcKey>,
    /// Whose account has its subtree, and the depth of whoever made it.
    above: Option<(ProcKey, u32)>,
    before: Option<Before>,
}

impl Ledger {
    /// A process that is not in the ledger was made or found.
    pub fn born(&mut self, fork: &Fork) {
        if self.entries.contains_key(&fork.child.key) {
            self.parents_known(fork);
            return;
        }
        let (creator_key, parent_key) = (fork.creator.key, fork.parent.key);
        let creator = self.entries.get(&creator_key);
        let command = match creator.filter(|_| !fork.adopted) {
            // It goes on with its creator's program.
            Some(creator) => Name::clone(&creator.command),
            None => self.names.of_comm(fork.comm),
        };
        let parent = if parent_key == creator_key {
            creator
        } else {
            self.entries.get(&parent_key)
        };
        let above = creator.filter(|creator| creator.lives());
        let place = Place {
            parent: Some(parent_key),
            above: above.map(|creator| (creator.account, creator.depth)),
            before: parent.and_then(|parent| parent.before_child()),
        };
        self.enter(fork.child, place, command, fork.adopted);
    }

    fn enter(&mut self, process: Process, place: Place, command: Name, adopted: bool) {
        let key = process.key;
        let depth = place.above.map_or(0, |(_, depth)| depth.saturating_add(1));
        let above = place.above.map(|(account, _)| account);
        // A deep one has an entry of its own while it lives, and its account above.
        let is_deep = depth as usize >= TOP;
        let account = above.filter(|_| is_deep).unwrap_or(key);
        if let Some(above) = above.and_then(|above| self.entries.get_mut(&above)) {
            above.open += 1;
        }
        let life = Life {
            parent: place.parent,
            images_before: 0,
            has_executed: false,
            adopted,
            sampled: Sampled::default(),
        };
        let course = Course::born(key.start, place.before);
        self.by_tgid.insert(process.tgid.0, key);
        let entry = Entry {
            process,
            command,
            depth,
            above,
            open: 1,
            account,
            sums: None,
            stage: Stage::Lives(life, course),
        };
        self.entries.insert(key, Box::new(entry));
    }

    /// The fork of a process that showed itself before: its place is known now.
    fn parents_known(&mut self, fork: &Fork) {
        let key = fork.child.key;
        let account = self
            .entries
            .get(&fork.creator.key)
            .filter(|_| fork.creator.key != key)
            .filter(|creator| creator.lives())
            .map(|creator| (creator.account, creator.depth));
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        if let Some((life, _)) = entry.living() {
            life.adopted = fork.adopted;
        }
        if let Some((above, depth)) = account
            && entry.above.is_none()
            && above != key
        {
            entry.above = Some(above);
            entry.depth = depth.saturating_add(1);
            if let Some(above) = self.entries.get_mut(&above) {
                above.open += 1;
            }
        }
    }

    /// A process executed a program.
    pub fn executed(&mut self, t: BootNs, exec: &Exec) {
        let name = self.names.of_exec(exec);
        self.commands.executed(&name);
        let key = exec.process.key;
        if !self.entries.contains_key(&key) {
            let command = self.names.of_comm(exec.comm);
            self.enter(exec.process, Place::default(), command, true);
        }
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        let before = std::mem::replace(&mut entry.command, name);
        if let Some((life, course)) = entry.living() {
            course.changes(t, &before);
            life.images_before += u32::from(life.has_executed || life.adopted);
            life.has_executed = true;
        }
    }

    /// A row of the process that has this pid in the observer's namespace. `is_it` tells by its start
    /// whether a process is the one: the pid may have been given to another meanwhile.
    pub fn row(&mut self, pid: u32, is_it: impl Fn(BootNs) -> bool, seen: &Seen) {
        if let Some(key) = self.by_tgid.get(&pid)
            && is_it(key.start)
            && let Some(entry) = self.entries.get_mut(key)
            && let Some((life, _)) = entry.living()
        {
            life.sampled.take(seen);
        }
    }

    /// Whose chain is wanted.
    pub fn root(&mut self, root: ProcKey) {
        self.root = Some(root);
    }

    /// The root was held until now.
    pub fn released(&mut self, t: BootNs) {
        let root = self.root.and_then(|root| self.entries.get_mut(&root));
        if let Some((_, course)) = root.and_then(|root| root.living()) {
            course.released(t);
        }
    }

    /// Entries: of the living, and of the dead above them.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.entries.len()
    }

    /// Commands it has an account of.
    #[must_use]
    pub fn commands(&self) -> usize {
        self.commands.accounts()
    }

    /// What it all comes to; who lives is counted with what the last row said. `ours_us`: user and system
    /// time that tracer was charged for what it waited for.
    #[must_use]
    pub fn report(mut self, ours_us: Option<(u64, u64)>) -> Report {
        while let Some(key) = self.waits_longest() {
            self.resolve(key, None);
        }
        let mut ours = std::mem::take(&mut self.ours);
        ours.charged_us = ours_us;
        if let Some(late) = ours.settle() {
            self.charge(&late);
            // The root is one of them, and has everything in its subtree.
            self.subtrees.charge_root(&late.sum);
        }
        let mut alive = self.lost;
        let living = self.entries.iter();
        let living = living.filter(|(_, entry)| entry.lives());
        let living: Vec<ProcKey> = living.map(|(key, _)| *key).collect();
        for key in living {
            if let Some(cost) = self.leave_unseen(BootNs(0), key) {
                alive.add(&cost);
            }
        }
        Report {
            costliest: self.commands.costliest(),
            subtrees: self.subtrees.all(),
            chain: self.chain,
            alive,
            ended: self.ended,
        }
    }
}
