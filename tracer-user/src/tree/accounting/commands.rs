//! What each command has cost: sums by the name of the program that a process executed last.
//!
//! The kernel keeps one account a process, whatever it executes one after the other. A process that
//! executed several programs is counted with its last one, and that it was is counted too.
//!
//! Memory is bounded, however many commands there are. When the table is full, those that are in no list of
//! the costliest go into one common rest. Nothing is lost of the sums; but a command that came after that
//! may have been there before, and what it is said to cost is the least it can have cost. Pure, and the
//! same for the same records: what goes is decided by figures and names alone.

use std::{cmp::Reverse, sync::Arc};

use super::cost::Cost;
use crate::collections::{HashMap, HashSet};
use crate::{event::Exec, units::Comm};

/// Commands in each list of the costliest.
pub const TOP: usize = 20;
/// Most commands with an account of their own.
const TABLE_MAX: usize = 2048;
/// Commands of each order that stay when the table is full.
const STAY: usize = 256;
/// Most names that are remembered for being shared.
const NAMES_MAX: usize = 4096;

/// The name of a command: any bytes, at most 255.
pub type Name = Arc<[u8]>;

/// What a process is called that has executed this: the file's name; where that says nothing, as in
/// `/proc/self/fd/3`, or is not known in full, the process's.
fn name_of(exec: &Exec) -> &[u8] {
    let path = exec.filename.as_slice();
    let hidden =
        exec.filename_truncated || path.starts_with(b"/proc/") || path.starts_with(b"/dev/fd");
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    if hidden || name.is_empty() {
        exec.comm.as_bytes()
    } else {
        &name[..name.len().min(255)]
    }
}

/// Names that are kept once for all who bear them.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(HashSet<Name>);

impl Names {
    pub(super) fn of_exec(&mut self, exec: &Exec) -> Name {
        self.get(name_of(exec))
    }

    pub(super) fn of_comm(&mut self, comm: Comm) -> Name {
        self.get(comm.as_bytes())
    }

    fn get(&mut self, name: &[u8]) -> Name {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        if self.0.len() >= NAMES_MAX {
            // Whoever bears one keeps it.
            self.0.clear();
        }
        let new = Name::from(name);
        self.0.insert(Arc::clone(&new));
        new
    }
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its name.
    pub name: Name,
    /// Sums over the processes that executed it last.
    pub cost: Cost,
    /// Times it was executed.
    pub execs: u64,
    /// Of its processes, those that executed something else before: its cost has theirs in it.
    pub after_others: u64,
    /// It may have been in the rest before: its figures are the least it can have.
    pub at_least: bool,
}

/// What has no account of its own any more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rest {
    /// Accounts that were given up; a name may be among them more than once.
    pub commands: u64,
    /// Their sums.
    pub cost: Cost,
    /// Their execs.
    pub execs: u64,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub struct Commands {
    table: HashMap<Name, Account>,
    rest: Rest,
}

#[derive(Debug, Clone, Default)]
struct Account {
    cost: Cost,
    execs: u64,
    after_others: u64,
    at_least: bool,
}

/// The costliest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Costliest {
    /// All that are in one of the lists, those with the most CPU time first.
    pub commands: Vec<Command>,
    /// Most CPU time first.
    pub by_cpu: Vec<Name>,
    /// Largest process first.
    pub by_peak_rss: Vec<Name>,
    /// Most processes first.
    pub by_count: Vec<Name>,
    /// Sums over the commands that are in none of the lists.
    pub rest: Rest,
}

impl Commands {
    /// It was executed once more.
    pub(super) fn executed(&mut self, name: &Name) {
        self.account(name, |account| account.execs += 1);
    }

    /// A process that executed it last has cost this.
    pub(super) fn add(&mut self, name: &Name, cost: &Cost, after_others: bool) {
        self.account(name, |account| {
            account.cost.add(cost);
            account.after_others += u64::from(after_others);
        });
    }

    /// Processes that executed it last have cost more than was known when they were added.
    pub(super) fn add_late(&mut self, name: &Name, cost: &Cost) {
        match self.table.get_mut(name) {
            Some(account) => account.cost.add(cost),
            None => self.add_rest(cost),
        }
    }

    /// Processes that are in no account any more, likewise.
    pub(super) fn add_rest(&mut self, cost: &Cost) {
        self.rest.cost.add(cost);
    }

    fn account(&mut self, name: &Name, change: impl FnOnce(&mut Account)) {
        if let Some(account) = self.table.get_mut(name) {
            return change(account);
        }
        if self.table.len() >= TABLE_MAX {
            self.make_room();
        }
        let mut account = Account {
            at_least: self.rest.commands > 0,
            ..Account::default()
        };
        change(&mut account);
        self.table.insert(Arc::clone(name), account);
    }

    /// Gives up the accounts of all that are not among the first of an order.
    fn make_room(&mut self) {
        let mut stay: HashSet<Name> = HashSet::default();
        for order in ORDERS {
            stay.extend(self.first(order, STAY));
        }
        let rest = &mut self.rest;
        self.table.retain(|name, account| {
            let stays = stay.contains(name);
            if !stays {
                rest.take(account);
            }
            stays
        });
    }

    /// The names with the highest figures, highest first; the same figures in the order of the names.
    fn first(&self, order: Order, most: usize) -> Vec<Name> {
        let mut names: Vec<(Reverse<u64>, &Name)> = self
            .table
            .iter()
            .map(|(name, account)| (Reverse(order(account)), name))
            .filter(|(figure, _)| figure.0 > 0)
            .collect();
        if names.len() > most {
            names.select_nth_unstable(most);
            names.truncate(most);
        }
        names.sort_unstable();
        names
            .into_iter()
            .map(|(_, name)| Arc::clone(name))
            .collect()
    }

    /// The costliest of each order.
    #[must_use]
    pub fn costliest(&self) -> Costliest {
        let [by_cpu, by_peak_rss, by_count] = ORDERS.map(|order| self.first(order, TOP));
        let listed: HashSet<&Name> = by_cpu.iter().chain(&by_peak_rss).chain(&by_count).collect();
        let mut commands = Vec::new();
        let mut rest = self.rest.clone();
        for (name, account) in &self.table {
            if listed.contains(name) {
                commands.push(Command {
                    name: Arc::clone(name),
                    cost: account.cost,
                    execs: account.execs,
                    after_others: account.after_others,
                    at_least: account.at_least,
                });
            } else {
                rest.take(account);
            }
        }
        commands.sort_unstable_by(|one, other| {
            let key =
                |command: &Command| (Reverse(command.cost.cpu_us()), Arc::clone(&command.name));
            key(one).cmp(&key(other))
        });
        Costliest {
            commands,
            by_cpu,
            by_peak_rss,
            by_count,
            rest,
        }
    }

    /// Commands with an account.
    #[must_use]
    pub fn accounts(&self) -> usize {
        self.table.len()
    }
}

impl Rest {
    fn take(&mut self, account: &Account) {
        self.commands += 1;
        self.cost.add(&account.cost);
        self.execs = self.execs.saturating_add(account.execs);
    }
}

type Order = fn(&Account) -> u64;

const ORDERS: [Order; 3] = [
    |account| account.cost.cpu_us(),
    |account| account.cost.peak_rss_kb,
    |account| account.cost.processes,
];
