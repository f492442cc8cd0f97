//! The lease: the lock that says a session's observer lives.
//!
//! An open-file-description write lock (`fcntl(2)`, `F_OFD_SETLK`) on `lease` in the session's
//! directory. The kernel drops it when the last descriptor of that description is closed, however the
//! observer ends. `O_CLOEXEC` keeps it from what the observer executes; a child that is forked while
//! it is held and does not execute would share it, so nothing is forked then.
//!
//! The file appears locked: it is made without a name, locked, and then linked into place. Nobody ever
//! sees a session whose observer is about to take its lease; but on file systems without such files,
//! where it is locked as soon as it has its name, and the lock decides all the same.
//!
//! Its lines name the observers, one an epoch; they are for people and for the crash slot, which
//! appends to the same file. Only the lock decides.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    session::{
        dir::{Dir, is_named},
        journal::info::SessionInfo,
        publish::temporary_name,
        store::{LEASE, StoreError},
    },
    units::Ticks,
};

/// How often a lease that changes hands is looked at again before giving up.
const TRIES: u32 = 16;
/// Most bytes of a lease that are read.
const READ_MAX: u64 = 1 << 20;

/// Why a lease cannot be taken or examined.
#[derive(Debug, Error)]
pub enum LeaseError {
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
    /// The file system has no locks that end with their holder.
    #[error(
        "{} is on a file system without locks: give --state-dir a directory on a local disk",
        path.display()
    )]
    NoLocks {
        /// On what.
        path: PathBuf,
    },
    /// Not a plain file of ours.
    #[error(transparent)]
    File(#[from] StoreError),
    /// The session was removed, or its lease kept changing, while we looked.
    #[error("{} went away while it was examined; the session was removed", path.display())]
    Gone {
        /// What.
        path: PathBuf,
    },
}

/// One observer's line in the lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Which session, so that a file that was moved says where it came from.
    pub session_id: String,
    /// Which stretch of it.
    pub epoch: u32,
    /// The observer's pid in its own pid namespace.
    pub pid: u32,
    /// Its start; `None` when it could not be read.
    pub starttime_ticks: Option<Ticks>,
    /// Inode of its pid namespace.
    pub pid_ns: Option<u64>,
    /// The boot it lived in.
    pub boot_id: String,
    /// Version of tracer.
    pub version: String,
}

impl From<&SessionInfo> for Holder {
    fn from(info: &SessionInfo) -> Self {
        Self {
            session_id: info.session_id.to_string(),
            epoch: info.epoch,
            pid: info.observer.pid,
            starttime_ticks: info.observer.starttime_ticks,
            pid_ns: info.observer.pid_ns,
            boot_id: info.boot_id.clone(),
            version: info.observer.version.clone(),
        }
    }
}

/// What came of asking for a lease.
#[derive(Debug)]
pub enum Claim {
    /// It is ours until the value is dropped.
    Held(Lease),
    /// A living observer, or another recoverer, has it.
    Taken,
}

/// A lease that is held.
#[derive(Debug)]
pub struct Lease {
    file: File,
}

impl AsFd for Lease {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Lease {
    /// Makes and takes the lease of a new session; one that is there is an error.
    ///
    /// # Errors
    /// [`LeaseError`]; nothing is left behind then.
    pub fn create(dir: &Dir) -> Result<Self, LeaseError> {
        // Without a name until it is locked: whoever is killed before leaves nothing.
        match dir.open_unnamed(OFlags::RDWR | OFlags::APPEND) {
            Ok(file) => {
                let lease = Self::locked(dir, file.into())?;
                dir.link_unnamed(&lease.file, LEASE)
                    .map_err(|source| io_error(dir, "create", source))?;
                Ok(lease)
            }
            // File systems that cannot.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => {
                Self::create_renamed(dir)
            }
            Err(source) => Err(io_error(dir, "create", source)),
        }
    }

