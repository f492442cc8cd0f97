//! Which of some files a process holds open.
//!
//! Source: `proc_pid_fd(5)`. Files are known by device and inode, never by the path a link shows: that is
//! of another mount namespace perhaps. No file system is asked for more than the kernel knows of the inode
//! (`AT_STATX_DONT_SYNC`), so a dead file server holds nobody up. Seeing what descriptors are needs
//! `ptrace(2)` read access.

use std::{
    collections::{BTreeSet, HashMap},
    os::fd::AsFd,
};

use rustix::{
    fs::{AtFlags, FileType, StatxFlags, fstat, major, makedev, minor, statx},
    io::Errno,
};

use super::{ProcDir, ReadEnd, read};

/// `/dev/tty`: whoever opened its terminal by that name shows this device.
const DEV_TTY: (u32, u32) = (5, 0);

/// A file by its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    /// Device that it is on.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Device that it is, for device files; else 0.
    pub rdev: u64,
    /// Pipe, socket, device, or something else.
    pub kind: FileType,
}

impl FileId {
    /// Of a descriptor of ours; `None` when it is closed.
    #[must_use]
    pub fn of(fd: impl AsFd) -> Option<Self> {
        let stat = fstat(fd).ok()?;
        Some(Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
            rdev: stat.st_rdev,
            kind: FileType::from_raw_mode(stat.st_mode),
        })
    }

    /// Whether a reader at its other end waits as long as anybody holds it.
    #[must_use]
    pub fn has_other_end(&self) -> bool {
        matches!(self.kind, FileType::Fifo | FileType::Socket)
    }

    /// Of whatever a path leads to.
    ///
    /// # Errors
    /// What the system said.
    pub fn at(path: &std::path::Path) -> std::io::Result<Self> {
        let stat = rustix::fs::stat(path)?;
        Ok(Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
            rdev: stat.st_rdev,
            kind: FileType::from_raw_mode(stat.st_mode),
        })
    }

    /// Whether it is the terminal of a process that shows this number.
    #[must_use]
    pub fn is_terminal(&self, tty_nr: i64) -> bool {
        tty_nr != 0 && is_device(tty_nr, self.rdev)
    }

    /// Whether a descriptor that shows `seen`, of a process with this controlling terminal, is this file.
    #[must_use]
    pub fn is(&self, seen: &Self, tty_nr: i64) -> bool {
        if (self.dev, self.ino) == (seen.dev, seen.ino) {
            return true;
        }
        let own_terminal = (major(seen.rdev), minor(seen.rdev)) == DEV_TTY;
        // Who led its session has ended where it has none any more; then any may be meant.
        let may_be = tty_nr == 0 || is_device(tty_nr, self.rdev);
        self.kind == FileType::CharacterDevice && own_terminal && may_be
    }
}

/// Files that are looked for, however many: each is found at once.
#[derive(Debug, Clone)]
pub struct Sought<'a> {
    files: &'a [FileId],
    by_inode: HashMap<(u64, u64), Vec<usize>>,
    devices: Vec<usize>,
}

impl<'a> Sought<'a> {
    /// These.
    #[must_use]
    pub fn new(files: &'a [FileId]) -> Self {
        let mut by_inode: HashMap<_, Vec<usize>> = HashMap::new();
        for (at, file) in files.iter().enumerate() {
            by_inode.entry((file.dev, file.ino)).or_default().push(at);
        }
        let is_device = |&at: &usize| files[at].kind == FileType::CharacterDevice;
        Self {
            files,
            by_inode,
            devices: (0..files.len()).filter(is_device).collect(),
        }
    }

    /// They, in their order.
    #[must_use]
    pub fn files(&self) -> &'a [FileId] {
        self.files
    }

    /// Which have this device and inode, by their place.
    #[must_use]
    pub fn at(&self, inode: (u64, u64)) -> &[usize] {
        self.by_inode.get(&inode).map_or(&[], Vec::as_slice)
    }

    /// Which a descriptor that shows `seen` is, of a process with this controlling terminal.
    pub fn which(&self, seen: &FileId, tty_nr: i64) -> impl Iterator<Item = usize> {
        let inode = (seen.dev, seen.ino);
        let by_other_name = self.devices.iter().copied().filter(move |&at| {
            let file = &self.files[at];
            (file.dev, file.ino) != inode && file.is(seen, tty_nr)
        });
        self.at(inode).iter().copied().chain(by_other_name)
    }
}

