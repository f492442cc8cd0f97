//! The processes of a session for people: the first, the last, the costliest, and how many were left out.
//!
//! Pure. However many processes a session had, what is kept is a few, and those that are alive. The
//! journal has them all.

use crate::collections::HashMap;
use std::collections::{BTreeMap, VecDeque};

use crate::{
    event::{Account, EventKind, Exec, Exit},
    session::journal::record::Body,
    units::{BootNs, Comm, ProcKey, Process},
    verdict::WaitStatus,
};

/// Processes in a list of the costliest.
const TOP: usize = 5;
/// Ended ones whose accounts may still come; beyond that the oldest is ranked by its exit record.
const WAITING_MAX: usize = 1024;

/// One process, as far as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lived {
    /// Which.
    pub process: Process,
    /// Its parent's pid; `None` when its fork was lost.
    pub ppid: Option<u32>,
    /// Its name.
    pub comm: Comm,
    /// What it executed last; empty when it never did.
    pub argv: Vec<Vec<u8>>,
    /// When it was seen first.
    pub born: BootNs,
    /// How it ended; `None` while it has not, or when that was lost.
    pub ended: Option<Ended>,
}

/// How a process ended, and what it cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Its raw wait status.
    pub status: WaitStatus,
    /// Wall time, ns.
    pub wall_ns: u64,
    /// CPU time, user and system, µs.
    pub cpu_us: u64,
    /// Peak resident set, KiB.
    pub peak_rss_kb: u64,
}

/// The processes of a session, as many as were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overview {
    /// The first ones.
    pub head: Vec<Lived>,
    /// How many are left out between the two.
    pub left_out: u64,
    /// The last ones, and the root where it is not among the first.
    pub tail: Vec<Lived>,
    /// All there were.
    pub total: u64,
    /// Those with the most CPU time, most first.
    pub by_cpu: Vec<Lived>,
    /// Those with the largest peak, largest first.
    pub by_rss: Vec<Lived>,
}

/// Gathers them, record by record.
#[derive(Debug)]
pub struct Processes {
    head: u64,
    tail: u64,
    root_pid: u32,
    root: Option<u64>,
    total: u64,
    /// By identity, with the place in the order of birth.
    alive: HashMap<ProcKey, (u64, Lived)>,
    /// Ended ones that may be shown.
    kept: BTreeMap<u64, Lived>,
    /// Ended ones that are in no order yet, with their places: their accounts may still come.
    waiting: VecDeque<(u64, Lived)>,
    by_cpu: Vec<Lived>,
    by_rss: Vec<Lived>,
}

impl Processes {
    /// At most `most` of them, the root included; 0 is all. The root is the first process of this pid.
    #[must_use]
    pub fn new(most: usize, root_pid: u32) -> Self {
        let most = if most == 0 { u64::MAX } else { most as u64 };
        Self {
            head: most.div_ceil(2),
            tail: most / 2,
            root_pid,
            root: None,
            total: 0,
            alive: HashMap::default(),
            kept: BTreeMap::new(),
            waiting: VecDeque::new(),
            by_cpu: Vec::new(),
            by_rss: Vec::new(),
        }
    }

    /// Takes the next record.
    pub fn apply(&mut self, t: BootNs, body: &Body) {
        match body {
            Body::Event(EventKind::Fork(fork)) => {
                let ppid = Some(fork.parent.tgid.0);
                self.born(t, fork.child, ppid, fork.comm);
            }
            Body::Event(EventKind::Exec(exec)) => self.exec(t, exec),
            Body::Event(EventKind::Exit(exit)) => self.exit(t, exit),
            Body::Event(EventKind::Account(account)) => self.account(account),
            _ => {}
        }
    }

