//! Mounts, and by what a process keeps one busy.
//!
//! Sources: `statx(2)` (`STATX_MNT_ID`, since Linux 5.8), `proc_pid_mountinfo(5)`, `proc_pid_map_files(5)`,
//! `proc_pid_maps(5)`. What keeps `umount(2)` from its work is a use of that very mount, not of its file
//! system: a mount is known by its number, which no other mount namespace shares. No file system is asked
//! for more than the kernel knows of the inode, so a dead file server holds nobody up.

use std::{collections::BTreeSet, ffi::CStr, os::fd::BorrowedFd, path::Path};

use rustix::{
    fs::{AtFlags, CWD, Statx, StatxAttributes, StatxFlags, makedev, statx},
    io::Errno,
    path::Arg,
};

use super::{Access, ProcDir, ReadEnd, read, scan};

/// The longest path the kernel shows: one page.
const LINK_MAX: usize = 4096;

/// A mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MountId {
    /// Its number, as in `mountinfo`.
    pub id: u64,
    /// Device of what is mounted.
    pub dev: u64,
}

/// How a process uses a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It is there.
    Cwd,
    /// Its root directory is there.
    Root,
    /// It runs a program from there.
    Exe,
    /// It has a file from there in its memory.
    Mapped,
    /// It has something from there open.
    Fd(u32, Option<Access>),
}

/// How, and the path that the kernel shows.
pub type Use = (Place, Vec<u8>);

impl MountId {
    /// The mount whose root a path is; `None` when it is none, or the kernel does not number them.
    #[must_use]
    pub fn rooted_at(path: &Path) -> Option<Self> {
        let stat = ask(CWD, path).ok()?;
        let is_root = stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
        is_root.then(|| Self::of(&stat)).flatten()
    }

    fn of(stat: &Statx) -> Option<Self> {
        let known = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::MNT_ID);
        known.then(|| Self {
            id: stat.stx_mnt_id,
            dev: makedev(stat.stx_dev_major, stat.stx_dev_minor),
        })
    }
}

fn ask(dir: BorrowedFd<'_>, path: impl Arg) -> Result<Statx, Errno> {
    let want = StatxFlags::INO | StatxFlags::MNT_ID;
    statx(dir, path, AtFlags::STATX_DONT_SYNC, want)
}

/// One line of `mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Its number.
    pub id: u64,
    /// The mount that it is mounted on.
    pub parent: u64,
    /// Where.
    pub place: String,
}

/// Parses `mountinfo`; a line that makes no sense is left out.
pub fn parse_mountinfo(file: &str) -> impl Iterator<Item = Mount> {
    file.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let id = words.next()?.parse().ok()?;
        let parent = words.next()?.parse().ok()?;
        let place = unescaped(words.nth(2)?);
        Some(Mount { id, parent, place })
    })
}

/// Space, tab, newline and backslash are `\040` and so on there (`mangle` in `fs/seq_file.c`).
fn unescaped(word: &str) -> String {
    let mut text = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let [byte, after @ ..] = rest {
        let octal = (*byte == b'\\').then(|| after.get(..3)).flatten();
        let number = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        let number = number.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        let skip = if number.is_some() { 3 } else { 0 };
        text.push(number.unwrap_or(*byte));
        rest = &after[skip..];
    }
    String::from_utf8_lossy(&text).into_owned()
}

impl ProcDir {
    /// The mount that its working directory is on, and what that is called there.
    #[must_use]
    pub fn cwd_mount(&self) -> Option<Mount> {
        let mount = MountId::of(&ask(self.fd(), c"cwd").ok()?)?;
        let mut table = Vec::new();
        read::read_all(self.fd(), c"mountinfo", &mut table, read::MOST).ok()?;
        parse_mountinfo(&String::from_utf8_lossy(&table)).find(|line| line.id == mount.id)
    }

