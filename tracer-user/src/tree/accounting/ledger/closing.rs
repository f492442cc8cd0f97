//! How the account of a process is closed, and when an entry goes.
//!
//! A process that has ended waits for its closed account. Only when that has come, or is waited for no longer,
//! is the process counted, once. What its parent was charged beyond that is divided when the same is known
//! of all the parent's children, and then the parent's entry may go as well.

use super::{Entry, Ledger, Living};
use crate::{
    event::{Account, Exit},
    tree::accounting::{
        chain::Ended,
        charges::{Charges, Late},
        commands::Name,
        cost::Cost,
        subtrees::Subtree,
        waiting::{Left, Payer},
    },
    units::{BootNs, ProcKey},
};

impl Ledger {
    /// A process ended. `is_ours`: tracer is its parent.
    pub fn ended(&mut self, t: BootNs, exit: &Exit, is_ours: bool) {
        let cost = Cost::from(&exit.totals);
        let (key, parent) = (exit.process.key, exit.parent.key);
        let lives = |entry: &Entry| entry.living.is_some();
        let payer = match self.entries.get(&parent) {
            _ if is_ours => Payer::Tracer,
            Some(entry) if parent != key && lives(entry) => Payer::Process(parent),
            _ => Payer::Nobody,
        };
        let children_us = exit.totals.children_cpu_us;
        if let Some(charges) = self.charges(payer) {
            charges.ended(children_us);
        }
        let Some((living, ended)) = self.leave(t, key) else {
            // Nothing of it was seen before.
            let entry = self.entries.get(&key);
            let name = entry.map(|entry| Name::clone(&entry.command));
            let name = name.unwrap_or_else(|| self.names.of_comm(exit.comm));
            self.count(&name, &cost, false);
            if let Some(charges) = self.charges(payer) {
                charges.given_up(&name, &cost);
            }
            return;
        };
        if self.root == Some(key) {
            self.chain = Some(ended.chain());
        }
        if living.parent == Some(parent)
            && let Some(parent) = self.entries.get_mut(&parent)
            && let Some(waiting) = &mut parent.living
        {
            waiting.course.child_ended(ended);
        }
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.is_waiting = true;
            // What was there before tracer may have had children before.
            entry.charges.charged_us = children_us.filter(|_| !living.adopted);
        }
        self.finish(key);
        let left = Left {
            cost,
            after_others: living.images_before > 0,
            payer,
        };
        if let Some((key, left)) = self.waiting.add(key, left) {
            self.resolve(key, &left, None);
        }
    }

    /// The account of a process is closed. Of one that does not wait for it any more, or never did, all that
    /// counts has been said.
    pub fn closed(&mut self, account: &Account) {
        let key = account.process.key;
        if let Some(left) = self.waiting.take(key) {
            self.resolve(key, &left, left.cost.closed(account));
        }
    }

    /// It is known what a process has cost: `closed`, or if that is not to be had what its exit event said.
    pub(super) fn resolve(&mut self, key: ProcKey, left: &Left, closed: Option<Cost>) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        entry.is_waiting = false;
        let (name, account) = (Name::clone(&entry.command), entry.account);
        let cost = closed.unwrap_or(left.cost);
        self.count(&name, &cost, left.after_others);
        if let Some(entry) = self.entries.get_mut(&account) {
            entry.cost.add(&cost);
        }
        if let Some(charges) = self.charges(left.payer) {
            match closed {
                Some(_) => charges.closed(&cost),
                None => charges.given_up(&name, &cost),
            }
        }
        self.finish(key);
        if let Payer::Process(parent) = left.payer {
            self.finish(parent);
        }
    }

    fn count(&mut self, name: &Name, cost: &Cost, after_others: bool) {
        self.commands.add(name, cost, after_others);
        self.ended.add(cost);
    }

    fn charges(&mut self, payer: Payer) -> Option<&mut Charges> {
        match payer {
            Payer::Tracer => Some(&mut self.ours),
            Payer::Process(key) => Some(&mut self.entries.get_mut(&key)?.charges),
            Payer::Nobody => None,
        }
    }

    /// A process that has ended goes, if all is known of it and of the children it was charged for.
    fn finish(&mut self, key: ProcKey) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        if entry.living.is_some() || !entry.charges.is_settled() {
            return;
        }
        let (account, is_waiting) = (entry.account, entry.is_waiting);
        if let Some(late) = std::mem::take(&mut entry.charges).settle() {
            if let Some(entry) = self.entries.get_mut(&account) {
                entry.cost.add(&late.sum);
            }
            self.charge(&late);
        }
        if is_waiting {
            return;
        }
        if account != key {
            self.entries.remove(&key);
        }
        self.close(account);
    }

    pub(super) fn charge(&mut self, late: &Late) {
        for (name, cost) in &late.names {
            self.commands.add_late(name, cost);
        }
        self.commands.add_rest(&late.others);
        self.ended.add(&late.sum);
    }

    /// A process has ended, and its exit event was lost.
    pub fn end_lost(&mut self, t: BootNs, key: ProcKey) {
        if let Some(cost) = self.leave_unseen(t, key) {
            self.lost.add(&cost);
        }
    }

    /// Takes a process as of its last row, which is what it is counted with.
    pub(super) fn leave_unseen(&mut self, t: BootNs, key: ProcKey) -> Option<Cost> {
        let (living, _) = self.leave(t, key)?;
        let cost = living.sampled.cost();
        let entry = self.entries.get(&key)?;
        let (name, account) = (Name::clone(&entry.command), entry.account);
        self.commands.add(&name, &cost, living.images_before > 0);
        if let Some(entry) = self.entries.get_mut(&account) {
            entry.cost.add(&cost);
        }
        self.finish(key);
        Some(cost)
    }

    /// A process lives no longer.
    fn leave(&mut self, t: BootNs, key: ProcKey) -> Option<(Living, Ended)> {
        let entry = self.entries.get_mut(&key)?;
        let living = *entry.living.take()?;
        let tgid = entry.process.tgid.0;
        if self.by_tgid.get(&tgid) == Some(&key) {
            self.by_tgid.remove(&tgid);
        }
        let course = living.course.clone();
        let ended = course.ended(t, entry.process, &entry.command);
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
}
