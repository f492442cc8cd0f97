//! The system calls behind every read: open, read, close, relative to a directory held open.
//!
//! A file fits a buffer on the stack in nearly all cases, so reading one allocates nothing.

use std::{
    ffi::CStr,
    fmt::{self, Write},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    buffer::spare_capacity,
    fs::{CWD, Mode, OFlags, RawDir, openat, readlinkat_raw},
    io::{Errno, read},
    path::Arg,
};

/// Larger than any file read here but `status` of a process with hundreds of groups.
const SMALL: usize = 4096;

/// More than a sane file of one process holds. A process may point its command line at as much memory
/// as it has, and must not make the observer read it all.
pub(crate) const MOST: usize = 8 << 20;

pub(crate) fn open_dir(dir: Option<BorrowedFd<'_>>, path: impl Arg) -> Result<OwnedFd, Errno> {
    openat(
        dir.unwrap_or(CWD),
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

/// Reads a file whose content the kernel makes in one piece (`single_open` in `fs/seq_file.c`), and
/// which therefore comes whole with the first read that has room for it.
pub(crate) fn read_small<T>(
    dir: BorrowedFd<'_>,
    path: impl Arg,
    parse: impl FnOnce(&[u8]) -> T,
) -> Result<T, Errno> {
    let file = openat(dir, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut space = [MaybeUninit::<u8>::uninit(); SMALL];
    loop {
        match read(&file, &mut space) {
            Ok((bytes, [])) => {
                let mut all = bytes.to_vec();
                read_rest(&file, &mut all, MOST)?;
                return Ok(parse(&all));
            }
            Ok((bytes, _)) => return Ok(parse(bytes)),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Appends a whole file, however many reads it takes, unless it is longer than `most`.
pub(crate) fn read_all(
    dir: BorrowedFd<'_>,
    path: impl Arg,
    all: &mut Vec<u8>,
    most: usize,
) -> Result<(), Errno> {
    let file = openat(dir, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    read_rest(&file, all, most)
}

/// The beginning of a file of which whoever it is about decides how long it is: all of it, or at least
/// `most` bytes.
pub(crate) fn read_first(
    dir: BorrowedFd<'_>,
    path: impl Arg,
    most: usize,
) -> Result<Vec<u8>, Errno> {
    let mut first = Vec::new();
    match read_all(dir, path, &mut first, most) {
        Ok(()) | Err(Errno::FBIG) => Ok(first),
        Err(errno) => Err(errno),
    }
}

fn read_rest(file: &OwnedFd, all: &mut Vec<u8>, most: usize) -> Result<(), Errno> {
    loop {
        if all.len() >= most {
            return Err(Errno::FBIG);
        }
        all.reserve(SMALL);
        match read(file, spare_capacity(all)) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Hands over the target of a link, cut at `N` bytes.
pub(crate) fn read_link<const N: usize, T>(
    dir: BorrowedFd<'_>,
    path: impl Arg,
    parse: impl FnOnce(&[u8]) -> T,
) -> Result<T, Errno> {
    let mut space = [MaybeUninit::<u8>::uninit(); N];
    let (target, _) = readlinkat_raw(dir, path, &mut space)?;
    Ok(parse(target))
}

/// Calls `each` with every entry's name, `.` and `..` left out, and the directory it is in.
pub(crate) fn list(
    dir: BorrowedFd<'_>,
    path: impl Arg,
    mut each: impl FnMut(BorrowedFd<'_>, &CStr) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let listed = open_dir(Some(dir), path)?;
    let mut space = [MaybeUninit::<u8>::uninit(); SMALL];
    let mut entries = RawDir::new(&listed, &mut space);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            each(listed.as_fd(), name)?;
        }
    }
    Ok(())
}

/// A short path made of numbers and names, on the stack.
pub(crate) struct ShortPath {
    bytes: [u8; 48],
    len: usize,
}

impl ShortPath {
    pub(crate) fn of(path: fmt::Arguments<'_>) -> Result<Self, Errno> {
        let mut short = Self {
            bytes: [0; 48],
            len: 0,
        };
        short
            .write_fmt(path)
            .map_err(|fmt::Error| Errno::NAMETOOLONG)?;
        Ok(short)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Write for ShortPath {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let room = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