    /// By what it keeps a mount busy, each with the path that the kernel shows, and whether that is all:
    /// without `ptrace(2)` read access it is not.
    ///
    /// # Errors
    /// [`ReadEnd`], other than that it may not be seen.
    pub fn uses_of(&self, mount: MountId) -> Result<(Vec<Use>, bool), ReadEnd> {
        let mut uses = Vec::new();
        let mut whole = true;
        let places = [
            (c"cwd", Place::Cwd),
            (c"root", Place::Root),
            (c"exe", Place::Exe),
        ];
        for (link, place) in places {
            match ask(self.fd(), link) {
                Ok(stat) if MountId::of(&stat) == Some(mount) => {
                    uses.push((place, self.target(link)));
                }
                Err(Errno::ACCESS | Errno::PERM) => whole = false,
                // A kernel thread has no program; what has ended is seen at its descriptors.
                Ok(_) | Err(_) => {}
            }
        }
        let open = read::list(self.fd(), c"fd", |dir, name| {
            let is_there = ask(dir, name).is_ok_and(|stat| MountId::of(&stat) == Some(mount));
            if let (true, Some(fd)) = (is_there, scan::parse_u32(name.to_bytes())) {
                let path = read::read_link::<LINK_MAX, _>(dir, name, <[u8]>::to_vec);
                uses.push((Place::Fd(fd, self.access(name)), path.unwrap_or_default()));
            }
            Ok(())
        });
        match open {
            Ok(()) => {}
            Err(Errno::ACCESS | Errno::PERM) => whole = false,
            Err(errno) => return Err(self.end(errno, c"fd")),
        }
        for mapped in self.mapped() {
            let same = match mapped.mount {
                Some(id) => id == mount.id,
                None => mapped.dev == mount.dev,
            };
            let is_exe =
                |(place, path): &(Place, Vec<u8>)| *place == Place::Exe && *path == mapped.path;
            if same && !uses.iter().any(is_exe) {
                uses.push((Place::Mapped, mapped.path));
            }
        }
        Ok((uses, whole))
    }

    /// The files in its memory, its program among them, by device and inode.
    #[must_use]
    pub fn mapped_files(&self) -> Vec<(u64, u64)> {
        let mapped = self.mapped().into_iter();
        mapped.map(|mapped| (mapped.dev, mapped.ino)).collect()
    }

    fn target(&self, link: &'static CStr) -> Vec<u8> {
        read::read_link::<LINK_MAX, _>(self.fd(), link, <[u8]>::to_vec).unwrap_or_default()
    }

    /// The files in its memory, each once. Exact where `map_files` may be followed, which takes
    /// `CAP_CHECKPOINT_RESTORE` or `CAP_SYS_ADMIN`; else as `maps` has them, whose devices are other ones
    /// than those of files on some file systems (`overlayfs`, `btrfs`). Nothing when neither may be seen.
    fn mapped(&self) -> Vec<Mapped> {
        let mut found: Vec<Mapped> = Vec::new();
        let mut known = BTreeSet::new();
        let listed = read::list(self.fd(), c"map_files", |dir, name| {
            let stat = match ask(dir, name) {
                Ok(stat) => stat,
                Err(errno @ (Errno::ACCESS | Errno::PERM)) => return Err(errno),
                // Unmapped since it was listed.
                Err(_) => return Ok(()),
            };
            let dev = makedev(stat.stx_dev_major, stat.stx_dev_minor);
            if known.insert((dev, stat.stx_ino)) {
                let path = read::read_link::<LINK_MAX, _>(dir, name, <[u8]>::to_vec);
                found.push(Mapped {
                    dev,
                    ino: stat.stx_ino,
                    mount: MountId::of(&stat).map(|mount| mount.id),
                    path: path.unwrap_or_default(),
                });
            }
            Ok(())
        });
        if listed.is_ok() {
            return found;
        }
        let mut maps = Vec::new();
        if read::read_all(self.fd(), c"maps", &mut maps, read::MOST).is_err() {
            return Vec::new();
        }
        let lines = maps.split(|&byte| byte == b'\n');
        let mut found: Vec<Mapped> = lines.filter_map(parse_map).collect();
        found.sort_unstable_by_key(|mapped| (mapped.dev, mapped.ino));
        found.dedup_by_key(|mapped| (mapped.dev, mapped.ino));
        found
    }
}

