//! What there is when everything that was killed is dead, and nobody has recovered yet.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::files::Files;
use super::stage::Stage;
use crate::journal::{Record, read_so_far};

/// How the session of a run was found when everything was dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// There was none.
    None,
    /// It had begun, and the command had not.
    Waiting,
    /// It had no end, be it that the command had.
    Interrupted,
    /// It had an end, and not all that belongs to one.
    Ended,
    /// It lacked nothing.
    Whole,
}

/// Everything that was killed is dead, and nobody has recovered yet.
#[derive(Debug)]
pub struct Found {
    /// Every byte.
    pub files: Files,
    /// Each session's records so far.
    pub records: BTreeMap<String, Vec<Record>>,
    /// The lines that `--json` told.
    pub told: Vec<Value>,
}

impl Found {
    /// Looks.
    ///
    /// # Errors
    /// A whole line is broken.
    pub fn look(stage: &Stage) -> Result<Self> {
        let mut records = BTreeMap::new();
        for folder in stage.room.session_folders()? {
            let id = folder.file_name().context("no name")?;
            records.insert(id.to_string_lossy().into_owned(), read_so_far(&folder)?);
        }
        let mut told = Vec::new();
        if let Ok(bytes) = std::fs::read(stage.told_path()) {
            // A line that is cut off was not told.
            let whole = bytes.iter().rposition(|&byte| byte == b'\n').unwrap_or(0);
            for line in bytes[..whole].split(|&byte| byte == b'\n') {
                if !line.is_empty() {
                    told.push(serde_json::from_slice(line)?);
                }
            }
        }
        Ok(Self {
            files: Files::read(&stage.room.state())?,
            records,
            told,
        })
    }

    /// The first terminal record of a session.
    #[must_use]
    pub fn end(&self, id: &str) -> Option<&Record> {
        let terminal = |record: &&Record| ["end", "crash"].contains(&record.kind.as_str());
        self.records.get(id)?.iter().find(terminal)
    }

    /// How `sessions list` and the summary must call it when all is done.
    #[must_use]
    pub fn subtype(&self, id: &str) -> &'static str {
        match self.end(id) {
            Some(end) if end.value["observer_ending"] == "completed" => "success",
            _ => "crashed",
        }
    }
}
