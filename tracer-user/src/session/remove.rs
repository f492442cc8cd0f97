//! Removing one session, and nothing else.
//!
//! Only what we can prove to be ours goes: a directory with an id for a name, whose lease we hold,
//! whose journal says the same id, and in which everything has a name of ours. It is renamed first, so
//! that nobody lists or recovers half a session; what a crash leaves of that is swept by the next
//! removal. The lease goes last: whoever waits for it finds an empty directory.

use rustix::{
    fs::{self, AtFlags, FileType},
    io::Errno,
};
use thiserror::Error;

use crate::session::{
    SessionId, Store,
    attach_file::check_name,
    dir::Dir,
    epochs::{self, EpochsError, epoch_of},
    lease::{Claim, Lease, LeaseError},
    publish::{is_temporary, unfinished},
    status::{self, Status},
    store::{
        ANOMALIES, ATTACHMENTS, ENROLLMENT, LEASE, PROC_TRACE, SUMMARY, SessionClaim, StoreError,
    },
};

/// Beginning of the name of a session that is being removed. No session id begins so.
const GOING: &str = ".removing-";

/// Which sessions may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that have ended and are whole: all that retention may touch.
    Finished,
    /// Also interrupted and corrupt ones. A user has said so.
    NotRunning,
}

/// Why a session stays.
#[derive(Debug, Error)]
pub enum RemoveError {
    /// Its observer lives, or somebody is finishing or removing it.
    #[error("session {id} is running, or somebody is working on it")]
    Running {
        /// Which.
        id: SessionId,
    },
    /// It has no end.
    #[error(
        "session {id} was interrupted: `tracer recover` finishes it; rm --force removes it as it is"
    )]
    Interrupted {
        /// Which.
        id: SessionId,
    },
    /// It cannot be read.
    #[error("session {id} is corrupt ({why}); rm --force removes it all the same")]
    Corrupt {
        /// Which.
        id: SessionId,
        /// What is wrong.
        why: String,
    },
    /// The journal is another session's, or nobody's.
    #[error("session {id} is not tracer's: {why}; move the directory away")]
    Foreign {
        /// Which.
        id: SessionId,
        /// What says so.
        why: String,
    },
    /// The kernel still records for it.
    #[error("session {id} still has its programs in the kernel: `tracer recover` takes them out")]
    Pinned {
        /// Which.
        id: SessionId,
    },
    /// It is not there any more.
    #[error("session {id} is gone already")]
    Gone {
        /// Which.
        id: SessionId,
    },
    /// Its directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its lease cannot be had.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The system refused.
    #[error("cannot remove {name} of session {id}; run it again when that is mended")]
    Io {
        /// Which.
        id: SessionId,
        /// Which file.
        name: String,
        /// What the system said.
        #[source]
        source: Errno,
    },
}

/// Removes a session.
///
/// # Errors
/// [`RemoveError`] says why it stays. After [`RemoveError::Io`] part of it may be gone.
pub fn remove(
    store: &Store,
    id: &SessionId,
    which: Which,
    is_pinned: impl Fn(&SessionId) -> bool,
) -> Result<(), RemoveError> {
    let claim = match store.claim(id) {
        Err(
            LeaseError::Gone { .. }
            | LeaseError::File(StoreError::Io {
                source: Errno::NOENT,
                ..
            }),
        ) => return Err(RemoveError::Gone { id: *id }),
        other => other?,
    };
    let SessionClaim::Held(session) = claim else {
        return Err(RemoveError::Running { id: *id });
    };
    // The lease is ours: nothing below can change under our hands.
    check(id, &session.dir, which)?;
    if is_pinned(id) {
        return Err(RemoveError::Pinned { id: *id });
    }
    let names = own_names(id, &session.dir)?;
    let going = format!("{GOING}{id}");
    let error = |name: &str, source| RemoveError::Io {
        id: *id,
        name: name.to_owned(),
        source,
    };
    match fs::renameat(store.sessions(), id.as_str(), store.sessions(), &going) {
        Err(Errno::NOENT) => return Err(RemoveError::Gone { id: *id }),
        other => other.map_err(|source| error("the directory", source))?,
    }
    empty(&session.dir, &names).map_err(|(name, source)| error(&name, source))?;
    session
        .lease
        .remove_dir(&session.dir, store.sessions(), &going)
        .map_err(|source| error("the directory", source))
}