/// A file in the memory of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mapped {
    dev: u64,
    ino: u64,
    mount: Option<u64>,
    path: Vec<u8>,
}

/// `7f00-7f01 r-xp 00001000 fe:00 1234   /usr/lib/x.so`; memory without a file has inode 0.
fn parse_map(line: &[u8]) -> Option<Mapped> {
    let mut words = scan::words(line);
    let mut device = words.nth(3)?.split(|&byte| byte == b':');
    let mut hex = || u32::try_from(scan::parse_hex(device.next()?)?).ok();
    let dev = makedev(hex()?, hex()?);
    let ino = scan::parse_u64(words.next()?).filter(|&ino| ino != 0)?;
    let start = line.iter().position(|&byte| byte == b'/')?;
    Some(Mapped {
        dev,
        ino,
        mount: None,
        path: line[start..].to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        procfs::{FileId, ProcRoot},
        units::Tgid,
    };

    #[test]
    fn a_mount_is_known_by_its_root_only() {
        let proc = MountId::rooted_at(Path::new("/proc")).unwrap();
        assert_eq!(MountId::rooted_at(Path::new("/proc/self/fd")), None);
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let line = parse_mountinfo(&table).find(|mount| mount.id == proc.id);
        assert_eq!(line.unwrap().place, "/proc");
    }

    #[test]
    fn a_process_uses_the_mount_that_it_was_started_from() {
        let root = ProcRoot::open("/proc").unwrap();
        let own = root.process(Tgid(std::process::id())).unwrap();
        let exe = MountId::of(&ask(own.fd(), c"exe").unwrap()).unwrap();
        let (uses, whole) = own.uses_of(exe).unwrap();
        assert!(whole);
        assert!(uses.iter().any(|(place, _)| *place == Place::Exe));
        let procfs = MountId::rooted_at(Path::new("/proc")).unwrap();
        let (uses, _) = own.uses_of(procfs).unwrap();
        // The directory that it is held by.
        assert!(uses.iter().any(|(place, _)| matches!(place, Place::Fd(..))));
        assert!(!uses.iter().any(|(place, _)| *place == Place::Exe));
    }

    #[test]
    fn the_program_is_in_memory_and_this_source_is_not() {
        let root = ProcRoot::open("/proc").unwrap();
        let own = root.process(Tgid(std::process::id())).unwrap();
        let exe = FileId::at(&std::env::current_exe().unwrap()).unwrap();
        let mapped = own.mapped_files();
        assert!(mapped.contains(&(exe.dev, exe.ino)));
        let other = tempfile::NamedTempFile::new().unwrap();
        let other = FileId::of(&other).unwrap();
        assert!(!mapped.contains(&(other.dev, other.ino)));
    }

    #[test]
    fn places_and_paths_are_what_they_are_called() {
        let table = "36 35 98:0 /mnt1 /a\\040b\\134040\\ rw,noatime master:1 - ext3 /dev/root rw\nrubbish\n1 2\n";
        let mounts: Vec<_> = parse_mountinfo(table).collect();
        let wanted = Mount {
            id: 36,
            parent: 35,
            place: "/a b\\040\\".to_owned(),
        };
        assert_eq!(mounts, [wanted]);
        let map = parse_map(b"7f00-7f01 r-xp 00001000 fe:01 1234    /a b (deleted)").unwrap();
        assert_eq!((map.dev, map.ino), (makedev(0xfe, 1), 1234));
        assert_eq!(map.path, b"/a b (deleted)");
        for none in ["", "7f00-7f01 rw-p 0 00:00 0 [heap]", "x y z 1 2 3"] {
            assert_eq!(parse_map(none.as_bytes()), None, "{none}");
        }
    }
}
