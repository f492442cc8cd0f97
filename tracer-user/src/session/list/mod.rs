//! What there is: one [`Listed`] a session, whatever state it is in.
//!
//! A session that has ended tells by its summary, any other by the first record of its journal and
//! its enrollment; nothing here reads a journal to its end. What cannot be read is listed as corrupt
//! with the reason, never left out. Nothing is written, and no lock is taken.

pub mod filter;
mod look;
pub mod page;
pub mod reference;

use std::{collections::BTreeMap, path::PathBuf};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

pub(super) use self::look::ended_at;
pub use self::look::look;
use self::{
    filter::{ById, Filter},
    page::{Page, Paging},
};
use crate::session::{SessionId, Store, store::StoreError};

/// What a listing says of one session. The keys of `tracer sessions list --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listed {
    /// The session.
    #[serde(serialize_with = "as_text")]
    pub session_id: SessionId,
    /// Its directory.
    pub path: PathBuf,
    /// `running`, `interrupted`, `corrupt`, or how it ended: `success`, `error`, `killed`,
    /// `detached`, `crashed`, and `ended` where there is no summary to tell more.
    pub status: String,
    /// When it began; null when that cannot be told.
    #[serde(serialize_with = "as_time")]
    pub started: Option<Timestamp>,
    /// When it ended; null while it has not.
    #[serde(serialize_with = "as_time")]
    pub ended: Option<Timestamp>,
    /// From the beginning to the end, or to now while it runs.
    pub duration_seconds: Option<f64>,
    /// The command.
    pub command: String,
    /// Name of the pinned workload.
    pub workload: Option<String>,
    /// The workload's pid, or the root's.
    pub pid: Option<u32>,
    /// The workload's exit code.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<String>,
    /// Why it ended: the verdict's cause.
    pub cause: Option<String>,
    /// The verdict in words.
    pub sentence: Option<String>,
    /// Peak resident set of the workload, KiB.
    pub peak_rss_kb: Option<u64>,
    /// Processes seen.
    pub processes: Option<u64>,
    /// Anomalies found.
    pub anomaly_count: Option<u64>,
    /// complete or incomplete.
    pub completeness: Option<String>,
    /// From `--label`.
    pub labels: BTreeMap<String, String>,
    /// What is wrong with it, where something is.
    pub problem: Option<String>,
}

fn as_text<S: Serializer>(id: &SessionId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(id.as_str())
}

#[expect(
    clippy::ref_option,
    reason = "serde calls it with a reference to the field"
)]
fn as_time<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serializer.serialize_str(&format!("{at:.6}")),
        None => serializer.serialize_none(),
    }
}

/// What can stand in [`Listed::status`], and `ended` for each way of that.
pub const STATUSES: [&str; 9] = [
    "running",
    "interrupted",
    "ended",
    "success",
    "error",
    "killed",
    "detached",
    "crashed",
    "corrupt",
];

impl Listed {
    /// Its observation is over and says so.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        !matches!(self.status.as_str(), "running" | "interrupted" | "corrupt")
    }

    /// The target did badly. An observation that was interrupted says nothing about its target.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        matches!(self.status.as_str(), "error" | "killed")
    }
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// Newest first.
    pub sessions: Vec<Listed>,
    /// Which part of the whole this is.
    pub page: Page,
    /// Sessions that the filter left out.
    pub left_out: usize,
}

/// Lists sessions, newest first: by their start, which their ids carry, so that no damaged file can
/// disturb the order. Only what the page or the filter needs is read.
///
/// # Errors
/// [`StoreError::Io`] when the sessions cannot be listed at all.
pub fn list(
    store: &Store,
    filter: &Filter,
    paging: Paging,
    now: Timestamp,
) -> Result<Listing, StoreError> {
    let ids = store.session_ids()?;
    let mut shown: Vec<(SessionId, Option<Listed>)> = Vec::with_capacity(ids.len());
    for &id in ids.iter().rev() {
        match filter.by_id(&id) {
            ById::Out => {}
            ById::In => shown.push((id, None)),
            ById::Unknown => {
                let session = look(store, &id, now);
                if filter.admits(&session) {
                    shown.push((id, Some(session)));
                }
            }
        }
    }
    let page = paging.of(shown.len());
    let left_out = ids.len() - shown.len();
    let sessions = shown
        .drain(page.from..page.to)
        .map(|(id, session)| session.unwrap_or_else(|| look(store, &id, now)))
        .collect();
    Ok(Listing {
        sessions,
        page,
        left_out,
    })
}
