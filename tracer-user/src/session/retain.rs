//! Retention: the newest finished sessions stay, by when they ended.
//!
//! By the end, not by the start: a session of a month must not vanish as soon as it is over. Sessions
//! that run, were interrupted or are not ours count for nothing and stay. [`by_end`] is pure; the rest
//! asks [`remove`] for each session, which refuses what is not finished and ours.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashSet},
    time::Instant,
};

use jiff::Timestamp;

use crate::session::{
    SessionId, Store, index,
    list::ended_at,
    remove::{self, RemoveError, Which, remove},
    store::StoreError,
};

/// What retention did.
#[derive(Debug, Default)]
pub struct Retained {
    /// Sessions that are gone.
    pub removed: Vec<SessionId>,
    /// Sessions that should have gone and could not, with the reason.
    pub kept: Vec<(SessionId, String)>,
}

/// Removes finished sessions until at most `keep` are left; 0 keeps all. Never `own`, the caller's.
/// Stops at `deadline`: the next one goes on.
///
/// # Errors
/// [`StoreError::Io`] when the sessions cannot be listed.
pub fn retain(
    store: &Store,
    keep: usize,
    own: Option<&SessionId>,
    is_pinned: impl Fn(&SessionId) -> bool,
    deadline: Instant,
) -> Result<Retained, StoreError> {
    let mut done = Retained::default();
    if keep == 0 {
        return Ok(done);
    }
    let ids = store.session_ids()?;
    if ids.len() <= keep {
        return Ok(done);
    }
    remove::sweep(store);
    // A summary is made after the end only. One that has ended and lacks it is not counted, and not
    // removed: recovery has to finish it first.
    let finished: Vec<SessionId> = ids.into_iter().filter(|id| store.has_summary(id)).collect();
    let mut surplus = finished.len().saturating_sub(keep);
    let ended = |id: &SessionId| ended_at(store, id);
    for id in by_end(&finished, ended) {
        if surplus == 0 || Instant::now() >= deadline {
            break;
        }
        if own == Some(&id) {
            continue;
        }
        match remove(store, &id, Which::Finished, &is_pinned) {
            Ok(()) => {
                done.removed.push(id);
                surplus -= 1;
            }
            // Somebody else was faster, or is at it. Taking another one in its place would leave too
            // few; one too many goes the next time.
            Err(RemoveError::Gone { .. } | RemoveError::Running { .. }) => surplus -= 1,
            Err(error) => {
                // What stopped halfway is no session any more.
                if !store.sessions().has(id.as_str()) {
                    surplus -= 1;
                }
                done.kept.push((id, super::status::told(&error)));
            }
        }
    }
    forget(store, &done.removed, deadline);
    Ok(done)
}

/// Takes removed sessions out of the index. A row too many is harmless: the directories are the truth.
pub fn forget(store: &Store, removed: &[SessionId], deadline: Instant) {
    if removed.is_empty() {
        return;
    }
    let gone: HashSet<&str> = removed.iter().map(SessionId::as_str).collect();
    let _rows_stay = index::compact(store, deadline, |id| !gone.contains(id));
}

/// Sessions in the order they ended. `ids` are sorted by their start, which their text begins with, and
/// nothing ends before it starts: so `ended` is asked no further than the caller looks.
fn by_end(
    ids: &[SessionId],
    ended: impl Fn(&SessionId) -> Option<Timestamp>,
) -> impl Iterator<Item = SessionId> {
    let mut unread = ids.iter().copied().peekable();
    let mut read: BinaryHeap<Reverse<(Timestamp, SessionId)>> = BinaryHeap::new();
    std::iter::from_fn(move || {
        while let Some(id) = unread.peek() {
            let start = id.started().unwrap_or(Timestamp::MIN);
            if read
                .peek()
                .is_some_and(|Reverse((first, _))| *first < start)
            {
                break;
            }
            // A summary that cannot be read tells no end: as old as its start.
            let end = ended(id).map_or(start, |end| end.max(start));
            read.push(Reverse((end, *id)));
            unread.next();
        }
        read.pop().map(|Reverse((_, id))| id)
    })
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, collections::HashMap};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn sessions(times: &[(i64, i64)]) -> (Vec<SessionId>, HashMap<SessionId, Timestamp>) {
        let mut ends = HashMap::new();
        for (n, &(start, end)) in times.iter().enumerate() {
            let id = SessionId::new(at(start), u32::try_from(n).unwrap().to_be_bytes());
            ends.insert(id, at(end));
        }
        let mut ids: Vec<_> = ends.keys().copied().collect();
        ids.sort_unstable();
        (ids, ends)
    }

    #[test]
    fn r24_sessions_go_by_their_end_and_not_by_their_name() {
        // The one that began first ended last.
        let (ids, ends) = sessions(&[(0, 1000), (10, 11), (20, 300), (30, 31), (40, 41)]);
        let order: Vec<_> = by_end(&ids, |id| ends.get(id).copied()).collect();
        let expected = [1, 3, 4, 2, 0].map(|at| ids[at]);
        assert_eq!(order, expected);
    }

    #[test]
    fn only_as_many_ends_are_read_as_it_takes() {
        let times: Vec<_> = (0..500).map(|n| (n * 100, n * 100 + 50)).collect();
        let (ids, ends) = sessions(&times);
        let asked = Cell::new(0);
        let ended = |id: &SessionId| {
            asked.set(asked.get() + 1);
            ends.get(id).copied()
        };
        assert_eq!(by_end(&ids, ended).next(), Some(ids[0]));
        assert!(asked.get() <= 2, "{} of 500", asked.get());
    }

    #[test]
    fn a_session_whose_end_nobody_knows_is_as_old_as_its_start() {
        let (ids, ends) = sessions(&[(0, 100), (10, 20), (30, 40)]);
        let order: Vec<_> =
            by_end(&ids, |id| ends.get(id).filter(|_| *id != ids[2]).copied()).collect();
        assert_eq!(order, [ids[1], ids[2], ids[0]]);
    }
}
