//! What can be known only after an end: what was lost around it, what memory there was when the OOM
//! killer chose, where a core went.
//!
//! User space finds these out and writes them down as notes; here they are read back as evidence.

use std::collections::VecDeque;

use super::unseen::Unseen;
use crate::units::{BootNs, Process};

/// Notes of one kind that are remembered.
const NOTES_MAX: usize = 64;

/// Whom a note is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// Its pid.
    pub pid: u32,
    /// Its start.
    pub start: BootNs,
}

impl About {
    fn is(self, process: Process) -> bool {
        self.pid == process.tgid.0 && self.start == process.key.start
    }
}

/// Whose memory was used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// A cgroup's.
    Cgroup,
    /// The machine's.
    Machine,
    /// That of the nodes it was bound to, by `cpuset(7)` or `mbind(2)`.
    Nodes,
}

/// Memory as it was when the OOM killer chose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OomScene {
    /// The note.
    pub seq: u64,
    /// The cgroup whose limit was reached, or that of the victim.
    pub cgroup: Option<String>,
    /// Whose memory was used up; `None` when nothing says so.
    pub scope: Option<Scope>,
    /// The limit, KiB.
    pub limit_kb: Option<u64>,
    /// What was used, KiB.
    pub usage_kb: Option<u64>,
    /// All of the cgroup was killed (`memory.oom.group`).
    pub group: bool,
    /// OOM kills in that cgroup when tracing began, where that was read.
    pub kills_before: Option<u64>,
    /// OOM kills in that cgroup with this one.
    pub kills_now: Option<u64>,
}

/// Where a core went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorePlace {
    /// A file that was there.
    File(String),
    /// Into a program.
    Piped(String),
    /// Not known.
    Unknown,
}

/// A core that was dumped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreSeen {
    /// The note.
    pub seq: u64,
    /// Where it went.
    pub place: CorePlace,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Aftermath {
    /// When something may have been missed.
    pub unseen: Unseen,
    ooms: VecDeque<(About, OomScene)>,
    cores: VecDeque<(About, CoreSeen)>,
}

impl Aftermath {
    /// A note on an OOM kill.
    pub fn oom(&mut self, about: About, scene: OomScene) {
        push(&mut self.ooms, (about, scene));
    }

    /// A note on a core.
    pub fn core(&mut self, about: About, core: CoreSeen) {
        push(&mut self.cores, (about, core));
    }

    /// What is known of an OOM kill.
    #[must_use]
    pub fn oom_of(&self, victim: Process) -> Option<&OomScene> {
        let found = self.ooms.iter().rev().find(|(about, _)| about.is(victim));
        found.map(|(_, scene)| scene)
    }

    /// What is known of a core.
    #[must_use]
    pub fn core_of(&self, process: Process) -> Option<&CoreSeen> {
        let found = self.cores.iter().rev().find(|(about, _)| about.is(process));
        found.map(|(_, core)| core)
    }
}

fn push<T>(notes: &mut VecDeque<T>, note: T) {
    if notes.len() == NOTES_MAX {
        notes.pop_front();
    }
    notes.push_back(note);
}
