//! Directories of pins: one for all sessions, one in it for each.
//!
//! A bpffs is often mounted for everyone to write (mode 1777), so a directory counts only if it is
//! ours, nobody else may write to it, and no symbolic link led to it. Whoever uses a session's
//! directory holds a `flock(2)` on it, which the kernel takes back when he dies.

use std::{
    ffi::{CStr, OsString},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::ffi::OsStringExt as _,
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    fs::{self, AtFlags, FlockOperation, Mode, OFlags},
    io::Errno,
};

use super::PinError;

/// `BPF_FS_MAGIC` of include/uapi/linux/magic.h.
const BPF_FS_MAGIC: fs::FsWord = 0xcafe_4a11;
/// How often a directory that was taken away is made again.
const TRIES: u32 = 8;
/// The symbolic link that says where the session is.
const STATE: &str = "state";
/// How long a directory may be held by someone who only looks whether it is.
const PATIENCE: Duration = Duration::from_millis(200);
/// A directory, and no symbolic link to one.
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW);

/// The directory of all sessions' pins.
#[derive(Debug)]
pub(super) struct Root {
    fd: OwnedFd,
    path: PathBuf,
}

impl Root {
    /// Opens it; `None` when it is not there.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, PinError> {
        let fd = match fs::open(path, DIRECTORY, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(source) => return Err(refused(path, "open", source)),
        };
        let stat = fs::fstatfs(&fd).map_err(|source| refused(path, "examine", source))?;
        if !is_bpffs(&stat) {
            return Err(PinError::NoBpffs { path: path.into() });
        }
        check_private(&fd, path)?;
        let path = path.to_owned();
        Ok(Some(Self { fd, path }))
    }

    /// Opens it, making it first if it is not there.
    pub(super) fn make(path: &Path) -> Result<Self, PinError> {
        if let Some(root) = Self::open(path)? {
            return Ok(root);
        }
        // Only this one: whatever is above it is a bpffs already, or nothing is to be made there.
        match fs::mkdir(path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            // sysfs lets nobody make a directory, and a path that is not there has no file system.
            Err(Errno::NOENT | Errno::PERM | Errno::ROFS) if !is_on_bpffs(path) => {
                return Err(PinError::NoBpffs { path: path.into() });
            }
            Err(source) => return Err(refused(path, "make", source)),
        }
        match Self::open(path) {
            Ok(Some(root)) => Ok(root),
            Ok(None) => Err(refused(path, "open", Errno::NOENT)),
            Err(error) => {
                // Nothing is left where pins cannot be; not ours, or not empty, it stays.
                let _kept = fs::rmdir(path);
                Err(error)
            }
        }
    }

    /// Names of all directories in it that can be a session's.
    pub(super) fn names(&self) -> Result<Vec<String>, PinError> {
        let failed = |source| refused(&self.path, "list", source);
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(&self.fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if let Ok(name) = entry.file_name().to_str()
                && is_name(name)
            {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Makes a session's directory and takes it.
    pub(super) fn make_session(&self, name: &str) -> Result<PinDir, PinError> {
        let path = self.path.join(name);
        if !is_name(name) {
            return Err(refused(&path, "make", Errno::INVAL));
        }
        for _ in 0..TRIES {
            fs::mkdirat(&self.fd, name, Mode::RWXU)
                .map_err(|source| refused(&path, "make", source))?;
            // In the moment before it is taken, a recovery may think that nobody wants it.
            if let Some(dir) = self.open_session(name)? {
                return Ok(dir);
            }
        }
        Err(refused(&path, "open", Errno::NOENT))
    }

    /// Opens a session's directory and takes it; `None` when it is not there.
    pub(super) fn open_session(&self, name: &str) -> Result<Option<PinDir>, PinError> {
        let path = self.path.join(name);
        let Some(fd) = self.open_name(name)? else {
            return Ok(None);
        };
        check_private(&fd, &path)?;
        let deadline = Instant::now() + PATIENCE;
        while !lock(&fd, &path, FlockOperation::NonBlockingLockExclusive)? {
            if Instant::now() >= deadline {
                return Err(PinError::InUse { path });
            }
            // flock(2) has no deadline of its own that a thread could have to itself.
            std::thread::sleep(Duration::from_millis(1));
        }
        // Its last holder may have removed it meanwhile.
        let stat = fs::fstat(&fd).map_err(|source| refused(&path, "examine", source))?;
        if stat.st_nlink == 0 {
            return Ok(None);
        }
        let root = rustix::io::fcntl_dupfd_cloexec(&self.fd, 3)
            .map_err(|source| refused(&path, "keep open", source))?;
        Ok(Some(PinDir {
            root,
            fd,
            name: name.to_owned(),
            path,
        }))
    }

    /// The state directory that a session's pins belong to, if they say so.
    pub(super) fn state_of(&self, name: &str) -> Option<PathBuf> {
        let fd = self.open_name(name).ok()??;
        let target = fs::readlinkat(&fd, STATE, Vec::new()).ok()?;
        Some(OsString::from_vec(target.into_bytes()).into())
    }

    /// Whether somebody holds a session's directory.
    pub(super) fn is_held(&self, name: &str) -> Result<bool, PinError> {
        match self.open_name(name)? {
            Some(fd) => {
                let shared = FlockOperation::NonBlockingLockShared;
                Ok(!lock(&fd, &self.path.join(name), shared)?)
            }
            None => Ok(false),
        }
    }

    fn open_name(&self, name: &str) -> Result<Option<OwnedFd>, PinError> {
        let path = self.path.join(name);
        if !is_name(name) {
            return Err(refused(&path, "open", Errno::INVAL));
        }
        match fs::openat(&self.fd, name, DIRECTORY, Mode::empty()) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT) => Ok(None),
            Err(source) => Err(refused(&path, "open", source)),
        }
    }
}

