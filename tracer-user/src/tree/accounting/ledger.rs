//! The account of every process, by command and by subtree, and the root's critical chain.
//!
//! A process is entered at its birth and closed once: at its end with the kernel's totals, or, where the
//! end is not seen, with what its last row said. Who made whom never changes, whatever process the kernel
//! gives an orphan to, so a subtree is a process and all that it and they made.
//!
//! Memory is that of the living. A process that has ended is kept only while somebody below it lives, and
//! only to a depth of [`TOP`]: a subtree has cost at least what any subtree in it has, so one that is
//! inside of [`TOP`] others is never among the costliest [`TOP`]. Pure.

use crate::collections::HashMap;

use super::{
    chain::{Course, CriticalChain, Ended},
    charges::{Charges, Late},
    commands::{Commands, Costliest, Name, Names, TOP},
    cost::{Cost, Sampled, Seen},
    subtrees::{Subtree, Subtrees},
};
use crate::{
    event::{Exec, Exit, Fork},
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
    /// What came on top of the exit events.
    pub late: Cost,
}

/// All accounts.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    entries: HashMap<ProcKey, Entry>,
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
    late: Cost,
}

/// One process, and what those below it that have ended came to.
#[derive(Debug, Clone)]
struct Entry {
    process: Process,
    command: Name,
    depth: u32,
    /// Whose subtree this one is a part of.
    above: Option<ProcKey>,
    /// Sums of what has ended, the process itself once it has.
    cost: Cost,
    /// Itself while it lives, and the entries and deep processes below that are open.
    open: u64,
    living: Option<Box<Living>>,
}

#[derive(Debug, Clone)]
struct Living {
    /// Whose account it goes to: its own, or that of an ancestor when it is too deep to have one.
    account: ProcKey,
    /// Who is told of its end, as of its birth.
    parent: Option<ProcKey>,
    /// Images it had before the one it has.
    images_before: u32,
    /// It executed something since its birth here.
    has_executed: bool,
    adopted: bool,
    sampled: Sampled,
    /// Its children that have ended.
    charges: Charges,
    course: Course,
}

impl Ledger {
    /// A process that is not in the ledger was made or found.
    pub fn born(&mut self, fork: &Fork) {
        if self.entries.contains_key(&fork.child.key) {
            self.parents_known(fork);
            return;
        }
        let creator = self.entries.get(&fork.creator.key);
        let command = match creator.filter(|_| !fork.adopted) {
            // It goes on with its creator's program.
            Some(creator) => Name::clone(&creator.command),
            None => self.names.of_comm(fork.comm),
        };
        let creator = Some(fork.creator.key);
        self.enter(
            fork.child,
            creator,
            Some(fork.parent.key),
            command,
            fork.adopted,
        );
    }

    fn enter(
        &mut self,
        process: Process,
        creator: Option<ProcKey>,
        parent: Option<ProcKey>,
        command: Name,
        adopted: bool,
    ) {
        let key = process.key;
        let above = creator.and_then(|creator| {
            let entry = self.entries.get(&creator)?;
            let living = entry.living.as_ref()?;
            Some((living.account, entry.depth))
        });
        let depth = above.map_or(0, |(_, depth)| depth.saturating_add(1));
        let above = above.map(|(account, _)| account);
        // A deep one has an entry of its own while it lives, and its account above.
        let is_deep = depth as usize >= TOP;
        let account = above.filter(|_| is_deep).unwrap_or(key);
        if let Some(above) = above.and_then(|above| self.entries.get_mut(&above)) {
            above.open += 1;
        }
        let parent_course = parent.and_then(|parent| {
            let entry = self.entries.get(&parent)?;
            Some((&entry.living.as_ref()?.course, &entry.command))
        });
        let course = Course::born(key.start, parent_course);
        let living = Living {
            account,
            parent,
            images_before: 0,
            has_executed: false,
            adopted,
            sampled: Sampled::default(),
            charges: Charges::default(),
            course,
        };
        self.by_tgid.insert(process.tgid.0, key);
        let entry = Entry {
            process,
            command,
            depth,
            above,
            cost: Cost::default(),
            open: 1,
            living: Some(Box::new(living)),
        };
        self.entries.insert(key, entry);
    }

    /// The fork of a process that showed itself before: its place is known now.
    fn parents_known(&mut self, fork: &Fork) {
        let key = fork.child.key;
        let account = self
            .entries
            .get(&fork.creator.key)
            .filter(|_| fork.creator.key != key)
            .and_then(|creator| Some((creator.living.as_ref()?.account, creator.depth)));
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        if let Some(living) = &mut entry.living {
            living.adopted = fork.adopted;
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
            self.enter(exec.process, None, None, command, true);
        }
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        if let Some(living) = &mut entry.living {
            living.course.changes(t, &entry.command);
            living.images_before += u32::from(living.has_executed || living.adopted);
            living.has_executed = true;
        }
        entry.command = name;
    }

