//! Opens another recorder's files in a directory that anybody may write to.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    time::{Duration, SystemTime},
};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};

/// A directory.
pub(super) struct Place {
    fd: OwnedFd,
}

impl AsFd for Place {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A file that counts.
pub(super) struct Plain {
    pub(super) file: File,
    /// When it was last written to.
    pub(super) modified: SystemTime,
}

impl Place {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = fs::open(path, flags, Mode::empty())?;
        Ok(Self { fd })
    }

    /// Names of what is in it, any bytes.
    pub(super) fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let entries = fs::Dir::read_from(&self.fd)?;
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry?.file_name().to_bytes().to_vec());
        }
        Ok(names)
    }

    /// Opens a file that is plain, ours, has this name alone, is not for others to write, and is no
    /// longer than `most`. Why it is none otherwise.
    pub(super) fn plain(&self, name: &[u8], most: u64) -> Result<Plain, String> {
        let shown = || String::from_utf8_lossy(name).into_owned();
        let failed = |error: rustix::io::Errno| format!("{}: {error}", shown());
        // Looked at first: opening a device can do something.
        let stat = fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        check(&stat, most).map_err(|why| format!("{} {why}", shown()))?;
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = fs::openat(&self.fd, name, flags, Mode::empty()).map_err(failed)?;
        // It may be another one by now.
        let stat = fs::fstat(&file).map_err(failed)?;
        check(&stat, most).map_err(|why| format!("{} {why}", shown()))?;
        Ok(Plain {
            file: File::from(file),
            modified: modified(&stat),
        })
    }
}

fn check(stat: &Stat, most: u64) -> Result<(), String> {
    let own = rustix::process::geteuid().as_raw();
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err("is no plain file".to_owned());
    }
    if stat.st_nlink > 1 {
        return Err("has another name besides".to_owned());
    }
    if stat.st_uid != own {
        return Err(format!("belongs to uid {}, not to uid {own}", stat.st_uid));
    }
    if stat.st_mode & 0o022 != 0 {
        return Err("may be written by others".to_owned());
    }
    if u64::try_from(stat.st_size).unwrap_or(u64::MAX) > most {
        return Err(format!("is longer than {most} bytes"));
    }
    Ok(())
}

fn modified(stat: &Stat) -> SystemTime {
    let seconds = Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
    SystemTime::UNIX_EPOCH
        .checked_add(seconds)
        .unwrap_or(SystemTime::UNIX_EPOCH)
}