    /// [`Self::create`] by way of a temporary name. What is locked is opened by its last name: to the
    /// kernel a file in user space may be another one by each, with other locks; and it must not be open
    /// while it loses a name, or the server keeps that under a hidden one.
    fn create_renamed(dir: &Dir) -> Result<Self, LeaseError> {
        let temporary = temporary_name(LEASE).map_err(|error| {
            let source = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            io_error(dir, "name", source)
        })?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::APPEND;
        let file = dir.open(&temporary, flags, Mode::RUSR | Mode::WUSR);
        drop(file.map_err(|source| io_error(dir, "create", source))?);
        if let Err(source) = dir.rename_new(&temporary, LEASE) {
            let _gone = dir.remove(&temporary);
            return Err(io_error(dir, "create", source));
        }
        match Self::claim_once(dir)? {
            Some(Claim::Held(lease)) => Ok(lease),
            // Somebody who looks for free ones was faster.
            Some(Claim::Taken) | None => Err(io_error(dir, "lock", Errno::EXIST)),
        }
    }

    /// Locks a file that nobody else can have opened.
    fn locked(dir: &Dir, file: File) -> Result<Self, LeaseError> {
        match lock(&file) {
            Ok(true) => Ok(Self { file }),
            Ok(false) => Err(io_error(dir, "lock", Errno::WOULDBLOCK)),
            Err(source) => Err(lock_error(dir, source)),
        }
    }

    /// Takes the lease of a session that is there, unless someone has it. Of any number of callers
    /// exactly one gets it. A directory without a lease gets one.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub fn claim(dir: &Dir) -> Result<Claim, LeaseError> {
        for _ in 0..TRIES {
            if let Some(claim) = Self::claim_once(dir)? {
                return Ok(claim);
            }
            if dir.has(LEASE) {
                continue;
            }
            match Self::create(dir) {
                Ok(lease) => return Ok(Claim::Held(lease)),
                Err(LeaseError::Io {
                    source: Errno::EXIST,
                    ..
                }) => {}
                // Nothing can be made in a directory that was removed.
                Err(LeaseError::Io {
                    source: Errno::NOENT,
                    ..
                }) => break,
                Err(error) => return Err(error),
            }
        }
        Err(LeaseError::Gone {
            path: dir.path().join(LEASE),
        })
    }

    /// Gives up a lease in a directory that turned out to be on its way out. One that nobody ever signed
    /// may have been made by us just now, and would keep the directory there.
    pub(super) fn withdraw(self, dir: &Dir) {
        let is_unsigned = rustix::fs::fstat(&self.file).is_ok_and(|stat| stat.st_size == 0);
        if is_unsigned && is_named(dir, LEASE, &self.file) {
            let _else_the_next_sweep = dir.remove(LEASE);
        }
    }

    /// Takes the lease that is there. `None`: there is none, or it went away meanwhile.
    fn claim_once(dir: &Dir) -> Result<Option<Claim>, LeaseError> {
        let Some(file) = open(dir, OFlags::RDWR | OFlags::APPEND)? else {
            return Ok(None);
        };
        match lock(&file) {
            Ok(true) => {}
            Ok(false) => return Ok(Some(Claim::Taken)),
            Err(source) => return Err(lock_error(dir, source)),
        }
        // Whoever removes a session holds its lease meanwhile: what we have locked may be gone.
        Ok(is_named(dir, LEASE, &file).then_some(Claim::Held(Self { file })))
    }

    /// Removes the directory it was in, which holds nothing any more, and ends with it. Servers of file
    /// systems in user space keep an open file, under a name of their own, until it is closed; and
    /// whoever had the directory open already may have made itself a lease in it, for a moment.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn remove_dir(self, dir: &Dir, parent: &Dir, name: &str) -> Result<(), Errno> {
        let remove = || match parent.remove_dir(name) {
            // Somebody who sweeps was faster.
            Err(Errno::NOENT) => Ok(()),
            other => other,
        };
        let mut removed = remove();
        drop(self);
        for _ in 1..TRIES {
            if removed != Err(Errno::NOTEMPTY) {
                break;
            }
            let _there_or_not = dir.remove(LEASE);
            removed = remove();
        }
        removed
    }

    /// Appends a line that names the holder.
    ///
    /// # Errors
    /// What the system says. The lock holds all the same.
    pub fn sign(&self, holder: &Holder) -> io::Result<()> {
        let mut line = serde_json::to_vec(holder)?;
        // A crash may have cut the line before.
        line.insert(0, b'\n');
        line.push(b'\n');
        // One write: a line is whole or torn, never mixed with another.
        rustix::io::write(&self.file, &line)?;
        Ok(())
    }

    /// A descriptor for writing to the file, for whoever must have one ready. It outlives the lease
    /// without prolonging it: [`Self`] unlocks when it is dropped.
    ///
    /// # Errors
    /// What the system says.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        Ok(rustix::io::fcntl_dupfd_cloexec(&self.file, 3)?)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Closing does not unlock while a duplicate is open.
        let _closed_anyway = set_lock(&self.file, libc::F_OFD_SETLK, libc::F_UNLCK);
    }
}

