//! What an ended session left behind: the processes that its record saw begin and did not see end.
//!
//! Nothing here looks at what lives now; whoever does compares starts, not pids. A session that nothing
//! was left by is known by its summary, any other by its journals.

use std::{collections::BTreeMap, io::Read};

use rustix::fs::OFlags;
use serde::Deserialize;

use crate::{
    session::{
        SessionId, Store,
        dir::Dir,
        epochs::{Epochs, EpochsError},
        journal::record::Body,
        status::{self, Status},
        store::SUMMARY,
        summary::quote,
    },
    tree::Tree,
    units::{Tgid, Ticks},
};

/// Longest summary that is read.
const SUMMARY_MAX: u64 = 1 << 20;

/// What an ended session left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// The boot that its starts are of.
    pub boot_id: String,
    /// Its command, as a shell would need it.
    pub command: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Pid and start of each process, the oldest first.
    pub processes: Vec<(Tgid, Ticks)>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SummaryKeys {
    session_id: String,
    completeness: Completeness,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Completeness {
    status: String,
    alive: Option<u64>,
}

/// What a session left; `None` while it has not ended.
///
/// # Errors
/// [`EpochsError`] when its record cannot be read.
pub fn left(store: &Store, id: &SessionId) -> Result<Option<Left>, EpochsError> {
    let dir = store.existing_session(id)?;
    if !matches!(status::examine(&dir).status, Status::Ended(_)) {
        return Ok(None);
    }
    if leaves_nothing(&dir, id) {
        return Ok(Some(Left::default()));
    }
    read(&dir).map(Some)
}

/// Who lives in a session that goes on, as far as its record has come.
///
/// # Errors
/// [`EpochsError`] when its record cannot be read.
pub fn living(store: &Store, id: &SessionId) -> Result<Left, EpochsError> {
    read(&store.existing_session(id)?)
}

/// Whether the summary says that all have ended, of a record that has all.
fn leaves_nothing(dir: &Dir, id: &SessionId) -> bool {
    let read = || -> Option<SummaryKeys> {
        let file = dir.open_plain(SUMMARY, OFlags::RDONLY).ok()?;
        let mut text = Vec::new();
        file.take(SUMMARY_MAX).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    };
    read().is_some_and(|keys| {
        let whole = keys.completeness;
        keys.session_id == id.as_str() && whole.status == "complete" && whole.alive == Some(0)
    })
}

fn read(dir: &Dir) -> Result<Left, EpochsError> {
    let mut left = Left::default();
    let mut rule = None;
    let mut tree = Tree::new();
    let mut epochs = Epochs::open(dir)?;
    while epochs.next_epoch()?.is_some() {
        while let Some(entry) = epochs.next_entry()? {
            match &entry.body {
                Body::Session(info) if rule.is_none() => {
                    rule = Some(info.tick_rule);
                    left.boot_id.clone_from(&info.boot_id);
                    left.command = quote(&info.command);
                    left.labels.clone_from(&info.labels);
                }
                Body::Event(event) => {
                    tree.apply(entry.t, event);
                }
                _ => {}
            }
        }
    }
    let rule = rule.unwrap_or_default();
    let processes = tree.iter().filter(|node| node.process.tgid.0 != 0);
    left.processes = processes
        .map(|node| (node.process.tgid, rule.ticks(node.process.key.start)))
        .collect();
    left.processes
        .sort_unstable_by_key(|&(tgid, start)| (start, tgid));
    Ok(left)
}
