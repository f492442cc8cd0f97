//! A directory that is ours alone to write, and the only way to open what is in it.
//!
//! Everything is opened relative to a held descriptor, one name at a time, never through a symbolic
//! link; what is read back must be a plain file of ours with this name alone.

use std::{
    fs::File,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{self, AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, StatxFlags},
    io::Errno,
};

use crate::session::store::StoreError;

/// A held directory, with the path people know it by.
#[derive(Debug)]
pub struct Dir {
    pub(super) fd: OwnedFd,
    pub(super) path: PathBuf,
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Dir {
    /// For messages; everything is opened through the descriptor.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn error(&self, step: &'static str, name: &str, source: Errno) -> StoreError {
        StoreError::Io {
            step,
            path: self.path.join(name),
            source,
        }
    }

    /// Opens a file or directory directly below, never through a symbolic link.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(&self, name: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        if !is_single(name) {
            return Err(Errno::INVAL);
        }
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match fs::openat2(&self.fd, name, flags, mode, resolve) {
            // Sandboxes answer openat2 with either; a single name and O_NOFOLLOW bind as well.
            Err(Errno::NOSYS | Errno::PERM) => fs::openat(&self.fd, name, flags, mode),
            other => other,
        }
    }

    /// Opens a file directly below that is there, if it is a plain file of ours and has this name
    /// alone: a pipe would hang us or swallow what we write, and with a second name it is perhaps
    /// somebody else's file.
    ///
    /// # Errors
    /// [`StoreError::Io`] with what the system says, [`StoreError::NotPlain`] and
    /// [`StoreError::WrongOwner`].
    pub fn open_plain(&self, name: &str, flags: OFlags) -> Result<File, StoreError> {
        let path = || self.path.join(name);
        // NONBLOCK: opening a pipe must not wait for its other end.
        let fd = match self.open(name, flags | OFlags::NONBLOCK, Mode::empty()) {
            Err(Errno::LOOP | Errno::NXIO | Errno::ISDIR) => {
                return Err(StoreError::NotPlain { path: path() });
            }
            other => other.map_err(|source| self.error("open", name, source))?,
        };
        let stat = fs::fstat(&fd).map_err(|source| self.error("examine", name, source))?;
        let is_plain = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !is_plain || has_other_names(&fd, "", stat.st_nlink) {
            return Err(StoreError::NotPlain { path: path() });
        }
        let uid = rustix::process::geteuid().as_raw();
        if stat.st_uid != uid {
            return Err(StoreError::WrongOwner {
                path: path(),
                owner: stat.st_uid,
                uid,
            });
        }
        Ok(File::from(fd))
    }

    /// Names of what is directly below, in no order. What is not UTF-8 is none of ours and comes with
    /// U+FFFD in its place: nothing can be opened by such a name.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn names(&self) -> Result<Vec<String>, StoreError> {
        let error = |source| self.error("list", "", source);
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(&self.fd).map_err(error)? {
            let entry = entry.map_err(error)?;
            let name = entry.file_name().to_string_lossy();
            if name != "." && name != ".." {
                names.push(name.into_owned());
            }
        }
        Ok(names)
    }

    /// Whether there is something of this name directly below, whatever it is.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        is_single(name) && fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Makes a file in the directory that has no name and goes with its last descriptor.
    ///
    /// # Errors
    /// What the system says; file systems that cannot, and kernels, say `OPNOTSUPP` or `ISDIR`.
    pub(super) fn open_unnamed(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::TMPFILE | OFlags::CLOEXEC;
        match fs::openat(&self.fd, ".", flags, Mode::RUSR | Mode::WUSR) {
            // What ext4 says in a directory that was removed.
            Err(Errno::PERM) if fs::fstat(&self.fd).is_ok_and(|stat| stat.st_nlink == 0) => {
                Err(Errno::NOENT)
            }
            other => other,
        }
    }

    /// Gives such a file its name, never over something that is there.
    ///
    /// # Errors
    /// What the system says; `EXIST` when the name is taken.
    pub(super) fn link_unnamed(&self, file: &File, name: &str) -> Result<(), Errno> {
        // By its descriptor alone it needs a capability or a new kernel.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        fs::linkat(fs::CWD, path, &self.fd, name, AtFlags::SYMLINK_FOLLOW)
    }

    /// Renames within the directory, never over something that is there.
    ///
    /// # Errors
    /// What the system says; `EXIST` when the new name is taken.
    pub(super) fn rename_new(&self, from: &str, to: &str) -> Result<(), Errno> {
        match fs::renameat_with(&self.fd, from, &self.fd, to, RenameFlags::NOREPLACE) {
            // Without RENAME_NOREPLACE: file systems, kernels, sandboxes. A hard link never replaces either.
            Err(Errno::INVAL | Errno::NOSYS | Errno::PERM) => {
                fs::linkat(&self.fd, from, &self.fd, to, AtFlags::empty())?;
                fs::unlinkat(&self.fd, from, AtFlags::empty())
            }
            other => other,
        }
    }

    /// Opens a directory below that is ours alone to write, making it first if it is not there.
    pub(super) fn private_child(&self, name: &str) -> Result<Self, StoreError> {
        match fs::mkdirat(&self.fd, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => self.existing_child(name),
            Err(source) => Err(self.error("make directory", name, source)),
        }
    }

    pub(super) fn existing_child(&self, name: &str) -> Result<Self, StoreError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let path = self.path.join(name);
        let fd = match self.open(name, flags, Mode::empty()) {
            Err(Errno::NOTDIR | Errno::LOOP) => return Err(StoreError::NotADirectory { path }),
            other => other.map_err(|source| self.error("open directory", name, source))?,
        };
        let dir = Self { fd, path };
        dir.check_private()?;
        Ok(dir)
    }

    /// Ours, and not for others to write.
    pub(super) fn check_private(&self) -> Result<(), StoreError> {
        let stat = fs::fstat(&self.fd).map_err(|source| self.error("examine", "", source))?;
        let uid = rustix::process::geteuid().as_raw();
        if stat.st_uid != uid {
            return Err(StoreError::WrongOwner {
                path: self.path.clone(),
                owner: stat.st_uid,
                uid,
            });
        }
        let mode = stat.st_mode & 0o7777;
        if mode & 0o022 != 0 {
            return Err(StoreError::TooOpen {
                path: self.path.clone(),
                mode,
            });
        }
        Ok(())
    }

    /// Makes what was created, renamed or removed in it durable.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&self) -> Result<(), Errno> {
        fs::fsync(&self.fd)
    }

    /// Removes a file directly below.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove(&self, name: &str) -> Result<(), Errno> {
        fs::unlinkat(&self.fd, name, AtFlags::empty())
    }

    /// Opens a directory below that is ours alone to write; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn child(&self, name: &str) -> Result<Option<Self>, StoreError> {
        match self.existing_child(name) {
            Err(StoreError::Io {
                source: Errno::NOENT,
                ..
            }) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Removes an empty directory directly below.
    pub(super) fn remove_dir(&self, name: &str) -> Result<(), Errno> {
        fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)
    }

    /// A second descriptor for the same directory.
    pub(super) fn duplicate(&self) -> Result<Self, StoreError> {
        let fd = rustix::io::fcntl_dupfd_cloexec(&self.fd, 3)
            .map_err(|source| self.error("keep open", "", source))?;
        Ok(Self {
            fd,
            path: self.path.clone(),
        })
    }
}

/// Whether this name below `dir` is still that of the file or directory that is held.
pub(super) fn is_named(dir: &Dir, name: &str, held: impl AsFd) -> bool {
    let named = fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
    let held = fs::fstat(held);
    matches!((named, held), (Ok(a), Ok(b)) if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
}

/// Whether the file at `name` below `dir`, or `dir` itself where that is empty, has names besides this
/// one; `links` is what was read of it. A file system in user space is read from the kernel's memory,
/// which may hold a name for a second more after a rename has taken it away: before anybody is told to
/// move a file, it is asked itself.
pub(super) fn has_other_names(dir: impl AsFd, name: &str, links: impl Into<u64>) -> bool {
    if links.into() <= 1 {
        return false;
    }
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
    let asked = fs::statx(dir, name, flags, StatxFlags::NLINK);
    asked.map_or(true, |stat| stat.stx_nlink > 1)
}

/// One name, and not a way to somewhere else.
fn is_single(name: &str) -> bool {
    !name.is_empty() && !name.contains('/') && name != "." && name != ".."
}
