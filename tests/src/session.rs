//! A session directory as a test sees it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::facts::Facts;
use crate::journal::{Record, read_epochs, read_growing};

/// One ended session.
#[derive(Debug)]
pub struct Session {
    /// Its directory.
    pub folder: PathBuf,
    /// Its journals, one behind the other.
    pub journal: Vec<Record>,
    /// `summary.json`.
    pub summary: Value,
    /// `proc_trace.jsonl`.
    pub rows: Vec<Value>,
}

impl Session {
    /// Reads a session that has ended.
    ///
    /// # Errors
    /// A file is missing or broken.
    pub fn read(folder: &Path) -> Result<Self> {
        let rows = folder.join("proc_trace.jsonl");
        // A run nobody could take a snapshot of may have no rows; only the file's form matters here.
        let rows = if rows.exists() {
            read_json_lines(&rows)?
        } else {
            Vec::new()
        };
        Ok(Self {
            folder: folder.to_owned(),
            journal: read_epochs(folder)?,
            summary: read_json(&folder.join("summary.json"))?,
            rows,
        })
    }

    /// `enrollment.json`.
    ///
    /// # Errors
    /// It is missing or broken.
    pub fn enrollment(&self) -> Result<Value> {
        read_json(&self.folder.join("enrollment.json"))
    }

    /// Records of one kind, in order.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Record> {
        self.journal
            .iter()
            .filter(move |record| record.kind == kind)
    }

    /// Number of records of one kind.
    #[must_use]
    pub fn count(&self, kind: &str) -> u64 {
        self.of_kind(kind).count() as u64
    }

    /// Records of losses that leave something unknown.
    #[must_use]
    pub fn losses(&self) -> usize {
        self.of_kind("loss")
            .filter(|loss| !OF_ACCOUNTS.contains(&loss.text("reason")))
            .count()
    }

    /// The root's pid, from the `session` record.
    ///
    /// # Errors
    /// The journal does not begin with a session record that names it.
    pub fn root(&self) -> Result<i32> {
        let first = self.journal.first().context("the journal is empty")?;
        let root = first.value.pointer("/root/pid").and_then(Value::as_i64);
        let root = root.with_context(|| format!("no root in the first record: {}", first.value))?;
        Ok(i32::try_from(root)?)
    }

    /// The pid that was pinned.
    ///
    /// # Errors
    /// None was.
    pub fn workload(&self) -> Result<i32> {
        let target = self
            .of_kind("target")
            .last()
            .context("no target record: unresolved")?;
        target
            .small("pid")
            .with_context(|| format!("target record {}", target.value))
    }

    /// A number of `summary.json`, by JSON pointer.
    ///
    /// # Errors
    /// It is not there.
    pub fn number(&self, pointer: &str) -> Result<u64> {
        let value = self.summary.pointer(pointer);
        value
            .and_then(Value::as_u64)
            .with_context(|| format!("summary: {pointer} is {value:?}"))
    }

    /// What happened below the root, counted.
    ///
    /// # Errors
    /// A record lacks a key.
    pub fn facts(&self) -> Result<Facts> {
        Facts::below(self.root()?, &self.journal)
    }

    /// Snapshot rows of one pid.
    pub fn rows_of(&self, pid: i32) -> impl Iterator<Item = &Value> {
        self.rows
            .iter()
            .filter(move |row| row["pid"].as_i64() == Some(pid.into()))
    }

    /// The exit record of one pid.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn exit_of(&self, pid: i32) -> Result<&Record> {
        let mut exits = self
            .of_kind("exit")
            .filter(|record| record.int("pid").ok() == Some(pid.into()));
        let exit = exits
            .next()
            .with_context(|| format!("no exit record of {pid}"))?;
        ensure!(exits.next().is_none(), "several exit records of {pid}");
        Ok(exit)
    }

    /// Checks that nothing was lost and that the summary's counts are the journal's:
    /// forks = exits + alive.
    ///
    /// # Errors
    /// Says what is wrong, with the summary's own account.
    pub fn expect_complete(&self) -> Result<()> {
        let account = &self.summary["completeness"];
        ensure!(account["status"] == "complete", "not complete: {account}");
        ensure!(lost_total(account) == 0, "lost is not empty: {account}");
        ensure!(self.losses() == 0, "loss records in a complete journal");
        for (kind, key) in [("fork", "forks"), ("exec", "execs"), ("exit", "exits")] {
            let counted = self.number(&format!("/completeness/{key}"))?;
            ensure!(
                counted == self.count(kind),
                "{key}: {account}, {} in the journal",
                self.count(kind)
            );
        }
        let [forks, exits, alive] =
            ["forks", "exits", "alive"].map(|key| account[key].as_u64().unwrap_or(u64::MAX));
        ensure!(forks == exits + alive, "forks ≠ exits + alive: {account}");
        Ok(())
    }
}

/// Losses of accounts, which leave nothing unknown of what happened.
const OF_ACCOUNTS: [&str; 2] = ["ring_full_account", "accounts_full"];

/// Sum of everything that `completeness.lost` counts and that leaves something unknown.
#[must_use]
pub fn lost_total(completeness: &Value) -> u64 {
    fn sum(value: &Value) -> u64 {
        match value {
            Value::Object(map) => map
                .iter()
                .filter(|(reason, _)| !OF_ACCOUNTS.contains(&reason.as_str()))
                .map(|(_, value)| sum(value))
                .sum(),
            Value::Array(list) => list.iter().map(sum).sum(),
            other => other.as_u64().unwrap_or(0),
        }
    }
    sum(&completeness["lost"])
}

/// Whether tracking of a running session is armed and, in attach, everything alive adopted: the
/// journal has a `note` that says `armed`. Gives the note's time.
///
/// # Errors
/// The journal is broken.
pub fn armed(folder: &Path) -> Result<Option<u64>> {
    let records = read_growing(&folder.join("journal.0.jsonl"))?;
    let says_armed = |record: &&Record| {
        let value = &record.value;
        record.kind == "note"
            && [&value["event"], &value["topic"], &value["data"]["event"]]
                .into_iter()
                .any(|word| word == "armed")
    };
    Ok(records.iter().find(says_armed).map(|record| record.t))
}

/// Reads one JSON file.
///
/// # Errors
/// It is missing or broken.
pub fn read_json(path: &Path) -> Result<Value> {
    let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("parse {}", path.display()))
}

/// Reads a file of JSON lines.
///
/// # Errors
/// It is missing, or a line is broken.
pub fn read_json_lines(path: &Path) -> Result<Vec<Value>> {
    let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let lines = bytes
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty());
    lines
        .map(|line| {
            serde_json::from_slice(line)
                .with_context(|| format!("{}: {}", path.display(), String::from_utf8_lossy(line)))
        })
        .collect()
}