/// A session's directory, held.
#[derive(Debug)]
pub(in crate::probe) struct PinDir {
    root: OwnedFd,
    fd: OwnedFd,
    name: String,
    path: PathBuf,
}

impl PinDir {
    /// For messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A path to a file in it that leads through the held descriptor, whatever became of the names.
    pub(in crate::probe) fn file(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.fd.as_raw_fd()))
    }

    /// Names of the files in it.
    pub(super) fn files(&self) -> Result<Vec<String>, PinError> {
        let mut names = Vec::new();
        self.each(|name| {
            names.extend(name.to_str().ok().map(str::to_owned));
            Ok(())
        })?;
        names.sort_unstable();
        Ok(names)
    }

    /// Writes down which state directory these belong to: a bpffs holds nothing but pins and links.
    pub(in crate::probe) fn say_whose(&self, state: &Path) -> Result<(), PinError> {
        fs::symlinkat(state, &self.fd, STATE)
            .map_err(|source| refused(&self.path, "write in", source))
    }

    /// The kernel refused to pin something here.
    pub(in crate::probe) fn refused(
        &self,
        name: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> PinError {
        PinError::Pin {
            name: name.to_owned(),
            path: self.path.clone(),
            source: source.into(),
        }
    }

    /// Removes everything, and itself. What was pinned goes when nobody else holds it.
    pub(in crate::probe) fn remove(&self) -> Result<(), PinError> {
        self.each(
            |name| match fs::unlinkat(&self.fd, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(source) => Err(refused(&self.path, "empty", source)),
            },
        )?;
        match fs::unlinkat(&self.root, self.name.as_str(), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(source) => Err(refused(&self.path, "remove", source)),
        }
    }

    fn each(&self, mut act: impl FnMut(&CStr) -> Result<(), PinError>) -> Result<(), PinError> {
        let failed = |source| refused(&self.path, "list", source);
        let entries: Vec<_> = fs::Dir::read_from(&self.fd)
            .map_err(failed)?
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        entries
            .iter()
            .map(fs::DirEntry::file_name)
            .filter(|name| !matches!(name.to_bytes(), b"." | b".."))
            .try_for_each(&mut act)
    }
}

/// Whether it can be the name of a session's directory: nothing that leads elsewhere, and no dot, which
/// bpffs refuses.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Takes a lock if nobody holds one that is in its way.
fn lock(fd: &OwnedFd, path: &Path, how: FlockOperation) -> Result<bool, PinError> {
    match fs::flock(fd, how) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(source) => Err(refused(path, "lock", source)),
    }
}

fn is_on_bpffs(path: &Path) -> bool {
    let nearest = path
        .ancestors()
        .skip(1)
        .find_map(|path| fs::statfs(path).ok());
    nearest.is_some_and(|stat| is_bpffs(&stat))
}

fn is_bpffs(stat: &fs::StatFs) -> bool {
    stat.f_type == BPF_FS_MAGIC
}

/// Ours, and not for others to write.
fn check_private(fd: &OwnedFd, path: &Path) -> Result<(), PinError> {
    let stat = fs::fstat(fd).map_err(|source| refused(path, "examine", source))?;
    let uid = rustix::process::geteuid().as_raw();
    if stat.st_uid != uid {
        return Err(PinError::WrongOwner {
            path: path.into(),
            owner: stat.st_uid,
            uid,
        });
    }
    let mode = stat.st_mode & 0o7777;
    if mode & 0o022 != 0 {
        return Err(PinError::TooOpen {
            path: path.into(),
            mode,
        });
    }
    Ok(())
}

fn refused(path: &Path, step: &'static str, source: Errno) -> PinError {
    match source {
        Errno::NOTDIR | Errno::LOOP => PinError::NotADirectory { path: path.into() },
        _ => PinError::Io {
            step,
            path: path.into(),
            source,
        },
    }
}
