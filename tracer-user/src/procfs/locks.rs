//! `/proc/locks` and the `lock:` lines of `fdinfo`: who has locked which file, and who waits for it.
//!
//! Source: `proc_locks(5)`, `proc_pid_fdinfo(5)`, `lock_get_status` and `__show_fd_locks` in fs/locks.c. A
//! lock of `flock(2)` or of an open file description (OFD) belongs to the description, whoever has it by
//! now: the pid in `/proc/locks` is of who took it, or -1. So who has a lock is read from `fdinfo`, who waits
//! for one (marked `->`) from `/proc/locks`. Pure.

use super::scan;

/// Which of the three kinds of locks, which know nothing of each other but that POSIX and OFD do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// `fcntl(2)`, `lockf(3)`: the process's.
    Posix,
    /// `flock(2)`: the open file description's.
    Flock,
    /// `F_OFD_SETLK` of `fcntl(2)`: the open file description's.
    Ofd,
}

impl LockKind {
    /// What people call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Posix => "POSIX",
            Self::Flock => "flock",
            Self::Ofd => "OFD",
        }
    }
}

/// One lock, or one wait for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLock {
    /// Of which kind.
    pub kind: LockKind,
    /// Who took it; `None` for one of an open file description.
    pub pid: Option<u32>,
    /// Device and inode of the file.
    pub file: (u32, u32, u64),
    /// Nobody else may have it.
    pub exclusive: bool,
    /// It is not had yet, but waited for.
    pub waits: bool,
}

/// Parses the file; a line that makes no sense is left out.
pub fn parse_locks(file: &[u8]) -> impl Iterator<Item = FileLock> {
    file.split(|&byte| byte == b'\n').filter_map(parse_line)
}

/// The locks that a descriptor has, from its `fdinfo`.
pub fn parse_fdinfo_locks(file: &[u8]) -> impl Iterator<Item = FileLock> {
    let lines = file.split(|&byte| byte == b'\n');
    lines.filter_map(|line| parse_line(line.strip_prefix(b"lock:\t")?))
}

/// `1: [->] POSIX ADVISORY WRITE 4711 fe:00:1234 0 EOF`.
fn parse_line(line: &[u8]) -> Option<FileLock> {
    let mut words = scan::words(line);
    words.next()?.strip_suffix(b":")?;
    let mut kind = words.next()?;
    let waits = kind == b"->";
    if waits {
        kind = words.next()?;
    }
    // A lease has no access of this form, and is no lock.
    let kind = match kind {
        b"POSIX" => LockKind::Posix,
        b"FLOCK" => LockKind::Flock,
        b"OFDLCK" => LockKind::Ofd,
        _ => return None,
    };
    let _advisory = words.next()?;
    let access = words.next()?;
    let pid = scan::parse_i64(words.next()?)?;
    let mut file = words.next()?.split(|&byte| byte == b':');
    let hex = |part: Option<&[u8]>| u32::try_from(scan::parse_hex(part?)?).ok();
    let (major, minor) = (hex(file.next())?, hex(file.next())?);
    let ino = scan::parse_u64(file.next()?)?;
    Some(FileLock {
        kind,
        pid: u32::try_from(pid).ok().filter(|&pid| pid != 0),
        file: (major, minor, ino),
        exclusive: access == b"WRITE" || access == b"RW",
        waits,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"1: POSIX  ADVISORY  WRITE 4711 fe:00:393227 0 EOF\n\
        1: -> POSIX  ADVISORY  WRITE 4712 fe:00:393227 0 EOF\n\
        2: FLOCK  ADVISORY  READ 12 00:1b:77 0 EOF\n\
        3: OFDLCK ADVISORY  WRITE -1 08:01:5 0 0\n\
        4: LEASE  ACTIVE    READ 99 08:01:6 0 EOF\nrubbish\n5: POSIX\n";

    #[test]
    fn locks_waits_and_open_file_descriptions() {
        let locks: Vec<_> = parse_locks(FILE).collect();
        let of = |kind, pid, file, exclusive, waits| FileLock {
            kind,
            pid,
            file,
            exclusive,
            waits,
        };
        assert_eq!(
            locks,
            [
                of(LockKind::Posix, Some(4711), (0xfe, 0, 393_227), true, false),
                of(LockKind::Posix, Some(4712), (0xfe, 0, 393_227), true, true),
                of(LockKind::Flock, Some(12), (0, 0x1b, 77), false, false),
                of(LockKind::Ofd, None, (8, 1, 5), true, false),
            ]
        );
    }

    #[test]
    fn a_descriptor_has_those_of_its_description() {
        let fdinfo = b"pos:\t0\nflags:\t02\nmnt_id:\t25\nlock:\t1: OFDLCK  ADVISORY  WRITE -1 fe:00:7 0 EOF\n\
            lock:\t2: FLOCK  ADVISORY  READ 9 fe:00:7 0 EOF\nlock:\trubbish\n";
        let locks: Vec<_> = parse_fdinfo_locks(fdinfo).collect();
        assert_eq!(locks.len(), 2);
        assert_eq!(locks[0].kind, LockKind::Ofd);
        assert!(locks[0].exclusive && locks[0].pid.is_none());
        assert!(!locks[1].exclusive);
        assert_eq!(locks[1].kind.as_str(), "flock");
        assert_eq!(parse_fdinfo_locks(FILE).count(), 0);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            let _ = parse_locks(&bytes).count();
        }
    }
}
