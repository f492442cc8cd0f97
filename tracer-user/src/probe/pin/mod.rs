//! What stays in the kernel when the observer is killed: the pins of a session.
//!
//! ```text
//! <bpffs>/<session>/EVENTS COUNTERS TRACKED CONTROL   the maps, under their own names
//!                   on_fork on_exec on_exit …         a link for each hook: it keeps the program attached
//!                   who_am_i                          an iterator: says who reads it
//!                   state                             symbolic link to the state directory
//! ```
//!
//! Made before anything is tracked, and removed when the session's end is in the journal. In between
//! an observer can die at any moment: the programs go on, and the ring holds what nobody has read. A
//! dot in a session's id is `_` in the directory's name, because bpffs keeps dots for itself.
//!
//! Without a bpffs, or where one is refused, everything else works: the kernel then removes the
//! programs with their observer. Refuses to mount anything, and to use a directory that others may
//! write to.

mod dir;
mod reopen;

use std::path::{Path, PathBuf};

use aya::programs::links::PinnedLink;
use rustix::io::Errno;
use thiserror::Error;

pub(super) use self::dir::PinDir;
use self::dir::Root;
pub use self::reopen::{Reopened, Unread};
use super::support::ProbeError;

/// Where pins are unless the user says otherwise.
pub const DEFAULT: &str = "/sys/fs/bpf/tracer";

/// Why there are no pins, or none to be had.
#[derive(Debug, Error)]
pub enum PinError {
    /// A test forgot to name its own.
    #[error("the default bpffs directory {} is refused here; give --bpffs DIR", path.display())]
    DefaultRefused {
        /// Which would have been used.
        path: PathBuf,
    },
    /// No bpffs there.
    #[error("{} is on no bpffs: mount -t bpf bpf /sys/fs/bpf, or give --bpffs DIR", path.display())]
    NoBpffs {
        /// Where it should be.
        path: PathBuf,
    },
    /// Not a directory, or reached through a symbolic link.
    #[error("{} is not a directory, or is a symbolic link; give --bpffs the real path", path.display())]
    NotADirectory {
        /// Which.
        path: PathBuf,
    },
    /// Someone else could remove or replace what we keep there.
    #[error("{} belongs to uid {owner}, not to uid {uid}: give --bpffs a directory of your own", path.display())]
    WrongOwner {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose it must be.
        uid: u32,
    },
    /// Group or world may write.
    #[error("{} may be written by others (mode {mode:04o}): give --bpffs a directory below it", path.display())]
    TooOpen {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// An observer or a recovery uses them.
    #[error("{} is in use by another tracer", path.display())]
    InUse {
        /// Which.
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
    /// The kernel refused to pin something.
    #[error("cannot pin {name} in {}", path.display())]
    Pin {
        /// What.
        name: String,
        /// Where.
        path: PathBuf,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What is pinned cannot be used.
    #[error("cannot use the pins in {}", path.display())]
    Unusable {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<ProbeError>,
    },
    /// The hooks are not all there: whoever pinned them was killed over it.
    #[error("{} lacks {name}: remove it", path.display())]
    Incomplete {
        /// Which.
        path: PathBuf,
        /// What is not in it.
        name: &'static str,
    },
    /// Pids would mean something else from now on.
    #[error(
        "the pins in {} are of an observer in another pid namespace: resume from that one",
        path.display()
    )]
    OtherNamespace {
        /// Which.
        path: PathBuf,
    },
}

/// The directory for pins: `flag` if given, else [`DEFAULT`]. Touches nothing.
///
/// # Errors
/// [`PinError::DefaultRefused`] where tests must name their own.
pub fn place(flag: Option<&Path>, refuse_default: bool) -> Result<PathBuf, PinError> {
    match flag {
        // Read by others from another working directory, through the held descriptor.
        Some(path) => Ok(std::path::absolute(path).unwrap_or_else(|_| path.to_owned())),
        None if refuse_default || cfg!(test) => Err(PinError::DefaultRefused {
            path: DEFAULT.into(),
        }),
        None => Ok(DEFAULT.into()),
    }
}

/// A session's pins that are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The session's id.
    pub session: String,
    /// An observer or a recovery uses them.
    pub in_use: bool,
    /// The state directory that the session is in; `None` where whoever pinned was killed over it.
    pub state: Option<PathBuf>,
}

