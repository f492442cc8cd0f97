//! Clears away what was left half done by anybody that was killed: unborn and half removed sessions,
//! files on their way, rows without a session.
//!
//! None of it means anything to anyone, so nothing is told. What somebody living has in hand is left
//! alone, and what cannot be cleared away now is tried again the next time.

use std::time::{Duration, Instant};

use super::discard;
use crate::session::{
    SessionId, Store, birth,
    dir::Dir,
    index,
    publish::{self, is_temporary},
    remove,
    store::{INDEX, SessionClaim},
};

/// How long another process may keep the index.
const PATIENCE: Duration = Duration::from_secs(1);

/// What there is among the sessions that is none.
pub(super) fn sessions(store: &Store) {
    let _swept = birth::sweep(store);
    discard::sweep(store);
    remove::sweep(store);
}

/// Whether anything is unfinished in the directory of a session that lacks nothing.
pub(super) fn is_due(dir: &Dir) -> bool {
    let names = dir.names().unwrap_or_default();
    names.iter().any(|name| is_temporary(name))
}

/// What is unfinished in the directory of a session, unless somebody is at work there.
pub(super) fn session(store: &Store, id: &SessionId) {
    if let Ok(SessionClaim::Held(claimed)) = store.claim(id) {
        let _swept = publish::sweep(&claimed.dir, &claimed.lease);
    }
}

/// Rows that are there twice or have no session, and files beside the index on their way.
pub(super) fn index(store: &Store) {
    // Looking for sessions makes no files.
    if store.dir().has(INDEX) {
        // A session is there before its row.
        let there = |id: &str| id.parse::<SessionId>().is_ok() && store.sessions().has(id);
        let _next_time = index::compact(store, Instant::now() + PATIENCE, there);
    }
}