    /// A process ended. `is_ours`: tracer is its parent.
    pub fn ended(&mut self, t: BootNs, exit: &Exit, is_ours: bool) {
        let cost = Cost::from(&exit.totals);
        let key = exit.process.key;
        let name = self
            .entries
            .get(&key)
            .map(|entry| Name::clone(&entry.command));
        let name = name.unwrap_or_else(|| self.names.of_comm(exit.comm));
        let children_us = exit.totals.children_cpu_us;
        if is_ours {
            self.ours.add(&name, &cost, children_us);
        } else if let Some(parent) = self.entries.get_mut(&exit.parent.key)
            && let Some(waiting) = &mut parent.living
        {
            waiting.charges.add(&name, &cost, children_us);
        }
        self.settle(key, children_us);
        let Some((living, ended)) = self.leave(t, key, &cost) else {
            // Nothing of it was seen before.
            self.commands.add(&name, &cost, false);
            return;
        };
        if self.root == Some(key) {
            self.chain = Some(ended.chain());
        }
        let parent = exit.parent.key;
        if living.parent == Some(parent)
            && let Some(parent) = self.entries.get_mut(&parent)
            && let Some(waiting) = &mut parent.living
        {
            waiting.course.child_ended(ended);
        }
    }

    /// A process is about to end that was charged so much for its children.
    fn settle(&mut self, key: ProcKey, children_us: Option<(u64, u64)>) {
        let Some(living) = self
            .entries
            .get_mut(&key)
            .and_then(|entry| entry.living.as_mut())
        else {
            return;
        };
        let charges = std::mem::take(&mut living.charges);
        let account = living.account;
        // What was there before tracer may have had children before.
        let known = children_us.filter(|_| !living.adopted);
        let Some(late) = known.and_then(|known| charges.settle(known)) else {
            return;
        };
        if let Some(entry) = self.entries.get_mut(&account) {
            entry.cost.add(&late.sum);
        }
        self.charge(&late);
    }

    fn charge(&mut self, late: &Late) {
        for (name, cost) in &late.names {
            self.commands.add_late(name, cost);
        }
        self.commands.add_rest(&late.others);
        self.late.add(&late.sum);
    }

    /// A process has ended, and its exit event was lost.
    pub fn end_lost(&mut self, t: BootNs, key: ProcKey) {
        let living = |entry: &Entry| Some(entry.living.as_ref()?.sampled.cost());
        if let Some(cost) = self.entries.get(&key).and_then(living) {
            self.lost.add(&cost);
            self.leave(t, key, &cost);
        }
    }

    /// Closes the account of a living process.
    fn leave(&mut self, t: BootNs, key: ProcKey, cost: &Cost) -> Option<(Living, Ended)> {
        let entry = self.entries.get_mut(&key)?;
        let living = *entry.living.take()?;
        let tgid = entry.process.tgid.0;
        if self.by_tgid.get(&tgid) == Some(&key) {
            self.by_tgid.remove(&tgid);
        }
        self.commands
            .add(&entry.command, cost, living.images_before > 0);
        let course = living.course.clone();
        let ended = course.ended(t, entry.process, &entry.command);
        let account = living.account;
        if account == key {
            entry.cost.add(cost);
            self.close(key);
        } else {
            self.entries.remove(&key);
            if let Some(entry) = self.entries.get_mut(&account) {
                entry.cost.add(cost);
            }
            self.close(account);
        }
        Some((living, ended))
    }

    /// One less is open in this entry; one with none left goes, and is one less in that above.
    fn close(&mut self, key: ProcKey) {
        let mut next = Some(key);
        while let Some(key) = next {
            let Some(entry) = self.entries.get_mut(&key) else {
                return;
            };
            entry.open -= 1;
            if entry.open > 0 {
                return;
            }
            let Some(entry) = self.entries.remove(&key) else {
                return;
            };
            next = entry.above;
            if let Some(above) = next.and_then(|above| self.entries.get_mut(&above)) {
                above.cost.add(&entry.cost);
            }
            self.subtrees.rank(Subtree {
                process: entry.process,
                command: entry.command,
                depth: entry.depth,
                cost: entry.cost,
            });
        }
    }

    /// A row of the process that has this pid in the observer's namespace. `is_it` tells by its start
    /// whether a process is the one: the pid may have been given to another meanwhile.
    pub fn row(&mut self, pid: u32, is_it: impl Fn(BootNs) -> bool, seen: &Seen) {
        if let Some(key) = self.by_tgid.get(&pid)
            && is_it(key.start)
            && let Some(entry) = self.entries.get_mut(key)
            && let Some(living) = &mut entry.living
        {
            living.sampled.take(seen);
        }
    }

    /// Whose chain is wanted.
    pub fn root(&mut self, root: ProcKey) {
        self.root = Some(root);
    }

    /// The root was held until now.
    pub fn released(&mut self, t: BootNs) {
        let root = self.root.and_then(|root| self.entries.get_mut(&root));
        if let Some(living) = root.and_then(|root| root.living.as_mut()) {
            living.course.released(t);
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
        let ours = std::mem::take(&mut self.ours);
        if let Some(late) = ours_us.and_then(|ours_us| ours.settle(ours_us)) {
            self.charge(&late);
            // The root is one of them, and has everything in its subtree.
            self.subtrees.charge_root(&late.sum);
        }
        let mut alive = self.lost;
        let living: Vec<(ProcKey, Cost)> = self
            .entries
            .iter()
            .filter_map(|(key, entry)| Some((*key, entry.living.as_ref()?.sampled.cost())))
            .collect();
        for (key, cost) in living {
            alive.add(&cost);
            self.leave(BootNs(0), key, &cost);
        }
        Report {
            costliest: self.commands.costliest(),
            subtrees: self.subtrees.all(),
            chain: self.chain,
            alive,
            late: self.late,
        }
    }
}
