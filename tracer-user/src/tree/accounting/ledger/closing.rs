//! How the account of a process is closed, and when an entry goes.
//!
//! A process that has ended waits for its closed account. Only when that has come, or is waited for no longer,
//! is the process counted, once. What its parent was charged beyond that is divided when the same is known
//! of all the parent's children, and then the parent's entry may go as well.

use super::{Entry, Ledger, Life, Stage, Sums};
use crate::{
    collections::{HashMap, remove_if},
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
        let children_us = exit.totals.children_cpu_us;
        let payer = match self.entries.get_mut(&parent) {
            _ if is_ours => {
                self.ours.ended(children_us);
                Payer::Tracer
            }
            Some(entry) if parent != key && entry.lives() => {
                entry.sums().charges.ended(children_us);
                Payer::Process(parent)
            }
            _ => Payer::Nobody,
        };
        let Some((entry, life, ended)) = self.leave(t, key) else {
            // Nothing of it was seen before.
            let entry = self.entries.get(&key);
            let name = entry.map(|entry| Name::clone(&entry.command));
            let name = name.unwrap_or_else(|| self.names.of_comm(exit.comm));
            self.commands.add(&name, &cost, false);
            self.ended.add(&cost);
            if let Some(charges) = self.charges(payer) {
                charges.given_up(&name, &cost);
            }
            return;
        };
        if let Some(sums) = &mut entry.sums {
            // What was there before tracer may have had children before.
            sums.charges.charged_us = children_us.filter(|_| !life.adopted);
        }
        entry.stage = Stage::Waits(Left {
            cost,
            after_others: life.images_before > 0,
            payer,
        });
        if self.root == Some(key) {
            self.chain = Some(ended.chain());
        }
        if life.parent == Some(parent)
            && let Some(parent) = self.entries.get_mut(&parent)
            && let Some((_, course)) = parent.living()
        {
            course.child_ended(ended);
        }
        self.finish(key);
        if let Some(key) = self.waiting.add(key, waits_in(&self.entries)) {
            self.resolve(key, None);
        }
    }

    /// The account of a process is closed. Of one that does not wait for it any more, or never did, all that
    /// counts has been said.
    pub fn closed(&mut self, account: &Account) {
        self.resolve(account.process.key, Some(account));
    }

    pub(super) fn waits_longest(&mut self) -> Option<ProcKey> {
        self.waiting.next(waits_in(&self.entries))
    }

    /// It is known what a process that waited has cost: its account says it, or if that is not to be had its exit
    /// event did.
    pub(super) fn resolve(&mut self, key: ProcKey, account: Option<&Account>) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        let Some(left) = entry.waits_no_longer() else {
            return;
        };
        self.waiting.gone();
        let closed = account.and_then(|account| left.cost.closed(account));
        let cost = closed.unwrap_or(left.cost);
        self.commands.add(&entry.command, &cost, left.after_others);
        self.ended.add(&cost);
        let given_up = closed.is_none().then(|| Name::clone(&entry.command));
        let account = entry.account;
        if account == key {
            entry.sums().cost.add(&cost);
        } else if let Some(above) = self.entries.get_mut(&account) {
            above.sums().cost.add(&cost);
        }
        if let Some(charges) = self.charges(left.payer) {
            match given_up {
                Some(name) => charges.given_up(&name, &cost),
                None => charges.closed(&cost),
            }
        }
        self.finish(key);
        if let Payer::Process(parent) = left.payer {
            self.finish(parent);
        }
    }

    fn charges(&mut self, payer: Payer) -> Option<&mut Charges> {
        match payer {
            Payer::Tracer => Some(&mut self.ours),
            Payer::Process(key) => Some(&mut self.entries.get_mut(&key)?.sums().charges),
            Payer::Nobody => None,
        }
    }

    /// A process that has ended goes, if all is known of it and of the children it was charged for.
    fn finish(&mut self, key: ProcKey) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        if entry.lives() {
            return;
        }
        let (account, is_waiting) = (entry.account, entry.waits());
        if let Some(Sums { charges, .. }) = entry.sums.as_deref_mut() {
            if !charges.is_settled() {
                return;
            }
            if charges.has_shares()
                && let Some(late) = std::mem::take(charges).settle()
            {
                if let Some(entry) = self.entries.get_mut(&account) {
                    entry.sums().cost.add(&late.sum);
                }
                self.charge(&late);
            }
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
        let (entry, life, _) = self.leave(t, key)?;
        let cost = life.sampled.cost();
        let (name, account) = (Name::clone(&entry.command), entry.account);
        self.commands.add(&name, &cost, life.images_before > 0);
        if let Some(entry) = self.entries.get_mut(&account) {
            entry.sums().cost.add(&cost);
        }
        self.finish(key);
        Some(cost)
    }

    /// A process lives no longer.
    fn leave(&mut self, t: BootNs, key: ProcKey) -> Option<(&mut Entry, Life, Ended)> {
        let entry = self.entries.get_mut(&key)?;
        let (life, course) = entry.lives_no_longer()?;
        let tgid = entry.process.tgid.0;
        remove_if(&mut self.by_tgid, tgid, |named| *named == key);
        let ended = course.ended(t, entry.process, &entry.command);
        Some((entry, life, ended))
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
            let cost = entry.sums.map(|sums| sums.cost).unwrap_or_default();
            next = entry.above;
            if let Some(above) = next.and_then(|above| self.entries.get_mut(&above)) {
                above.sums().cost.add(&cost);
            }
            self.subtrees.rank(Subtree {
                process: entry.process,
                command: entry.command,
                depth: entry.depth,
                cost,
            });
        }
    }
}

/// Whether one of them waits for its account.
fn waits_in(entries: &HashMap<ProcKey, Box<Entry>>) -> impl Fn(ProcKey) -> bool {
    |key| entries.get(&key).is_some_and(|entry| entry.waits())
}