    fn born(&mut self, t: BootNs, process: Process, ppid: Option<u32>, comm: Comm) {
        if self.alive.contains_key(&process.key) {
            return;
        }
        let place = self.total;
        self.total += 1;
        if process.tgid.0 == self.root_pid && self.root.is_none() {
            self.root = Some(place);
        }
        let lived = Lived {
            process,
            ppid,
            comm,
            argv: Vec::new(),
            born: t,
            ended: None,
        };
        self.alive.insert(process.key, (place, lived));
        if let Some(leaving) = place.checked_sub(self.tail)
            && !self.is_shown(leaving)
        {
            self.kept.remove(&leaving);
        }
    }

    fn exec(&mut self, t: BootNs, exec: &Exec) {
        self.born(t, exec.process, None, exec.comm);
        if let Some((_, lived)) = self.alive.get_mut(&exec.process.key) {
            lived.comm = exec.comm;
            lived.argv.clone_from(&exec.argv);
        }
    }

    fn exit(&mut self, t: BootNs, exit: &Exit) {
        let parent = Some(exit.parent.tgid.0);
        self.born(t, exit.process, parent, exit.comm);
        let Some((place, mut lived)) = self.alive.remove(&exit.process.key) else {
            return;
        };
        let totals = &exit.totals;
        lived.comm = exit.comm;
        lived.ended = Some(Ended {
            status: WaitStatus(exit.status),
            wall_ns: totals.wall_ns,
            cpu_us: totals.cpu_user_us.saturating_add(totals.cpu_system_us),
            peak_rss_kb: totals.peak_rss_kb,
        });
        if self.is_shown(place) {
            self.kept.insert(place, lived.clone());
        }
        self.waiting.push_back((place, lived));
        if self.waiting.len() > WAITING_MAX
            && let Some((_, first)) = self.waiting.pop_front()
        {
            self.rank(&first);
        }
    }

    /// Nothing more comes on top of what it used.
    fn account(&mut self, account: &Account) {
        let key = account.process.key;
        let is_it = |(_, lived): &(u64, Lived)| lived.process.key == key;
        let found = self.waiting.iter().position(is_it);
        let Some((place, mut lived)) = found.and_then(|at| self.waiting.remove(at)) else {
            return;
        };
        if let Some(ended) = &mut lived.ended {
            let cpu_us = account.cpu_user_us.saturating_add(account.cpu_system_us);
            ended.cpu_us = ended.cpu_us.max(cpu_us);
        }
        if let Some(kept) = self.kept.get_mut(&place) {
            kept.ended = lived.ended;
        }
        self.rank(&lived);
    }

    fn rank(&mut self, lived: &Lived) {
        rank(&mut self.by_cpu, lived, |ended| ended.cpu_us);
        rank(&mut self.by_rss, lived, |ended| ended.peak_rss_kb);
    }

    /// Whether the process of this place would be shown if there came no more.
    fn is_shown(&self, place: u64) -> bool {
        place < self.head
            || place >= self.total.saturating_sub(self.tail)
            || self.root == Some(place)
    }

    /// What there is to show.
    #[must_use]
    pub fn finish(mut self) -> Overview {
        for (_, lived) in std::mem::take(&mut self.waiting) {
            self.rank(&lived);
        }
        let alive = std::mem::take(&mut self.alive);
        let living = alive
            .into_values()
            .filter(|(place, _)| self.is_shown(*place));
        self.kept.extend(living.collect::<Vec<_>>());
        let tail = self.kept.split_off(&self.head.min(self.total));
        let left_out = self.total - (self.kept.len() + tail.len()) as u64;
        Overview {
            head: self.kept.into_values().collect(),
            left_out,
            tail: tail.into_values().collect(),
            total: self.total,
            by_cpu: self.by_cpu,
            by_rss: self.by_rss,
        }
    }
}

/// Puts a process in its place among the costliest, if it is one of them.
fn rank(top: &mut Vec<Lived>, lived: &Lived, cost: impl Fn(&Ended) -> u64) {
    let cost = |lived: &Lived| lived.ended.as_ref().map_or(0, &cost);
    let place = top.partition_point(|other| cost(other) >= cost(lived));
    if place < TOP {
        top.insert(place, lived.clone());
        top.truncate(TOP);
    }
}