/// Whether a living observer has the lease. Takes nothing, and so disturbs nobody.
///
/// # Errors
/// [`LeaseError`]; a directory without a lease is nobody's.
pub fn is_taken(dir: &Dir) -> Result<bool, LeaseError> {
    let Some(file) = open(dir, OFlags::RDONLY)? else {
        return Ok(false);
    };
    let found = set_lock(&file, libc::F_OFD_GETLK, libc::F_WRLCK);
    found
        .map(|kind| kind != libc::F_UNLCK)
        .map_err(|source| lock_error(dir, source))
}

/// The lines of a lease, oldest first, as they are. Torn ones are among them.
///
/// # Errors
/// [`LeaseError`]; a directory without a lease has none.
pub fn read_lines(dir: &Dir) -> Result<Vec<Vec<u8>>, LeaseError> {
    use std::io::Read;
    let Some(file) = open(dir, OFlags::RDONLY)? else {
        return Ok(Vec::new());
    };
    let mut text = Vec::new();
    file.take(READ_MAX)
        .read_to_end(&mut text)
        .map_err(|error| {
            let source = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            io_error(dir, "read", source)
        })?;
    Ok(text
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(<[u8]>::to_vec)
        .collect())
}

/// The observer that held the lease last, as far as the lease says.
///
/// # Errors
/// As [`read_lines`].
pub fn last_holder(dir: &Dir) -> Result<Option<Holder>, LeaseError> {
    let lines = read_lines(dir)?;
    Ok(lines
        .iter()
        .rev()
        .find_map(|line| serde_json::from_slice(line).ok()))
}

fn open(dir: &Dir, flags: OFlags) -> Result<Option<File>, LeaseError> {
    match dir.open_plain(LEASE, flags) {
        Err(StoreError::Io {
            source: Errno::NOENT,
            ..
        }) => Ok(None),
        other => Ok(Some(other?)),
    }
}

/// Whether the lock could be had.
fn lock(file: &impl AsRawFd) -> Result<bool, Errno> {
    match set_lock(file, libc::F_OFD_SETLK, libc::F_WRLCK) {
        Ok(_) => Ok(true),
        Err(Errno::AGAIN | Errno::ACCESS) => Ok(false),
        Err(other) => Err(other),
    }
}

fn io_error(dir: &Dir, step: &'static str, source: Errno) -> LeaseError {
    let path = dir.path().join(LEASE);
    LeaseError::Io { step, path, source }
}

fn lock_error(dir: &Dir, source: Errno) -> LeaseError {
    let path = dir.path().join(LEASE);
    match source {
        Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL => {
            LeaseError::NoLocks { path }
        }
        source => io_error(dir, "lock", source),
    }
}

/// One lock operation on the whole file; what the kernel left in `l_type`.
fn set_lock(file: &impl AsRawFd, command: i32, kind: i32) -> Result<i32, Errno> {
    // SAFETY: all zeroes is a valid `flock`: integers only. `l_pid` must be 0 for these commands.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = i16::try_from(kind).map_err(|_| Errno::INVAL)?;
    loop {
        // SAFETY: the descriptor is open for as long as `file` is borrowed, and `lock` is a live
        // `flock`, which is what these commands read and write.
        if unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) } == 0 {
            return Ok(lock.l_type.into());
        }
        let error = Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO);
        if error != Errno::INTR {
            return Err(error);
        }
    }
}
