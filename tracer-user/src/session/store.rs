//! Where sessions live on disk, and the only place that opens them.
//!
//! ```text
//! <state>/sessions/<session id>/journal.<epoch>.jsonl  the record: appended, never changed
//!                               enrollment.json        written once, when the workload is pinned
//!                               proc_trace.jsonl  summary.json       derived
//!                               lease  attachments/    the observer's lock; the caller's own files
//! <state>/sessions.jsonl                               one row a session
//! ```
//!
//! Everything below the state directory is opened relative to a held descriptor, one name at a time,
//! never through a symbolic link. Every directory must be ours alone to write. No name comes from a
//! user or a target: names are constants and [`SessionId`]s.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rustix::{
    fs::{self, AtFlags, FileType, Mode, OFlags},
    io::Errno,
    rand::{GetRandomFlags, getrandom},
};
use thiserror::Error;

pub use crate::session::dir::Dir;
use crate::session::{
    dir::is_named,
    id::SessionId,
    lease::{Claim, Lease, LeaseError},
};

/// The observer's lock in a session's directory.
pub const LEASE: &str = "lease";
/// The sidecar that says whose session it is.
pub const ENROLLMENT: &str = "enrollment.json";
/// Snapshot rows, derived.
pub const PROC_TRACE: &str = "proc_trace.jsonl";
/// Anomalies, derived; only when there are any.
pub const ANOMALIES: &str = "anomalies.jsonl";
/// The summary, derived.
pub const SUMMARY: &str = "summary.json";
/// The caller's own files.
pub const ATTACHMENTS: &str = "attachments";
/// The index beside the sessions.
pub const INDEX: &str = "sessions.jsonl";
/// The directory of sessions.
const SESSIONS: &str = "sessions";
/// Set by test harnesses: the default state directory is then refused.
pub const REFUSE_DEFAULT: &str = "TRACER_REFUSE_DEFAULT_STATE";

/// Name of the journal of an epoch.
#[must_use]
pub fn journal_name(epoch: u32) -> String {
    format!("journal.{epoch}.jsonl")
}

