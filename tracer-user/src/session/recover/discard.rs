//! Takes a session out of the sessions: put aside as it is, or removed when another boot left it in memory.

use rustix::{
    fs::{self, RenameFlags},
    io::Errno,
};

use super::{Outcome, Told, gates::Gate, told};
use crate::session::{
    SessionId, Store,
    dir::Dir,
    store::{ClaimedSession, StoreError},
};

/// The directory beside the sessions for those put aside.
const QUARANTINE: &str = "quarantine";
/// A session holds files, and one directory of files.
const DEPTH: u32 = 2;

/// Puts a session aside. Nothing in it is changed.
pub(super) fn quarantine(store: &Store, claimed: ClaimedSession, why: &str) -> Told {
    let id = claimed.id;
    let moved = store.dir().private_child(QUARANTINE).and_then(|aside| {
        rename(store.sessions(), id.as_str(), &aside, id.as_str())
            .map_err(|source| aside.error("put aside in", "", source))?;
        // Where it is is no secret worth a failure: the next recovery finds it if the disk forgets.
        let _synced = aside.sync().and_then(|()| store.sync_sessions());
        Ok(aside.path().join(id.as_str()))
    });
    // Until it is moved nobody else may come to it.
    drop(claimed);
    match moved {
        Ok(path) => {
            let why = format!("{why}; kept in {}", path.display());
            (Outcome::Quarantined, Some(Gate::Alien), why)
        }
        Err(error) => (Outcome::Failed, Some(Gate::Alien), told(&error)),
    }
}

/// Removes a session.
pub(super) fn discard(store: &Store, claimed: ClaimedSession, why: String) -> Told {
    let ClaimedSession { id, dir, lease } = claimed;
    let sessions = store.sessions();
    // Out of the way first: half a session must not be taken for one.
    let name = doomed_name(&id);
    let removed = rename(sessions, id.as_str(), sessions, &name)
        .map_err(|source| sessions.error("remove", id.as_str(), source))
        .and_then(|()| empty(&dir, DEPTH))
        .and_then(|()| {
            lease
                .remove_dir(&dir, sessions, &name)
                .map_err(|source| sessions.error("remove", &name, source))
        });
    match removed {
        Ok(()) => (Outcome::Stale, Some(Gate::Boot), why),
        Err(error) => (Outcome::Failed, Some(Gate::Boot), told(&error)),
    }
}

/// Goes on removing what a killed recoverer had begun to remove.
pub(super) fn sweep(store: &Store) {
    let sessions = store.sessions();
    for name in sessions.names().unwrap_or_default() {
        if is_doomed(&name)
            && let Ok(dir) = sessions.existing_child(&name)
            && empty(&dir, DEPTH).is_ok()
        {
            // Another recoverer may have been faster.
            let _gone = sessions.remove_dir(&name);
        }
    }
}

fn doomed_name(id: &SessionId) -> String {
    format!(".{id}.stale")
}

fn is_doomed(name: &str) -> bool {
    let id = name
        .strip_prefix('.')
        .and_then(|rest| rest.strip_suffix(".stale"));
    id.is_some_and(|id| id.parse::<SessionId>().is_ok())
}

fn empty(dir: &Dir, depth: u32) -> Result<(), StoreError> {
    for name in dir.names()? {
        match dir.remove(&name) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR | Errno::PERM) if depth > 1 => {
                empty(&dir.existing_child(&name)?, depth - 1)?;
                dir.remove_dir(&name)
                    .map_err(|source| dir.error("remove", &name, source))?;
            }
            Err(source) => return Err(dir.error("remove", &name, source)),
        }
    }
    Ok(())
}

fn rename(from: &Dir, name: &str, to: &Dir, new: &str) -> Result<(), Errno> {
    match fs::renameat_with(from, name, to, new, RenameFlags::NOREPLACE) {
        // File systems without RENAME_NOREPLACE. A directory that holds something is never replaced.
        Err(Errno::INVAL | Errno::NOSYS) => fs::renameat(from, name, to, new),
        other => other,
    }
}
