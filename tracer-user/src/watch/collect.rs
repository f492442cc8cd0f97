//! Looks for candidates in `/proc`, and never fails for it.
//!
//! Sources: `proc_pid_stat(5)`, `proc_pid_cmdline(5)`. A look reads what is new and what is a candidate;
//! of the rest it reads so many again, in turn, because a process may execute something else: what a look
//! costs does not grow with the machine. Never reads `environ`, and writes nowhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    alert::Kind,
    decide::{Key, Look, Sighting, Who},
    holders::{Redact, shown_cmdline},
    orphan::{Orphan, Orphans},
    patterns::Patterns,
};
use crate::{
    procfs::{Entry, ProcDir, ProcRoot, ReadEnd, stat::ProcStat},
    units::{BootNs, Tgid, Ticks},
};

/// Processes that are read again in one look although nothing is known to have changed.
const AGAIN: usize = 500;

/// What a session left behind, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftBy {
    /// The session's id.
    pub session: String,
    /// The command it was of.
    pub command: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A candidate, as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Who.
    pub who: Who,
    /// Its age; `None` when it cannot be known.
    pub age_s: Option<u64>,
    /// Its name.
    pub comm: String,
    /// Its command line, without secrets, cut.
    pub cmdline: String,
    /// What it does, such as `sleeping`.
    pub state: Option<&'static str>,
    /// Whose it is.
    pub uid: Option<u32>,
    /// CPU time since its start, in milliseconds.
    pub cpu_ms: u64,
    /// Of one CPU, since the last look; `None` at the first.
    pub cpu_percent: Option<u64>,
    /// The pattern it fits.
    pub pattern: Option<String>,
    /// The session that left it.
    pub left_by: Option<LeftBy>,
    /// The end of its parent, which was seen, and the followed tree it is of.
    pub orphan: Option<Orphan>,
}

impl Candidate {
    /// What it is told under.
    #[must_use]
    pub fn key(&self) -> Key {
        Key {
            kind: Kind::Orphan,
            who: self.who,
        }
    }
}

/// Where and when to look.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// Where.
    pub proc: &'a ProcRoot,
    /// The host's boot clock.
    pub now: BootNs,
    /// Whether the kernel says when it was booted: without that nothing has an age.
    pub has_ages: bool,
    /// What sessions have left.
    pub left: &'a HashMap<Who, LeftBy>,
    /// Who lives on although its parent was seen to end.
    pub orphans: &'a Orphans,
    /// Who has been told of and is not over.
    pub open: &'a BTreeSet<Who>,
}

/// What is known of a process that is none of ours to tell of.
#[derive(Debug, Clone, Copy)]
struct Known {
    ino: u64,
    is_candidate: bool,
    seen: u64,
    start: Ticks,
}

/// Looks, and remembers from look to look.
#[derive(Debug)]
pub struct Collector {
    patterns: Patterns,
    redact: Redact,
    known: HashMap<Tgid, Known>,
    /// CPU time of the candidates at the last look.
    used: HashMap<Who, (Ticks, BootNs)>,
    entries: Vec<Entry>,
    /// Where the reading of the rest goes on.
    turn: usize,
    looks: u64,
    /// Processes read in the last look.
    read: usize,
}

impl Collector {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(patterns: Patterns, redact: Redact) -> Self {
        Self {
            patterns,
            redact,
            known: HashMap::new(),
            used: HashMap::new(),
            entries: Vec::new(),
            turn: 0,
            looks: 0,
            read: 0,
        }
    }

    /// Processes that the last look has listed, and that it has read.
    #[must_use]
    pub fn extent(&self) -> (usize, usize) {
        (self.entries.len(), self.read)
    }

    /// Looks once.
    pub fn look(&mut self, scene: Scene<'_>) -> (Look, Vec<Candidate>) {
        self.looks += 1;
        self.read = 0;
        let mut look = Look::default();
        let mut entries = std::mem::take(&mut self.entries);
        let listed = scene.proc.list(&mut entries);
        if listed.is_err() {
            self.entries = entries;
            look.blind = true;
            return (look, Vec::new());
        }
        let mut candidates = Vec::new();
        let own = Tgid(std::process::id());
        let count = entries.len();
        let again = self.again(count);
        for (place, entry) in entries.iter().enumerate() {
            let known = self.known.get(&entry.tgid).copied();
            let fresh = known.filter(|known| known.ino == entry.ino);
            if let Some(known) = fresh
                && !known.is_candidate
                && !again(place)
                && !scene.left.contains_key(&who(entry.tgid, known.start))
                && !scene.orphans.contains_key(&who(entry.tgid, known.start))
            {
                self.seen(entry.tgid);
                continue;
            }
            if entry.tgid == own {
                continue;
            }
            self.read += 1;
            if let Ok(candidate) = self.read(scene, *entry) {
                candidates.extend(candidate);
            }
        }
        self.turn = self.turn.wrapping_add(AGAIN) % count.max(1);
        let looks = self.looks;
        self.known.retain(|_, known| known.seen == looks);
        self.entries = entries;
        for &who in scene.open {
            if !candidates.iter().any(|found| found.who == who) && is_hidden(scene.proc, who) {
                look.unknown.insert(who);
            }
        }
        self.measure(scene, &mut candidates);
        look.seen = candidates
            .iter()
            .map(|found| Sighting {
                key: found.key(),
                age_s: found.age_s,
            })
            .collect();
        (look, candidates)
    }

