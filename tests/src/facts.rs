//! Forks, execs and exits as multisets, from the truth log and from a journal, and the difference.
//!
//! Multisets, because pids are reused within one storm: with `pid_max` 32,768 a run of 20,000
//! processes may see the same pid twice.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use anyhow::{Result, ensure};

use crate::journal::Record;
use crate::truth::Fact;

/// How often each thing happened.
pub type Counts<T> = BTreeMap<T, i64>;

/// What happened to processes, by pid as the processes themselves see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// (creator, child, parent).
    pub forks: Counts<(i32, i32, i32)>,
    /// (pid, path given to execve).
    pub execs: Counts<(i32, String)>,
    /// (pid, raw wait status).
    pub exits: Counts<(i32, i32)>,
}

impl Facts {
    /// What a fixture says.
    #[must_use]
    pub fn of_truth(facts: &[(u64, Fact)]) -> Self {
        let mut counted = Self::default();
        for (_, fact) in facts {
            match fact {
                Fact::Fork {
                    creator,
                    child,
                    parent,
                } => {
                    add(&mut counted.forks, (*creator, *child, *parent));
                }
                Fact::Exec { pid, file } => add(&mut counted.execs, (*pid, file.clone())),
                Fact::Exit { pid, status, .. } => add(&mut counted.exits, (*pid, *status)),
                Fact::Last { .. } | Fact::Note { .. } => {}
            }
        }
        counted
    }

    /// What a journal says of the processes below `root`, in their own pids: `pid_inner` where a
    /// record has it. The root itself is left out: a fixture cannot log its own birth and end.
    ///
    /// # Errors
    /// A record lacks a key.
    pub fn below(root: i32, records: &[Record]) -> Result<Self> {
        let mut counted = Self::default();
        // Records name other processes only as the observer sees them.
        let mut inner_of = HashMap::new();
        for record in records {
            // Alive throughout, so its pid is its own throughout; `pid` is the observer's name of it.
            let of_root = record.value["pid"].as_i64() == Some(root.into());
            match record.kind.as_str() {
                _ if of_root => {}
                "fork" => {
                    inner_of.insert(record.small("pid")?, inner(record)?);
                    let own = |key| -> Result<i32> {
                        let pid = record.small(key)?;
                        Ok(inner_of.get(&pid).copied().unwrap_or(pid))
                    };
                    add(
                        &mut counted.forks,
                        (own("creator_pid")?, own("pid")?, own("ppid")?),
                    );
                }
                "exec" => add(
                    &mut counted.execs,
                    (inner(record)?, record.text("filename").to_owned()),
                ),
                "exit" => add(
                    &mut counted.exits,
                    (inner(record)?, record.small("status")?),
                ),
                _ => {}
            }
        }
        Ok(counted)
    }

    /// Only execs of files that a test knows: what a shell or libc runs on its own is not in the log.
    #[must_use]
    pub fn with_execs_of(mut self, part: &str) -> Self {
        self.execs.retain(|(_, file), _| file.contains(part));
        self
    }

    /// Numbers of forks, execs and exits.
    #[must_use]
    pub fn sizes(&self) -> [i64; 3] {
        [
            self.forks.values().sum(),
            self.execs.values().sum(),
            self.exits.values().sum(),
        ]
    }

    /// Checks that a journal's facts are these.
    ///
    /// # Errors
    /// The difference, thing by thing, cut to what a person reads.
    pub fn expect_same(&self, journal: &Self) -> Result<()> {
        let mut text = String::new();
        tell(
            &mut text,
            "fork (creator, child, parent)",
            &self.forks,
            &journal.forks,
        );
        tell(&mut text, "exec (pid, file)", &self.execs, &journal.execs);
        tell(
            &mut text,
            "exit (pid, raw status)",
            &self.exits,
            &journal.exits,
        );
        ensure!(
            text.is_empty(),
            "truth {:?} and journal {:?} (forks, execs, exits) differ:\n{text}",
            self.sizes(),
            journal.sizes()
        );
        Ok(())
    }

    /// What the truth has and the journal has not, by kind.
    ///
    /// # Errors
    /// The journal has something that never happened.
    pub fn missing_in(&self, journal: &Self) -> Result<[i64; 3]> {
        Ok([
            missing("fork", &self.forks, &journal.forks)?,
            missing("exec", &self.execs, &journal.execs)?,
            missing("exit", &self.exits, &journal.exits)?,
        ])
    }
}

fn inner(record: &Record) -> Result<i32> {
    if record.value["pid_inner"].is_number() {
        record.small("pid_inner")
    } else {
        record.small("pid")
    }
}

fn add<T: Ord>(counts: &mut Counts<T>, thing: T) {
    *counts.entry(thing).or_default() += 1;
}

fn difference<'a, T: Ord>(truth: &'a Counts<T>, journal: &'a Counts<T>) -> BTreeMap<&'a T, i64> {
    let mut left: BTreeMap<&T, i64> = truth.iter().map(|(thing, &count)| (thing, count)).collect();
    for (thing, count) in journal {
        *left.entry(thing).or_default() -= count;
    }
    left.retain(|_, count| *count != 0);
    left
}

fn tell<T: Ord + std::fmt::Debug>(
    text: &mut String,
    what: &str,
    truth: &Counts<T>,
    journal: &Counts<T>,
) {
    let left = difference(truth, journal);
    for (thing, count) in left.iter().take(12) {
        let fault = if *count > 0 {
            "missing"
        } else {
            "never happened, or once too often"
        };
        let _ = writeln!(text, "  {what} {thing:?}: {fault} ({})", count.abs());
    }
    if left.len() > 12 {
        let _ = writeln!(text, "  … and {} more of {what}", left.len() - 12);
    }
}

fn missing<T: Ord + std::fmt::Debug>(
    what: &str,
    truth: &Counts<T>,
    journal: &Counts<T>,
) -> Result<i64> {
    let left = difference(truth, journal);
    let invented: Vec<_> = left
        .iter()
        .filter(|(_, count)| **count < 0)
        .take(5)
        .collect();
    ensure!(
        invented.is_empty(),
        "{what}: recorded but never happened: {invented:?}"
    );
    Ok(left.values().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(list: &[Fact]) -> Facts {
        Facts::of_truth(
            &list
                .iter()
                .map(|fact| (0, fact.clone()))
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn a_reused_pid_counts_twice() {
        let exit = Fact::Exit {
            pid: 9,
            status: 0,
            max_rss_kb: 0,
        };
        let (once, twice) = (
            facts(std::slice::from_ref(&exit)),
            facts(&[exit.clone(), exit.clone()]),
        );
        assert_eq!(twice.missing_in(&once).unwrap(), [0, 0, 1]);
        assert!(once.missing_in(&twice).is_err());
    }

    #[test]
    fn a_wrong_status_is_told_as_missing_and_as_invented() {
        let truth = facts(&[Fact::Exit {
            pid: 9,
            status: 0x700,
            max_rss_kb: 0,
        }]);
        let journal = facts(&[Fact::Exit {
            pid: 9,
            status: 0x300,
            max_rss_kb: 0,
        }]);
        let text = truth.expect_same(&journal).unwrap_err().to_string();
        assert!(
            text.contains("(9, 1792): missing") && text.contains("(9, 768): never"),
            "{text}"
        );
    }
}
