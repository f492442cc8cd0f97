//! One watcher: looks, decides, and words what is to be told.
//!
//! It tells nobody itself and writes no file: [`Watcher::tick`] gives the news and [`Watcher::state`] what
//! to keep, in the order that whoever drives it needs.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};

use super::{
    alert::{Alert, Decision, Detail},
    collect::{Candidate, Collector, LeftBy, Scene, is_alive},
    decide::{Key, Ledger, Rules, Who},
    holders::{self, Found, Named, Redact, cut},
    holdings::{self, Held, Holding},
    orphan::Orphans,
    patterns::Patterns,
    state::{State, Told},
    wording,
};
use crate::{
    config::watch::WatchSettings,
    procfs::{FileId, ProcRoot, host},
    units::BootNs,
};

/// Things that an alert tells of that a process holds.
const TOLD_MAX: usize = 24;
/// Bytes of what is told of each.
const WORDS_MAX: usize = 300;

/// Watches from look to look.
#[derive(Debug)]
pub struct Watcher {
    boot_id: String,
    rules: Rules,
    redact: Redact,
    collector: Collector,
    ledger: Ledger,
    told: BTreeMap<Key, Alert>,
    pending: Vec<Alert>,
    said_ageless: bool,
}

/// What one tick came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tick {
    /// What to tell, in this order.
    pub news: Vec<Alert>,
    /// Who is looked at, whether told of or not.
    pub candidates: usize,
    /// Nothing could be looked at.
    pub blind: bool,
    /// What whoever runs the watch should know.
    pub warning: Option<&'static str>,
}

impl Watcher {
    /// Goes on from the state that an earlier watcher left. What it had open on another boot is over.
    #[must_use]
    pub fn new(
        proc: &ProcRoot,
        rules: Rules,
        collector: Collector,
        redact: Redact,
        state: State,
        at: Timestamp,
    ) -> Self {
        let mut ledger = Ledger::of(state.open.iter().map(|told| (told.key, told.open)));
        let mut told: BTreeMap<Key, Alert> = state
            .open
            .into_iter()
            .map(|told| (told.key, told.alert))
            .collect();
        let mut pending = state.pending;
        let boot_id = proc.host().boot_id.clone();
        if state.boot_id != boot_id {
            for (key, _) in ledger.end_all() {
                let last = told.remove(&key);
                pending.extend(
                    last.map(|last| wording::recovery(&last, at, "the machine was started anew")),
                );
            }
        }
        Self {
            boot_id,
            rules,
            redact,
            collector,
            ledger,
            told,
            pending,
            said_ageless: false,
        }
    }

    /// News of an earlier watcher that nobody may have been told of, before the first tick.
    #[must_use]
    pub fn pending(&self) -> &[Alert] {
        &self.pending
    }

    /// All news are with the notifiers.
    pub fn delivered(&mut self) {
        self.pending.clear();
    }

    /// What is open, as alerts.
    pub fn open(&self) -> impl Iterator<Item = &Alert> {
        self.told.values()
    }

    /// Goes on with other rules and patterns; what is open stays so, if it is still a candidate.
    pub fn follow(&mut self, rules: Rules, patterns: Patterns) {
        self.rules = rules;
        self.collector = Collector::new(patterns, self.redact);
    }

    /// Processes that the last look has listed, and that it has read.
    #[must_use]
    pub fn extent(&self) -> (usize, usize) {
        self.collector.extent()
    }

    /// Looks once, and decides. The news are pending until [`Self::delivered`].
    pub fn tick(
        &mut self,
        proc: &ProcRoot,
        now: BootNs,
        at: Timestamp,
        left: &HashMap<Who, LeftBy>,
        orphans: &Orphans,
    ) -> Tick {
        let open: BTreeSet<Who> = self.ledger.open().map(|(key, _)| key.who).collect();
        let has_ages = proc.boot_time_s().is_some();
        let (look, candidates) = self.collector.look(Scene {
            proc,
            now,
            has_ages,
            left,
            orphans,
            open: &open,
        });
        let decided = self.ledger.decide(now, &look, &self.rules);
        let raised = decided
            .iter()
            .filter(|(_, decision)| *decision != Decision::Recovery);
        let raised: BTreeSet<Who> = raised.map(|(key, _)| key.who).collect();
        let held = self.what_they_hold(proc, &raised);
        let by_who: HashMap<Who, &Candidate> =
            candidates.iter().map(|found| (found.who, found)).collect();
        let mut news = Vec::new();
        for (key, decision) in decided {
            let alert = match (decision, by_who.get(&key.who)) {
                (Decision::Recovery, found) => {
                    let Some(last) = self.told.remove(&key) else {
                        continue;
                    };
                    let why = match found {
                        Some(_) => "it is fine".to_owned(),
                        None => self.end_of(proc, key.who),
                    };
                    wording::recovery(&last, at, &why)
                }
                (_, None) => continue,
                (_, Some(found)) => {
                    let (parent, waits) = self.now_of(proc, key.who).unwrap_or_default();
                    let mut alert = wording::alert(&wording::Told {
                        boot_id: &self.boot_id,
                        key,
                        decision,
                        at,
                        since: self.since(found, at),
                        found,
                        parent: parent.as_ref(),
                        waits_in: waits.as_deref(),
                        held: held.get(&key.who).map_or(&[], Vec::as_slice),
                    });
                    if let Some(first) = self.told.get(&key) {
                        // What it is grouped and silenced by does not change while it is open.
                        alert.labels.clone_from(&first.labels);
                        alert.since = first.since;
                    }
                    let times = self.ledger.open().find(|(open, _)| **open == key);
                    let times = times.map_or(1, |(_, open)| open.times);
                    alert
                        .details
                        .insert("times_told".to_owned(), Detail::Number(times));
                    self.told.insert(key, alert.clone());
                    alert
                }
            };
            news.push(alert);
        }
        self.pending.extend(news.iter().cloned());
        let warning = (!has_ages && !self.said_ageless).then(|| {
            self.said_ageless = true;
            "/proc/stat has no btime: no process has an age, so there are no alerts"
        });
        Tick {
            news,
            candidates: candidates.len(),
            blind: look.blind,
            warning,
        }
    }