/// Finishes removals that a crash has cut short. What is in use or not ours is left alone.
pub(super) fn sweep(store: &Store) {
    let Ok(names) = store.sessions().names() else {
        return;
    };
    for name in names {
        let Some(Ok(id)) = name.strip_prefix(GOING).map(str::parse::<SessionId>) else {
            continue;
        };
        let Ok(dir) = store.sessions().existing_child(&name) else {
            continue;
        };
        // Emptied up to its lease it has none; then nobody can be at it but another sweep.
        let held: Option<Lease> = match Lease::claim(&dir) {
            Ok(Claim::Held(lease)) => Some(lease),
            Ok(Claim::Taken) => continue,
            Err(_) => None,
        };
        if let Ok(own) = own_names(&id, &dir)
            && empty(&dir, &own).is_ok()
        {
            let _not_empty_then = match held {
                Some(lease) => lease.remove_dir(&dir, store.sessions(), &name),
                None => store.sessions().remove_dir(&name),
            };
        }
    }
}

fn check(id: &SessionId, dir: &Dir, which: Which) -> Result<(), RemoveError> {
    match status::examine(dir).status {
        Status::Ended(_) => {}
        // Our own lease makes it look so.
        Status::Running | Status::Interrupted if which == Which::NotRunning => {}
        Status::Running | Status::Interrupted => return Err(RemoveError::Interrupted { id: *id }),
        // No record to ask whose it is; the names of the files have to do.
        Status::Corrupt(_) if which == Which::NotRunning => return Ok(()),
        Status::Corrupt(why) => return Err(RemoveError::Corrupt { id: *id, why }),
    }
    let foreign = |why: String| RemoveError::Foreign { id: *id, why };
    match epochs::session_info(dir) {
        Ok(Some(info)) if info.session_id == *id => Ok(()),
        Ok(Some(info)) => Err(foreign(format!("its journal is of {}", info.session_id))),
        Ok(None) => Err(foreign("its journal does not say whose it is".to_owned())),
        Err(EpochsError::Store(error)) => Err(error.into()),
        Err(error) => Err(RemoveError::Corrupt {
            id: *id,
            why: status::told(&error),
        }),
    }
}

/// The names in a session's directory, if all of them are ours.
fn own_names(id: &SessionId, dir: &Dir) -> Result<Vec<String>, RemoveError> {
    let names = dir.names()?;
    let foreign = |name: &str| RemoveError::Foreign {
        id: *id,
        why: format!("it holds {name:?}"),
    };
    for name in &names {
        let directory = match kind(dir, name) {
            Ok(FileType::RegularFile) => false,
            Ok(FileType::Directory) => true,
            _ => return Err(foreign(name)),
        };
        if directory != (name == ATTACHMENTS) || !(directory || is_ours(name)) {
            return Err(foreign(name));
        }
    }
    if names.iter().any(|name| name == ATTACHMENTS) {
        let attachments = dir.existing_child(ATTACHMENTS)?;
        for name in attachments.names()? {
            let plain = kind(&attachments, &name) == Ok(FileType::RegularFile);
            if !plain || (check_name(&name).is_err() && unfinished(&name).is_none()) {
                return Err(foreign(&format!("{ATTACHMENTS}/{name}")));
            }
        }
    }
    Ok(names)
}

/// Whether a file of this name in a session's directory is one we made.
pub(super) fn is_ours(name: &str) -> bool {
    [LEASE, ENROLLMENT, PROC_TRACE, ANOMALIES, SUMMARY].contains(&name)
        || epoch_of(name).is_some()
        || is_temporary(name)
}

fn kind(dir: &Dir, name: &str) -> Result<FileType, Errno> {
    let stat = fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

/// Removes everything, the lease last.
fn empty(dir: &Dir, names: &[String]) -> Result<(), (String, Errno)> {
    let gone = |name: &str, result: Result<(), Errno>| match result {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err((name.to_owned(), error)),
    };
    for name in names.iter().filter(|name| *name != LEASE) {
        if name == ATTACHMENTS {
            let list = || -> Result<(Dir, Vec<String>), StoreError> {
                let child = dir.existing_child(ATTACHMENTS)?;
                let names = child.names()?;
                Ok((child, names))
            };
            let (child, inside) = list().map_err(|_| (name.clone(), Errno::IO))?;
            for file in inside {
                gone(&file, child.remove(&file))?;
            }
            gone(name, dir.remove_dir(name))?;
        } else {
            gone(name, dir.remove(name))?;
        }
    }
    gone(LEASE, dir.remove(LEASE))
}
