//! Where `--json` may write: what a path names, looked at before it is opened.
//!
//! The record must not end up where another user wants it. Links, devices and what others have put
//! into a shared directory are refused; a new file is private (0600) from its first byte.

use std::{ffi::OsString, fs::File, io, os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{self, FileType, Mode, OFlags, Stat},
    io::Errno,
};
use thiserror::Error;

/// The descriptor that `/dev/fd/N` names, as a shell's `>(…)` gives it: a link, but one that whoever
/// started tracer has made, unless the descriptor is one of tracer's own.
pub(super) fn given(path: &Path) -> Option<io::Result<File>> {
    let number = ["/dev/fd", "/proc/self/fd"]
        .iter()
        .find_map(|dir| path.strip_prefix(dir).ok())?;
    let number: u32 = number.to_str()?.parse().ok()?;
    let open = || {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}"))?;
        // proc_pid_fdinfo(5): in octal. All of tracer's own are closed on exec; what it was given
        // cannot be.
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
        if flags.is_none_or(|flags| flags & OFlags::CLOEXEC.bits() != 0) {
            return Err(Refused::NotGiven(number).into());
        }
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = fs::open(format!("/proc/self/fd/{number}"), flags, Mode::empty())?;
        rustix::io::ioctl_fionbio(&file, false)?;
        Ok(File::from(file))
    };
    Some(open())
}

/// Why a path is not written to.
#[derive(Debug, Error)]
pub(super) enum Refused {
    #[error("it has no file name")]
    NoName,
    #[error("it is a symbolic link; give the path of the file itself")]
    Link,
    #[error(
        "it has {0} names (hard links), and what is written would be in all of them; remove it first"
    )]
    Names(u64),
    #[error("it is neither a file nor a FIFO")]
    Kind,
    #[error("it belongs to uid {0}, who owns neither this process nor the directory")]
    Owner(u32),
    #[error("tracer was not given a descriptor {0}")]
    NotGiven(u32),
    #[error("it was replaced by something else just now")]
    Changed,
}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        Self::new(io::ErrorKind::InvalidInput, refused)
    }
}

/// What a name stood for when it was looked at.
pub(super) struct Found {
    _held: OwnedFd,
    pub(super) stat: Stat,
}

/// A name in a directory that is held.
pub(super) struct Place {
    dir: OwnedFd,
    name: OsString,
}

impl Place {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or(Refused::NoName)?.to_owned();
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = fs::open(parent.unwrap_or(Path::new(".")), flags, Mode::empty())?;
        Ok(Self { dir, name })
    }

    /// What is there, held: while it is, nothing new can have its inode number.
    pub(super) fn look(&self) -> Result<Found, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let held = fs::openat(&self.dir, &self.name, flags, Mode::empty())?;
        let stat = fs::fstat(&held)?;
        Ok(Found { _held: held, stat })
    }

    /// A FIFO or a file with one name, of our own or of whoever owns the directory: in a directory
    /// that others may write to, what others have put there is refused, as by the kernel's
    /// `fs.protected_regular` (`proc_sys_fs(5)`).
    pub(super) fn check(&self, found: &Found) -> io::Result<()> {
        let found = &found.stat;
        match kind(found) {
            FileType::Symlink => return Err(Refused::Link.into()),
            FileType::Fifo => {}
            FileType::RegularFile if found.st_nlink <= 1 => {}
            FileType::RegularFile => return Err(Refused::Names(found.st_nlink).into()),
            _ => return Err(Refused::Kind.into()),
        }
        let own = rustix::process::geteuid().as_raw();
        if found.st_uid != own && found.st_uid != fs::fstat(&self.dir)?.st_uid {
            return Err(Refused::Owner(found.st_uid).into());
        }
        Ok(())
    }

    pub(super) fn create(&self) -> Result<File, Errno> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL;
        let mode = Mode::RUSR | Mode::WUSR;
        let open = fs::openat(&self.dir, &self.name, flags | SAFE, mode)?;
        Ok(File::from(open))
    }

    /// Opens what was found, and nothing that took its place meanwhile.
    pub(super) fn open(&self, found: &Found, flags: OFlags) -> io::Result<File> {
        let flags = OFlags::WRONLY | flags | SAFE;
        let open = match fs::openat(&self.dir, &self.name, flags, Mode::empty()) {
            Err(Errno::LOOP) => return Err(Refused::Link.into()),
            other => other?,
        };
        let now = fs::fstat(&open)?;
        if (now.st_dev, now.st_ino) != (found.stat.st_dev, found.stat.st_ino) {
            return Err(Refused::Changed.into());
        }
        // Only the opening was not to wait.
        rustix::io::ioctl_fionbio(&open, false)?;
        Ok(File::from(open))
    }
}

/// Follows no link, waits for nobody, and takes no terminal.
const SAFE: OFlags = OFlags::NOFOLLOW
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

pub(super) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}