    /// What to keep.
    #[must_use]
    pub fn state(&self) -> State {
        let open = self.ledger.open().filter_map(|(key, open)| {
            Some(Told {
                key: *key,
                open: *open,
                alert: self.told.get(key)?.clone(),
            })
        });
        State::new(&self.boot_id, open.collect(), self.pending.clone())
    }

    /// When it became too old.
    fn since(&self, found: &Candidate, at: Timestamp) -> Timestamp {
        let over = found
            .age_s
            .unwrap_or(0)
            .saturating_sub(self.rules.older_than_s);
        let over = SignedDuration::from_secs(i64::try_from(over).unwrap_or(i64::MAX));
        at.checked_sub(over).unwrap_or(at)
    }

    /// Its parent, and where in the kernel it waits. Either number may have become another's since the
    /// process was looked at, or does so in between: then that is nothing of it.
    fn now_of(&self, proc: &ProcRoot, who: Who) -> Option<(Option<Named>, Option<String>)> {
        let dir = proc.process(who.pid).ok()?;
        let looked = dir
            .stat()
            .ok()
            .filter(|stat| stat.start_time == who.start)?;
        let parent = proc.process(looked.ppid).ok();
        let parent = parent.and_then(|dir| holders::name(&dir, looked.ppid, self.redact).ok());
        let waits = dir.wchan().ok().filter(|at| !at.is_empty());
        // A parent that had ended by then has left it to another.
        let still = dir.stat().is_ok_and(|now| now.ppid == looked.ppid);
        Some((parent.filter(|_| still), waits))
    }

    /// Why it is not seen any more.
    fn end_of(&self, proc: &ProcRoot, who: Who) -> String {
        let there = proc.process(who.pid).and_then(|dir| dir.stat());
        match there {
            Ok(stat) if stat.start_time != who.start => "it is gone".to_owned(),
            Ok(stat) if is_alive(&stat) => {
                "it lives, and is none of those that are looked for".to_owned()
            }
            // Only its parent can make its number free.
            Ok(stat) => {
                let parent = proc.process(stat.ppid);
                let parent = parent.and_then(|dir| holders::name(&dir, stat.ppid, self.redact));
                let parent = parent.map_or("its parent".to_owned(), |one| wording::named(&one));
                format!("it has ended, and {parent} has not taken note of it")
            }
            Err(_) => "it is gone".to_owned(),
        }
    }

    /// In words, what each of them holds. All processes are gone through once for all of them.
    fn what_they_hold(&self, proc: &ProcRoot, whos: &BTreeSet<Who>) -> BTreeMap<Who, Vec<String>> {
        let mut held: BTreeMap<Who, Held> = BTreeMap::new();
        for &who in whos {
            let looked = proc.process(who.pid).map_err(drop).and_then(|dir| {
                let held = holdings::holdings(proc, &dir, who.pid).map_err(drop)?;
                let same = dir.identity().is_ok_and(|found| found.start == who.start);
                same.then_some(held).ok_or(())
            });
            held.insert(who, looked.unwrap_or_default());
        }
        let told = |held: &'_ Held| held.held.len().min(TOLD_MAX);
        let mut files: Vec<FileId> = Vec::new();
        let shared = |held: &&Holding| matches!(held.what, "terminal" | "pipe" | "lock" | "waits");
        for file in held
            .values()
            .flat_map(|held| &held.held[..told(held)])
            .filter(shared)
            .filter_map(|held| held.file)
        {
            if !files.contains(&file) {
                files.push(file);
            }
        }
        let found = match files.as_slice() {
            [] => Found::default(),
            files => holders::search(proc, files, self.redact).unwrap_or_default(),
        };
        held.into_iter()
            .map(|(who, held)| {
                let words = held.held[..told(&held)].iter();
                let words = words.map(|held| wording::holding(held, who, &files, &found));
                let mut words: Vec<String> = words.map(|words| cut(words, WORDS_MAX)).collect();
                let more = (held.held.len() - told(&held)) as u64 + held.more;
                if more > 0 {
                    words.push(format!("at least {more} more"));
                }
                (who, words)
            })
            .collect()
    }
}

/// The host's clocks now.
#[must_use]
pub fn clocks(proc: &ProcRoot) -> (BootNs, Timestamp) {
    let boot = host::read_boot(proc.host().boot_offset);
    let wall = Timestamp::from_microsecond(host::read_wall_us());
    (boot, wall.unwrap_or(Timestamp::UNIX_EPOCH))
}

/// Rules from what a person configures.
#[must_use]
pub fn rules(settings: &WatchSettings) -> Rules {
    Rules {
        older_than_s: settings.age_min.saturating_mul(60),
        cooldown_s: settings.cooldown_s,
        cooldown_of_s: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests;
