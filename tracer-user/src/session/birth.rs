//! How a session's directory comes into being: whole, or not at all.
//!
//! It is made under another name, gets its lease and the first record of its journal there, and is
//! then renamed, never over something. So every session that can be seen has had its observer's lease
//! from the start and says whose it is. What a crash leaves unborn has a name of this form and no
//! meaning: the command had not begun.

use std::os::fd::OwnedFd;

use rustix::{
    fs::{self, FlockOperation, Mode, OFlags, RenameFlags},
    io::Errno,
};

use crate::session::{
    dir::{Dir, is_named},
    id::SessionId,
    lease::{Claim, Lease, LeaseError},
    publish::is_temporary,
    store::{LEASE, Store, StoreError, journal_name},
};

/// How often a directory is made again that a sweeper took for a dead one's, before its lease was in it.
const TRIES: u32 = 8;

/// Why there is no new session.
#[derive(Debug)]
pub(super) enum BirthError {
    /// There is one of this id.
    Exists,
    /// Its directory could not be made.
    Store(StoreError),
    /// Its lease could not be taken.
    Lease(LeaseError),
}

impl BirthError {
    /// A sweeper has removed the directory before our lease was in it, or took that.
    fn is_gone(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::Io {
                source: Errno::NOENT,
                ..
            }) | Self::Lease(LeaseError::Io {
                source: Errno::NOENT | Errno::EXIST,
                ..
            })
        )
    }
}

fn unborn_name(id: &SessionId) -> String {
    format!(".{id}.new")
}

fn unborn_id(name: &str) -> Option<SessionId> {
    let id = name.strip_prefix('.')?.strip_suffix(".new")?;
    id.parse().ok()
}

/// Makes the directory of a new session, under a name of its own for now, and takes its lease.
pub(super) fn conceive(store: &Store, id: &SessionId) -> Result<(Dir, Lease), BirthError> {
    let sessions = store.sessions();
    if sessions.has(id.as_str()) {
        return Err(BirthError::Exists);
    }
    let name = unborn_name(id);
    // Sweepers leave directories without a lease alone meanwhile. Should one be at work, it may take
    // ours, and we make it again.
    let _held = lock(sessions, FlockOperation::NonBlockingLockShared);
    for again in 0..TRIES {
        match fs::mkdirat(sessions, &name, Mode::RWXU) {
            // Ours, which the sweeper is about to remove.
            Err(Errno::EXIST) if again > 0 => continue,
            Err(Errno::EXIST) => return Err(BirthError::Exists),
            other => other
                .map_err(|source| sessions.error("make directory", id.as_str(), source))
                .map_err(BirthError::Store)?,
        }
        match occupy(store, id, &name) {
            Err(error) if error.is_gone() => {}
            Err(error) => {
                let _kept = sessions.remove_dir(&name);
                return Err(error);
            }
            made => return made,
        }
    }
    let error = sessions.error("keep directory", id.as_str(), Errno::NOENT);
    Err(BirthError::Store(error))
}

fn occupy(store: &Store, id: &SessionId, name: &str) -> Result<(Dir, Lease), BirthError> {
    let mut dir = store
        .sessions()
        .existing_child(name)
        .map_err(BirthError::Store)?;
    // By the name it will have when anybody reads of it.
    dir.path = store.session_path(id);
    let lease = Lease::create(&dir).map_err(BirthError::Lease)?;
    Ok((dir, lease))
}

/// Gives the directory of a new session its name.
pub(super) fn bear(store: &Store, id: &SessionId) -> Result<(), Errno> {
    let sessions = store.sessions();
    let (from, to) = (unborn_name(id), id.as_str());
    match fs::renameat_with(sessions, &from, sessions, to, RenameFlags::NOREPLACE) {
        // Without RENAME_NOREPLACE: file systems, kernels, sandboxes. A directory that holds something
        // is never replaced, and an empty one is no session.
        Err(Errno::INVAL | Errno::NOSYS | Errno::PERM) => {
            match fs::renameat(sessions, &from, sessions, to) {
                Err(Errno::NOTEMPTY) => Err(Errno::EXIST),
                other => other,
            }
        }
        other => other,
    }
}

/// Removes what there is of a session that could not begin.
pub(super) fn abandon(store: &Store, dir: &Dir, id: &SessionId) -> Result<(), Errno> {
    clear(dir)?;
    store.sessions().remove_dir(&unborn_name(id))
}

/// Removes the files that can be in an unborn session; anything else keeps the directory from going.
/// Only for whoever holds its lease.
fn clear(dir: &Dir) -> Result<(), Errno> {
    let names = dir.names().map_err(|_| Errno::IO)?;
    let first = journal_name(0);
    // The lease last: while it is there it is held.
    for name in names
        .iter()
        .filter(|name| **name == first || is_temporary(name))
    {
        dir.remove(name)?;
    }
    match dir.remove(LEASE) {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

/// Removes a lease on its way: before it is there, nothing else is. Its maker, should it live, begins
/// again.
fn clear_lease(dir: &Dir) -> Result<(), Errno> {
    let names = dir.names().map_err(|_| Errno::IO)?;
    let lease = format!(".{LEASE}.");
    for name in names
        .iter()
        .filter(|name| name.starts_with(&lease) && is_temporary(name))
    {
        dir.remove(name)?;
    }
    Ok(())
}

/// A lock on the directory of sessions, on a description of its own, until the descriptor is dropped.
/// `None` when it cannot be had at once.
fn lock(sessions: &Dir, how: FlockOperation) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = fs::openat(sessions, ".", flags, Mode::empty()).ok()?;
    fs::flock(&fd, how).ok().map(|()| fd)
}

/// Removes what observers that died in their first moments have left; how many directories. Those of
/// living ones stay.
///
/// # Errors
/// [`StoreError`] when the sessions cannot be listed. One that cannot be removed stays for the next time.
pub fn sweep(store: &Store) -> Result<usize, StoreError> {
    let sessions = store.sessions();
    let mut swept = 0;
    // Nobody is between making a directory and having its lease, as long as this is held.
    let alone = lock(sessions, FlockOperation::NonBlockingLockExclusive);
    for name in sessions.names()? {
        if unborn_id(&name).is_none() {
            continue;
        }
        let Ok(dir) = sessions.existing_child(&name) else {
            continue;
        };
        let gone = if dir.has(LEASE) {
            match Lease::claim(&dir) {
                // A session that was born meanwhile, and ended, is the same directory with a free
                // lease: only the name tells, and it cannot change while the lease is ours.
                Ok(Claim::Held(lease)) if is_named(sessions, &name, &dir) => {
                    clear(&dir).and_then(|()| lease.remove_dir(&dir, sessions, &name))
                }
                _ => continue,
            }
        } else if alone.is_some() {
            clear_lease(&dir).and_then(|()| sessions.remove_dir(&name))
        } else {
            // Made this very moment, or by an observer that died in its first microseconds.
            continue;
        };
        swept += usize::from(gone.is_ok());
    }
    Ok(swept)
}
