//! Makes what is derived from a session's journals anew, byte for byte what it was.

use std::time::Instant;

use thiserror::Error;

use crate::session::{
    SessionId, Store,
    derive::Fold,
    epochs::{self, EpochsError},
    index,
    lease::LeaseError,
    publish,
    settle::{self, FileFailure},
    status::{self, Status},
    store::SessionClaim,
    summary::{Summarizer, Summary},
};

/// Why there is nothing to rebuild from, or it could not be written.
#[derive(Debug, Error)]
pub enum RebuildError {
    /// Its observer lives, or somebody is finishing it.
    #[error("session {id} is running, or somebody is working on it: its files are made at its end")]
    Running {
        /// Which.
        id: SessionId,
    },
    /// It has no end.
    #[error("session {id} was interrupted: `tracer recover` finishes it")]
    Interrupted {
        /// Which.
        id: SessionId,
    },
    /// It cannot be read.
    #[error("session {id} is corrupt: {why}; `tracer sessions verify` says what is left of it")]
    Corrupt {
        /// Which.
        id: SessionId,
        /// What is wrong.
        why: String,
    },
    /// Its lease cannot be had.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// Its journals cannot be read.
    #[error(transparent)]
    Epochs(#[from] EpochsError),
    /// A file could not be written.
    #[error("session {id}: {} could not be written: {}", failure.file, failure.error)]
    Write {
        /// Which.
        id: SessionId,
        /// The first of them.
        failure: FileFailure,
    },
}

/// Rebuilds `summary.json`, `proc_trace.jsonl` and the index row of a session that has ended.
///
/// # Errors
/// [`RebuildError`].
pub fn rebuild(store: &Store, id: &SessionId, deadline: Instant) -> Result<Summary, RebuildError> {
    let SessionClaim::Held(session) = store.claim(id)? else {
        return Err(RebuildError::Running { id: *id });
    };
    match status::examine(&session.dir).status {
        Status::Ended(_) => {}
        Status::Corrupt(why) => return Err(RebuildError::Corrupt { id: *id, why }),
        Status::Running | Status::Interrupted => {
            return Err(RebuildError::Interrupted { id: *id });
        }
    }
    let info = epochs::session_info(&session.dir)?.ok_or_else(|| RebuildError::Corrupt {
        id: *id,
        why: "no journal says what it is about".to_owned(),
    })?;
    let mut fold = Summarizer::new(info);
    epochs::replay(&session.dir, &mut fold)?;
    let summary = fold.finish();
    let failures = settle::write_all::<Summarizer>(store, &session.dir, None, &summary, deadline);
    // The row is there twice now. Both are of use to nobody, and none is wrong.
    let _twice = index::compact(store, deadline, |_| true);
    let _swept = publish::sweep(&session.dir, &session.lease);
    match failures.into_iter().next() {
        Some(failure) => Err(RebuildError::Write { id: *id, failure }),
        None => Ok(summary),
    }
}
