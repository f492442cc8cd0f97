//! Puts what is derived from a session's journals beside them.
//!
//! The last step of every end: of the observer's own, of a recovery, of a rebuild.

use std::{
    io::{self, Write},
    time::Instant,
};

use rustix::io::Errno;

use crate::session::{
    anomalies::Closings,
    derive::{Fold, copy_rows},
    dir::Dir,
    epochs::Epochs,
    index,
    journal::{escape::pretty, spans::Spans},
    publish::{Existing, publish},
    store::{ANOMALIES, INDEX, PROC_TRACE, SUMMARY, Store},
};

/// A file beside the journal that could not be written. All but the enrollment can be rebuilt from
/// the journal, and the journal's first record says what the enrollment would have said of the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFailure {
    /// Its name.
    pub file: &'static str,
    /// What the system said.
    pub error: String,
}

/// Writes everything derived: `proc_trace.jsonl`, `anomalies.jsonl` where there are any, and
/// `summary.json` in the session's directory and its
/// row in the index, for which another process's turn is waited for until `deadline`. One that fails
/// does not keep the others from being written. Who wrote the one journal can say where its rows are.
///
/// Only for whoever holds the session's lease.
#[must_use]
pub fn write_all<F: Fold>(
    store: &Store,
    dir: &Dir,
    copied: Option<&Spans>,
    summary: &F::Output,
    deadline: Instant,
) -> Vec<FileFailure> {
    let row = F::index_row(summary);
    let trace = publish(dir, PROC_TRACE, Existing::Replace, |out| {
        write_trace(dir, copied, out)
    });
    let anomalies = if F::has_anomalies(summary) {
        publish(dir, ANOMALIES, Existing::Replace, |out| {
            write_anomalies(dir, copied, out)
        })
    } else {
        match dir.remove(ANOMALIES) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    };
    // Last: who finds the summary may rely on the rest.
    let index = if row.is_object() {
        index::append(store, &row, deadline)
    } else {
        Ok(())
    };
    let written = publish(dir, SUMMARY, Existing::Replace, |out| {
        out.write_all(&pretty(summary)?)
    });
    [
        (PROC_TRACE, trace),
        (ANOMALIES, anomalies),
        (INDEX, index),
        (SUMMARY, written),
    ]
    .into_iter()
    .filter_map(|(file, result)| {
        let error = result.err()?.to_string();
        Some(FileFailure { file, error })
    })
    .collect()
}

/// The anomalies of all epochs. Read twice: how one closed stands behind many others.
pub(super) fn write_anomalies(
    dir: &Dir,
    copied: Option<&Spans>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let open = || Epochs::open(dir).map(|epochs| epochs.only(copied));
    let mut closings = Closings::default();
    let mut epochs = open().map_err(io::Error::other)?;
    while let Some(epoch) = epochs.next_epoch().map_err(io::Error::other)? {
        closings.read(&mut epoch.journal)?;
    }
    let mut epochs = open().map_err(io::Error::other)?;
    while let Some(epoch) = epochs.next_epoch().map_err(io::Error::other)? {
        closings.copy(&mut epoch.journal, out)?;
    }
    Ok(())
}

/// The snapshot rows of all epochs.
pub(super) fn write_trace(
    dir: &Dir,
    copied: Option<&Spans>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let epochs = Epochs::open(dir).map_err(io::Error::other)?;
    let mut epochs = epochs.only(copied);
    while let Some(epoch) = epochs.next_epoch().map_err(io::Error::other)? {
        copy_rows(&mut epoch.journal, out)?;
    }
    Ok(())
}