/// Whether field 7 of `stat` is that device: the kernel puts 12 bits of major and 20 of minor in 32
/// (`new_encode_dev`).
fn is_device(tty_nr: i64, rdev: u64) -> bool {
    let (major, minor) = (u64::from(major(rdev)), u64::from(minor(rdev)));
    let encoded = (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12);
    rdev != 0 && u64::try_from(tty_nr) == Ok(encoded)
}

impl ProcDir {
    /// Device and inode of its `cwd`, `root` or `exe`; `None` when that may not be seen.
    #[must_use]
    pub fn leads_to(&self, link: &'static std::ffi::CStr) -> Option<(u64, u64)> {
        let stat = statx(self.fd(), link, AtFlags::STATX_DONT_SYNC, StatxFlags::INO).ok()?;
        let dev = makedev(stat.stx_dev_major, stat.stx_dev_minor);
        Some((dev, stat.stx_ino))
    }

    /// Which of these files it holds open, by their place in the list.
    ///
    /// # Errors
    /// [`ReadEnd::Denied`] without `ptrace(2)` read access.
    pub fn holds(&self, sought: &Sought<'_>) -> Result<Vec<usize>, ReadEnd> {
        let tty_nr = self.stat()?.tty_nr;
        let mut held = BTreeSet::new();
        let want = StatxFlags::INO | StatxFlags::TYPE;
        read::list(self.fd(), c"fd", |dir, name| {
            let stat = match statx(dir, name, AtFlags::STATX_DONT_SYNC, want) {
                Ok(stat) => stat,
                // Closed since it was listed, or nothing that can be asked.
                Err(Errno::NOENT | Errno::NXIO | Errno::STALE) => return Ok(()),
                Err(errno) => return Err(errno),
            };
            let seen = FileId {
                dev: makedev(stat.stx_dev_major, stat.stx_dev_minor),
                ino: stat.stx_ino,
                rdev: makedev(stat.stx_rdev_major, stat.stx_rdev_minor),
                kind: FileType::from_raw_mode(stat.stx_mode.into()),
            };
            held.extend(sought.which(&seen, tty_nr));
            Ok(())
        })
        .map_err(|errno| self.end(errno, c"fd"))?;
        Ok(held.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{procfs::ProcRoot, units::Tgid};

    fn terminal(number: u32) -> FileId {
        FileId {
            dev: 24,
            ino: u64::from(number) + 3,
            rdev: makedev(136, number),
            kind: FileType::CharacterDevice,
        }
    }

    #[test]
    fn a_terminal_is_known_by_its_other_name_too() {
        let by_name = FileId {
            dev: 5,
            ino: 11,
            rdev: makedev(5, 0),
            kind: FileType::CharacterDevice,
        };
        assert!(terminal(7).is(&terminal(7), 0));
        assert!(!terminal(7).is(&terminal(8), 0x8807));
        assert!(terminal(7).is(&by_name, 0x8807));
        assert!(!terminal(7).is(&by_name, 0x8808), "another's terminal");
        assert!(terminal(7).is(&by_name, 0), "not told any more");
        let (pipe, _write) = std::io::pipe().unwrap();
        assert!(
            !FileId::of(&pipe).unwrap().is(&by_name, 0),
            "no terminal at all"
        );
        // Terminal 300: 8 bits of the minor number here, the rest above.
        assert!(terminal(300).is(&by_name, 0x10_882c));
        let sought = [terminal(8), terminal(7), terminal(7)];
        let sought = Sought::new(&sought);
        let which = |seen: &FileId, tty_nr| sought.which(seen, tty_nr).collect::<Vec<_>>();
        assert_eq!(which(&by_name, 0x8807), [1, 2]);
        assert_eq!(which(&terminal(8), 0x8807), [0]);
        assert_eq!(which(&terminal(9), 0x8807), [0; 0]);
    }

    #[test]
    fn a_process_holds_what_it_has_open_until_it_closes_it() {
        let proc = ProcRoot::open("/proc").unwrap();
        let own = proc.process(Tgid(std::process::id())).unwrap();
        let (read, write) = std::io::pipe().unwrap();
        let (other, gone) = std::io::pipe().unwrap();
        let sought = [FileId::of(&gone).unwrap(), FileId::of(&write).unwrap()];
        drop((gone, other));
        assert!(sought[1].has_other_end());
        assert_eq!(own.holds(&Sought::new(&sought)).unwrap(), [1]);
        drop(write);
        assert_eq!(
            own.holds(&Sought::new(&sought)).unwrap(),
            [1],
            "the same pipe by its other end"
        );
        drop(read);
        assert_eq!(own.holds(&Sought::new(&sought)).unwrap(), [0; 0]);
    }
}