/// All pins in `bpffs`, by session id. A directory that is not there holds none.
///
/// # Errors
/// When the directory is not one for pins, or cannot be read.
pub fn list(bpffs: &Path) -> Result<Vec<Found>, PinError> {
    let Some(root) = Root::open(bpffs)? else {
        return Ok(Vec::new());
    };
    let names = root.names()?;
    let found = names.into_iter().map(|name| {
        Ok(Found {
            in_use: root.is_held(&name)?,
            state: root.state_of(&name),
            session: session_of(&name),
        })
    });
    found.collect()
}

/// Removes a session's pins, and so the programs that they keep. False when there are none.
///
/// # Errors
/// [`PinError::InUse`] while somebody uses them.
pub fn remove(bpffs: &Path, session: &str) -> Result<bool, PinError> {
    let Some(root) = Root::open(bpffs)? else {
        return Ok(false);
    };
    let Some(dir) = root.open_session(&name_of(session))? else {
        return Ok(false);
    };
    dir.remove()?;
    Ok(true)
}

/// Opens the pins that an observer has left; `None` when there are none.
///
/// # Errors
/// [`PinError`] when somebody uses them, or not all of them are there.
pub fn reopen(bpffs: &Path, session: &str) -> Result<Option<Reopened>, PinError> {
    let Some(root) = Root::open(bpffs)? else {
        return Ok(None);
    };
    match root.open_session(&name_of(session))? {
        Some(dir) => Reopened::open(dir).map(Some),
        None => Ok(None),
    }
}

fn name_of(session: &str) -> String {
    session.replace('.', "_")
}

fn session_of(name: &str) -> String {
    name.replace('_', ".")
}

/// The pins of a running session. They go when this goes, unless it is told to leave them; a panic or
/// a kill leaves them.
#[derive(Debug)]
pub(super) struct Pins {
    dir: PinDir,
    /// Each keeps its hook's program attached also without the file.
    _links: Vec<PinnedLink>,
    left: bool,
}

impl Pins {
    pub(super) fn new(dir: PinDir, links: Vec<PinnedLink>) -> Self {
        Self {
            dir,
            _links: links,
            left: false,
        }
    }

    /// Where they are.
    pub(super) fn dir(&self) -> &PinDir {
        &self.dir
    }

    /// They stay when this goes: the session has no end yet.
    pub(super) fn leave(&mut self) {
        self.left = true;
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        if !self.left && !std::thread::panicking() {
            // What cannot be removed now is found as left over, and removed, by the next recovery.
            let _kept = self.dir.remove();
        }
    }
}

/// Makes the directory of a session's pins.
pub(super) fn make(bpffs: &Path, session: &str) -> Result<PinDir, PinError> {
    Root::make(bpffs)?.make_session(&name_of(session))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_build_refuses_the_default_place() {
        assert!(matches!(
            place(None, false),
            Err(PinError::DefaultRefused { .. })
        ));
        let own = place(Some(Path::new("/x/y")), true).unwrap();
        assert_eq!(own, Path::new("/x/y"));
    }

    #[test]
    fn a_session_id_survives_the_way_through_a_name_without_dots() {
        let id = "20261121T054512.123456Z-0a1b2c3d";
        assert!(!name_of(id).contains('.'));
        assert_eq!(session_of(&name_of(id)), id);
    }

    #[test]
    fn a_directory_that_is_no_bpffs_is_refused_and_nothing_is_left_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pins");
        let error = make(&path, "a").unwrap_err();
        assert!(matches!(error, PinError::NoBpffs { .. }), "{error}");
        assert!(!path.exists());
        assert_eq!(list(&path).unwrap(), []);
        assert!(!remove(&path, "a").unwrap());
    }
}
