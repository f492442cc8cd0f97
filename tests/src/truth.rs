//! The truth log: what a fixture did, written by the fixture itself, read by the tests.
//!
//! One line a fact, `<boot ns> <word> <numbers…> [text]`, appended with a single `write(2)` to the
//! file that `TRUTH_LOG` names. The kernel serialises appends to one file, so every process of a
//! fixture can write to the same one.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::sys::{Waited, boot_ns};

/// Environment variable that names the truth log.
pub const TRUTH_LOG: &str = "TRUTH_LOG";

/// One thing a fixture did, with the time (`CLOCK_BOOTTIME`, ns) at which it wrote it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// `creator` made `child`, whose end `parent` is told.
    Fork {
        /// Who called fork, vfork or clone.
        creator: i32,
        /// The new process.
        child: i32,
        /// Its parent at birth.
        parent: i32,
    },
    /// `pid` replaced its image by `file`.
    Exec {
        /// The process.
        pid: i32,
        /// Path as given to execve.
        file: String,
    },
    /// `pid` ended with this raw wait status.
    Exit {
        /// The process.
        pid: i32,
        /// Raw wait status.
        status: i32,
        /// `ru_maxrss` as the reaper saw it; 0 where nobody reaped it.
        max_rss_kb: i64,
    },
    /// `pid` was alive at this time and is about to end.
    Last {
        /// The process.
        pid: i32,
    },
    /// Anything else a test wants to know.
    Note {
        /// What it is about.
        key: String,
        /// What is said.
        value: String,
    },
}

/// Where a fixture writes what it does. Facts wait in memory until [`Truth::flush`].
#[derive(Debug)]
pub struct Truth {
    file: File,
    waiting: Vec<u8>,
}

impl Truth {
    /// Opens the log that `TRUTH_LOG` names.
    ///
    /// # Errors
    /// The variable is not set, or the file cannot be opened.
    pub fn from_env() -> Result<Self> {
        let path = std::env::var_os(TRUTH_LOG).context("TRUTH_LOG does not name a file")?;
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .with_context(|| format!("open truth log {}", path.display()))?;
        Ok(Self {
            file,
            waiting: Vec::with_capacity(64 << 10),
        })
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a Vec cannot fail.
        let _ = writeln!(self.waiting, "{} {text}", boot_ns());
    }

    /// `creator` made `child`, its own child.
    pub fn fork(&mut self, creator: i32, child: i32) {
        self.fork_for(creator, child, creator);
    }

    /// `creator` made `child` for `parent`.
    pub fn fork_for(&mut self, creator: i32, child: i32, parent: i32) {
        self.line(format_args!("fork {creator} {child} {parent}"));
    }

    /// `pid` replaced its image by `file`.
    pub fn exec(&mut self, pid: i32, file: &str) {
        self.line(format_args!("exec {pid} {file}"));
    }

    /// A process was reaped.
    pub fn waited(&mut self, waited: Waited) {
        let Waited {
            pid,
            status,
            max_rss_kb,
        } = waited;
        self.line(format_args!("exit {pid} {status} {max_rss_kb}"));
    }

    /// `pid`, which nobody of ours will reap, is about to end like this.
    pub fn will_exit(&mut self, pid: i32, status: i32) {
        self.line(format_args!("exit {pid} {status} 0"));
    }

    /// `pid` is alive and about to end.
    pub fn last(&mut self, pid: i32) {
        self.line(format_args!("last {pid}"));
    }

    /// Anything else.
    pub fn note(&mut self, key: &str, value: &str) {
        self.line(format_args!("note {key} {value}"));
    }

    /// Appends all that waits, in one write.
    ///
    /// # Errors
    /// The write failed, or was short: then lines of two processes could mix.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let written = self.file.write(&self.waiting)?;
        if written != self.waiting.len() {
            return Err(io::Error::new(
                io::ErrorKind::WriteZero,
                "truth log: short write",
            ));
        }
        self.waiting.clear();
        Ok(())
    }

    /// Throws away what waits: a forked child must not repeat its parent's facts.
    pub fn forget(&mut self) {
        self.waiting.clear();
    }
}

/// Reads a truth log.
///
/// # Errors
/// The file cannot be read, or a line is not a fact: a fixture is broken, or two writes mixed.
pub fn read_truth(path: &Path) -> Result<Vec<(u64, Fact)>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("read truth log {}", path.display()))?;
    // Who reads while others write may see the first part of a write; what follows is yet to come.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| parse_fact(line).with_context(|| format!("truth: {line:?}")))
        .collect()
}

/// The notes of a truth log; a later one replaces an earlier one of the same key.
#[must_use]
pub fn notes(facts: &[(u64, Fact)]) -> BTreeMap<&str, &str> {
    let note = |fact| match fact {
        &(_, Fact::Note { ref key, ref value }) => Some((key.as_str(), value.as_str())),
        _ => None,
    };
    facts.iter().filter_map(note).collect()
}

fn parse_fact(line: &str) -> Result<(u64, Fact)> {
    let (time, rest) = line.split_once(' ').context("no time")?;
    let (word, rest) = rest.split_once(' ').context("no word")?;
    let numbers: Vec<&str> = rest.split(' ').collect();
    let fact = match (word, numbers.as_slice()) {
        ("fork", [creator, child, parent]) => Fact::Fork {
            creator: creator.parse()?,
            child: child.parse()?,
            parent: parent.parse()?,
        },
        ("exec", [pid, ..]) => Fact::Exec {
            pid: pid.parse()?,
            file: rest[pid.len()..].trim_start().to_owned(),
        },
        ("exit", [pid, status, rss]) => Fact::Exit {
            pid: pid.parse()?,
            status: status.parse()?,
            max_rss_kb: rss.parse()?,
        },
        ("last", [pid]) => Fact::Last { pid: pid.parse()? },
        ("note", [key, ..]) => Fact::Note {
            key: (*key).to_owned(),
            value: rest[key.len()..].trim_start().to_owned(),
        },
        _ => bail!("not a fact"),
    };
    Ok((time.parse()?, fact))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_spaces_survives_the_log() {
        let (time, fact) = parse_fact("12 exec 7 /tmp/a b/c").unwrap();
        assert_eq!(time, 12);
        assert_eq!(
            fact,
            Fact::Exec {
                pid: 7,
                file: "/tmp/a b/c".to_owned()
            }
        );
    }

    #[test]
    fn a_torn_line_is_an_error_not_a_fact() {
        assert!(parse_fact("12 fork 1 2").is_err());
        assert!(parse_fact("fork").is_err());
    }
}