    /// Which places of the listing are read although nothing is known to have changed.
    fn again(&self, count: usize) -> impl Fn(usize) -> bool + use<> {
        let (from, to) = (self.turn, self.turn + AGAIN);
        move |place| (from..to).contains(&place) || place + count < to
    }

    fn seen(&mut self, tgid: Tgid) {
        let looks = self.looks;
        if let Some(known) = self.known.get_mut(&tgid) {
            known.seen = looks;
        }
    }

    fn read(&mut self, scene: Scene<'_>, entry: Entry) -> Result<Option<Candidate>, ReadEnd> {
        let dir = scene.proc.process(entry.tgid)?;
        let stat = dir.stat()?;
        // A leader that has ended has no command line; its other threads have it.
        let deputy = dir.deputy();
        let words = deputy.as_ref().unwrap_or(&dir).cmdline()?;
        let line = words.join(&b' ');
        let who = who(entry.tgid, stat.start_time);
        // What has ended, and what belongs to the kernel, has no words that could fit.
        let pattern = if line.is_empty() {
            None
        } else {
            self.patterns.find(&line)
        };
        let left_by = scene.left.get(&who).filter(|_| is_alive(&stat)).cloned();
        let orphan = scene.orphans.get(&who).filter(|_| is_alive(&stat)).cloned();
        let is_candidate = pattern.is_some() || left_by.is_some() || orphan.is_some();
        let known = Known {
            ino: entry.ino,
            is_candidate,
            seen: self.looks,
            start: stat.start_time,
        };
        self.known.insert(entry.tgid, known);
        if !is_candidate {
            return Ok(None);
        }
        let clk_tck = scene.proc.host().clk_tck.max(1);
        let age_s = scene
            .has_ages
            .then(|| age_s(scene.now, stat.start_time, clk_tck));
        Ok(Some(Candidate {
            who,
            age_s,
            comm: stat.comm.to_text(),
            cmdline: shown_cmdline(words, self.redact),
            state: stat.state.name(),
            uid: uid(&dir),
            cpu_ms: stat.cpu().0.saturating_mul(1000) / clk_tck,
            cpu_percent: None,
            pattern: pattern.map(|index| self.patterns.text(index).to_owned()),
            left_by,
            orphan,
        }))
    }

    /// What each has used since the last look.
    fn measure(&mut self, scene: Scene<'_>, candidates: &mut [Candidate]) {
        let clk_tck = scene.proc.host().clk_tck.max(1);
        let mut used = HashMap::with_capacity(candidates.len());
        for found in candidates {
            let cpu = Ticks(found.cpu_ms.saturating_mul(clk_tck) / 1000);
            if let Some(&(before, at)) = self.used.get(&found.who) {
                let ticks = cpu.0.saturating_sub(before.0);
                let ns = scene.now.since(at);
                let share = u128::from(ticks) * 100_000_000_000 / u128::from(clk_tck);
                let percent = share.checked_div(u128::from(ns));
                found.cpu_percent = percent.and_then(|percent| u64::try_from(percent).ok());
            }
            used.insert(found.who, (cpu, scene.now));
        }
        self.used = used;
    }
}

fn who(pid: Tgid, start: Ticks) -> Who {
    Who { pid, start }
}

/// Whole seconds from a start to now.
fn age_s(now: BootNs, start: Ticks, clk_tck: u64) -> u64 {
    now.to_ticks(clk_tck).0.saturating_sub(start.0) / clk_tck
}

pub(super) fn is_alive(stat: &ProcStat) -> bool {
    !stat.state.has_ended() || stat.leader_ended_first()
}

fn uid(dir: &ProcDir) -> Option<u32> {
    dir.status().ok()?.uids.map(|(real, _)| real)
}

/// Whether a process may be there although it was not read as a candidate: then nothing is told of it.
fn is_hidden(proc: &ProcRoot, who: Who) -> bool {
    let looked = proc.process(who.pid).and_then(|dir| {
        let stat = dir.stat()?;
        if stat.start_time == who.start && is_alive(&stat) {
            dir.deputy().as_ref().unwrap_or(&dir).cmdline()?;
        }
        Ok(())
    });
    !matches!(looked, Ok(()) | Err(ReadEnd::Gone | ReadEnd::Zombie))
}

#[cfg(test)]
mod tests;