/// Why a directory or file of the store cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// No default place.
    #[error(
        "no state directory: neither XDG_STATE_HOME nor HOME is set to an absolute path; give --state-dir DIR"
    )]
    NoDefault,
    /// A test forgot to name its own.
    #[error("the default state directory {} is refused here ({REFUSE_DEFAULT}); give --state-dir DIR", path.display())]
    DefaultRefused {
        /// Which would have been used.
        path: PathBuf,
    },
    /// A system call failed.
    #[error("cannot {step} {}", path.display())]
    Io {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Errno,
    },
    /// Not a directory, or reached through a symbolic link.
    #[error("{} is not a directory, or is a symbolic link; give --state-dir the real path", path.display())]
    NotADirectory {
        /// Which.
        path: PathBuf,
    },
    /// Someone else could write or replace what we keep there.
    #[error("{} belongs to uid {owner}, not to uid {uid}: use --state-dir with a directory of your own", path.display())]
    WrongOwner {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose it must be.
        uid: u32,
    },
    /// Not a plain file, or one that has other names besides.
    #[error("{} is not a plain file with this name alone: move it away", path.display())]
    NotPlain {
        /// Which.
        path: PathBuf,
    },
    /// Group or world may write.
    #[error("{} may be written by others (mode {mode:04o}): chmod go-w it", path.display())]
    TooOpen {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

/// The state directory's path, not yet looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// `flag` if given, else `/var/lib/tracer` for root and `$XDG_STATE_HOME/tracer` (or
    /// `~/.local/state/tracer`) for everyone else. Touches nothing.
    ///
    /// # Errors
    /// [`StoreError::NoDefault`] and [`StoreError::DefaultRefused`].
    pub fn resolve(
        flag: Option<PathBuf>,
        env: impl Fn(&str) -> Option<OsString>,
        uid: u32,
    ) -> Result<Self, StoreError> {
        if let Some(path) = flag {
            return Ok(Self(path));
        }
        let absolute = |name| {
            env(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let path = if uid == 0 {
            PathBuf::from("/var/lib/tracer")
        } else if let Some(state) = absolute("XDG_STATE_HOME") {
            state.join("tracer")
        } else {
            absolute("HOME")
                .ok_or(StoreError::NoDefault)?
                .join(".local/state/tracer")
        };
        if cfg!(test) || env(REFUSE_DEFAULT).is_some() {
            return Err(StoreError::DefaultRefused { path });
        }
        Ok(Self(path))
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// A session whose lease is ours.
#[derive(Debug)]
pub struct ClaimedSession {
    /// Which.
    pub id: SessionId,
    /// Its directory.
    pub dir: Dir,
    /// Held until this is dropped, or by the recorder that goes on with the session.
    pub lease: Lease,
}

/// What came of asking for a session.
#[derive(Debug)]
pub enum SessionClaim {
    /// It is ours.
    Held(ClaimedSession),
    /// A living observer, or another recoverer, has it.
    Taken,
}

/// An open state directory.
#[derive(Debug)]
pub struct Store {
    state: Dir,
    sessions: Dir,
}

impl Store {
    /// Opens the state directory, making it and its missing parents.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be made, is a symbolic link, is someone else's, or others may
    /// write to it.
    pub fn open(state: &StateDir) -> Result<Self, StoreError> {
        let path = std::path::absolute(state.path()).unwrap_or_else(|_| state.path().to_path_buf());
        let error = |step, source| StoreError::Io {
            step,
            path: path.clone(),
            source,
        };
        make_dirs(&path).map_err(|source| error("make directory", source))?;
        let state = open_state(path)?;
        let sessions = state.private_child(SESSIONS)?;
        Ok(Self { state, sessions })
    }

    /// Opens the state directory to look at what is there, and makes nothing. `None` when there has
    /// been no session yet.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_existing(state: &StateDir) -> Result<Option<Self>, StoreError> {
        let path = std::path::absolute(state.path()).unwrap_or_else(|_| state.path().to_path_buf());
        let absent = |error: &StoreError| {
            matches!(
                error,
                StoreError::Io {
                    source: Errno::NOENT,
                    ..
                }
            )
        };
        let opened = open_state(path).and_then(|state| {
            let sessions = state.existing_child(SESSIONS)?;
            Ok(Self { state, sessions })
        });
        match opened {
            Err(error) if absent(&error) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Whether a session's summary is there.
    pub(super) fn has_summary(&self, id: &SessionId) -> bool {
        fs::statat(
            &self.sessions,
            format!("{id}/{SUMMARY}"),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .is_ok()
    }

    /// The state directory, where `sessions.jsonl` is.
    #[must_use]
    pub fn dir(&self) -> &Dir {
        &self.state
    }

    /// A second handle to the same directories, for the recorder's thread.
    pub(crate) fn duplicate(&self) -> Result<Self, StoreError> {
        Ok(Self {
            state: self.state.duplicate()?,
            sessions: self.sessions.duplicate()?,
        })
    }

    /// An id for a session that starts at `at`. Two calls never give the same in practice;
    /// a recorder refuses it if they do.
    ///
    /// # Errors
    /// When the kernel has no random bytes.
    pub fn new_session_id(&self, at: Timestamp) -> Result<SessionId, StoreError> {
        let mut random = [0_u8; 4];
        getrandom(&mut random, GetRandomFlags::empty())
            .map_err(|source| self.state.error("draw a session id for", "", source))?;
        Ok(SessionId::new(at, random))
    }

    /// Path of a session's directory, for people.
    #[must_use]
    pub fn session_path(&self, id: &SessionId) -> PathBuf {
        self.sessions.path.join(id.as_str())
    }

    /// Opens the directory of a session.
    ///
    /// # Errors
    /// [`StoreError`], also when others may write to it.
    pub fn existing_session(&self, id: &SessionId) -> Result<Dir, StoreError> {
        self.sessions.existing_child(id.as_str())
    }

    /// Takes a session that nobody observes, to finish it, go on with it or remove it.
    ///
    /// # Errors
    /// [`LeaseError`], also for a directory that is not ours alone.
    pub fn claim(&self, id: &SessionId) -> Result<SessionClaim, LeaseError> {
        let dir = self.existing_session(id)?;
        let lease = match Lease::claim(&dir)? {
            Claim::Taken => return Ok(SessionClaim::Taken),
            Claim::Held(lease) => lease,
        };
        // Only who holds the lease takes its name away from a session: whoever did so before us has left
        // us the lease of a directory that is being removed.
        if !is_named(&self.sessions, id.as_str(), &dir) {
            lease.withdraw(&dir);
            return Err(LeaseError::Gone {
                path: self.session_path(id),
            });
        }
        let id = *id;
        Ok(SessionClaim::Held(ClaimedSession { id, dir, lease }))
    }

    /// The directory of sessions.
    pub(super) fn sessions(&self) -> &Dir {
        &self.sessions
    }

    /// Makes the directory entries of new sessions durable.
    pub(crate) fn sync_sessions(&self) -> Result<(), Errno> {
        self.sessions.sync()
    }

    /// Ids of all sessions, oldest first. What is no directory or has another name is left out.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the directory cannot be read.
    pub fn session_ids(&self) -> Result<Vec<SessionId>, StoreError> {
        let error = |source| self.sessions.error("list", "", source);
        let mut ids = Vec::new();
        for entry in fs::Dir::read_from(&self.sessions).map_err(error)? {
            let entry = entry.map_err(error)?;
            // Some file systems do not say the type; a session that is none fails when opened.
            if matches!(entry.file_type(), FileType::Directory | FileType::Unknown)
                && let Ok(name) = entry.file_name().to_str()
            {
                ids.extend(name.parse::<SessionId>());
            }
        }
        ids.sort_unstable();
        Ok(ids)
    }
}

fn open_state(path: PathBuf) -> Result<Dir, StoreError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let fd = match fs::open(&path, flags, Mode::empty()) {
        Err(Errno::NOTDIR | Errno::LOOP) => return Err(StoreError::NotADirectory { path }),
        Err(source) => {
            return Err(StoreError::Io {
                step: "open directory",
                path,
                source,
            });
        }
        Ok(fd) => fd,
    };
    let state = Dir { fd, path };
    state.check_private()?;
    Ok(state)
}

/// `mkdir -p`, private from the first one made.
fn make_dirs(path: &Path) -> Result<(), Errno> {
    match fs::mkdir(path, Mode::RWXU) {
        Err(Errno::NOENT) => {
            make_dirs(path.parent().ok_or(Errno::NOENT)?)?;
            match fs::mkdir(path, Mode::RWXU) {
                Err(Errno::EXIST) => Ok(()),
                other => other,
            }
        }
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}
