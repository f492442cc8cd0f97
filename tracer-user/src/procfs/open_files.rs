//! What a process has open, one entry a descriptor.
//!
//! Source: `proc_pid_fd(5)`, `proc_pid_fdinfo(5)`. Needs `ptrace(2)` read access. No file system is asked
//! for more than the kernel knows of an inode, so a dead file server holds nobody up.

use std::ffi::CStr;

use rustix::{
    fs::{AtFlags, FileType, StatxFlags, makedev, statx},
    io::Errno,
};

use super::{
    FileId, ProcDir, ReadEnd,
    locks::{self, FileLock},
    read,
    read::ShortPath,
    scan,
};

/// The longest path the kernel shows: one page.
const LINK_MAX: usize = 4096;

/// Of one descriptor's file: more than anybody who does not want to keep us busy has.
const FDINFO_MAX: usize = 64 << 10;

/// One descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenFile {
    /// Its number.
    pub fd: u32,
    /// Which file.
    pub file: FileId,
    /// What the kernel calls it: a path, `pipe:[1]`, `socket:[1]`, `anon_inode:[eventfd]`. Any bytes.
    pub name: Vec<u8>,
    /// No name leads to it any more.
    pub deleted: bool,
    /// What may be done with it; `None` when that could not be read.
    pub access: Option<Access>,
    /// The locks that its description, or the process by it, has.
    pub locks: Vec<FileLock>,
}

/// What may be done with a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Both.
    Both,
}

impl ProcDir {
    /// What it has open, at most `most` descriptors of it; whether that are all.
    ///
    /// # Errors
    /// [`ReadEnd::Denied`] without `ptrace(2)` read access.
    pub fn open_files(&self, most: usize) -> Result<(Vec<OpenFile>, bool), ReadEnd> {
        self.open_files_if(most, |_| true)
    }

    /// The same of those that are `wanted`, behind however many others.
    ///
    /// # Errors
    /// [`ReadEnd::Denied`] without `ptrace(2)` read access.
    pub fn open_files_if(
        &self,
        most: usize,
        wanted: impl Fn(&FileId) -> bool,
    ) -> Result<(Vec<OpenFile>, bool), ReadEnd> {
        let mut files = Vec::new();
        let mut all = true;
        let want = StatxFlags::INO | StatxFlags::TYPE | StatxFlags::NLINK;
        read::list(self.fd(), c"fd", |dir, name| {
            let Some(fd) = scan::parse_u32(name.to_bytes()) else {
                return Ok(());
            };
            let stat = match statx(dir, name, AtFlags::STATX_DONT_SYNC, want) {
                Ok(stat) => stat,
                // Closed since it was listed, or nothing that can be asked.
                Err(Errno::NOENT | Errno::NXIO | Errno::STALE) => return Ok(()),
                Err(errno) => return Err(errno),
            };
            let kind = FileType::from_raw_mode(stat.stx_mode.into());
            let file = FileId {
                dev: makedev(stat.stx_dev_major, stat.stx_dev_minor),
                ino: stat.stx_ino,
                rdev: makedev(stat.stx_rdev_major, stat.stx_rdev_minor),
                kind,
            };
            if !wanted(&file) {
                return Ok(());
            }
            if files.len() >= most {
                all = false;
                return Ok(());
            }
            let text = match read::read_link::<LINK_MAX, _>(dir, name, <[u8]>::to_vec) {
                Ok(text) => text,
                Err(Errno::NOENT | Errno::NAMETOOLONG) => Vec::new(),
                Err(errno) => return Err(errno),
            };
            let (access, locks) = self.fdinfo(name).unwrap_or_default();
            let deleted = kind == FileType::RegularFile && stat.stx_nlink == 0;
            files.push(OpenFile {
                fd,
                file,
                name: text,
                deleted,
                access,
                locks,
            });
            Ok(())
        })
        .map_err(|errno| self.end(errno, c"fd"))?;
        files.sort_unstable_by_key(|file| file.fd);
        Ok((files, all))
    }

    /// What may be done with a descriptor; `None` when that may not be seen.
    pub(super) fn access(&self, fd: &CStr) -> Option<Access> {
        self.fdinfo(fd)?.0
    }

    fn fdinfo(&self, fd: &CStr) -> Option<(Option<Access>, Vec<FileLock>)> {
        let path = ShortPath::of(format_args!("fdinfo/{}", fd.to_str().ok()?)).ok()?;
        // A process may take locks without end, one line each.
        let file = read::read_first(self.fd(), path.as_bytes(), FDINFO_MAX).ok()?;
        let locks = locks::parse_fdinfo_locks(&file).collect();
        Some((parse_access(&file), locks))
    }
}

/// The line `flags:`, octal, as `open(2)` takes them.
fn parse_access(file: &[u8]) -> Option<Access> {
    let line = file
        .split(|&byte| byte == b'\n')
        .find_map(|line| line.strip_prefix(b"flags:"))?;
    match scan::words(line).next()?.last()? & 3 {
        0 => Some(Access::Read),
        1 => Some(Access::Write),
        2 => Some(Access::Both),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{procfs::ProcRoot, units::Tgid};

    #[test]
    fn both_ends_of_a_pipe_are_one_file_with_two_uses() {
        let proc = ProcRoot::open("/proc").unwrap();
        let own = proc.process(Tgid(std::process::id())).unwrap();
        let (_read, write) = std::io::pipe().unwrap();
        let pipe = FileId::of(&write).unwrap();
        let (files, all) = own.open_files(usize::MAX).unwrap();
        assert!(all);
        let uses = files.iter().filter(|file| file.file == pipe);
        let mut uses: Vec<_> = uses.map(|file| file.access.unwrap()).collect();
        uses.sort_unstable_by_key(|access| *access as u8);
        assert_eq!(uses, [Access::Read, Access::Write]);
        let named = files.iter().find(|file| file.file == pipe).unwrap();
        assert_eq!(named.name, format!("pipe:[{}]", pipe.ino).as_bytes());
        let (few, all) = own.open_files(1).unwrap();
        assert_eq!((few.len(), all), (1, false));
        // Standard streams come first, and are none of those that are asked for.
        let (found, all) = own.open_files_if(2, |file| *file == pipe).unwrap();
        assert_eq!((found.len(), all), (2, true));
        assert!(found.iter().all(|file| file.file == pipe));
    }

    #[test]
    fn a_file_without_a_name_is_told_from_one_called_so() {
        let proc = ProcRoot::open("/proc").unwrap();
        let own = proc.process(Tgid(std::process::id())).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let named = std::fs::File::create(folder.path().join("x (deleted)")).unwrap();
        let gone = tempfile::tempfile_in(folder.path()).unwrap();
        let (files, _) = own.open_files(usize::MAX).unwrap();
        let of = |file: &std::fs::File| {
            let id = FileId::of(file).unwrap();
            files.iter().find(|seen| seen.file == id).unwrap().deleted
        };
        assert!(!of(&named) && of(&gone));
    }

    #[test]
    fn access_is_the_last_two_bits() {
        assert_eq!(
            parse_access(b"pos:\t0\nflags:\t02100001\n"),
            Some(Access::Write)
        );
        assert_eq!(parse_access(b"flags:\t0100002\n"), Some(Access::Both));
        assert_eq!(
            parse_access(b"flags:\t00\nmnt_id:\t1\n"),
            Some(Access::Read)
        );
        assert_eq!(parse_access(b"pos:\t0\n"), None);
    }
}
