//! Which of some files a process holds open.
//!
//! Source: `proc_pid_fd(5)`. Files are known by device and inode, never by the path a link shows: that is
//! of another mount namespace perhaps. No file system is asked for more than the kernel knows of the inode
//! (`AT_STATX_DONT_SYNC`), so a dead file server holds nobody up. Seeing what descriptors are needs
//! `ptrace(2)` read access.

use std::os::fd::AsFd;

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

/// Whether field 7 of `stat` is that device: the kernel puts 12 bits of major and 20 of minor in 32
/// (`new_encode_dev`).
fn is_device(tty_nr: i64, rdev: u64) -> bool {
    let (major, minor) = (u64::from(major(rdev)), u64::from(minor(rdev)));
    let encoded = (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12);
    rdev != 0 && u64::try_from(tty_nr) == Ok(encoded)
}

impl ProcDir {
    /// Which of these files it holds open, by their place in the list.
    ///
    /// # Errors
    /// [`ReadEnd::Denied`] without `ptrace(2)` read access.
    pub fn holds(&self, sought: &[FileId]) -> Result<Vec<usize>, ReadEnd> {
        let tty_nr = self.stat()?.tty_nr;
        let mut held = vec![false; sought.len()];
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
            for (held, sought) in held.iter_mut().zip(sought) {
                *held |= sought.is(&seen, tty_nr);
            }
            Ok(())
        })
        .map_err(|errno| self.end(errno, c"fd"))?;
        Ok((0..sought.len()).filter(|&at| held[at]).collect())
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
        assert_eq!(own.holds(&sought).unwrap(), [1]);
        drop(write);
        assert_eq!(
            own.holds(&sought).unwrap(),
            [1],
            "the same pipe by its other end"
        );
        drop(read);
        assert_eq!(own.holds(&sought).unwrap(), [0; 0]);
    }
}
