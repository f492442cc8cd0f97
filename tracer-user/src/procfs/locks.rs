//! `/proc/locks`: who has locked which file.
//!
//! Source: `proc_locks(5)`, `lock_get_status` in fs/locks.c. A lock of an open file description (OFD) is
//! nobody's: its pid is -1. A line that waits for another lock is marked `->`. Pure.

use super::scan;

/// One lock, or one wait for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLock {
    /// Whose; `None` for one of an open file description.
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

/// `1: [->] POSIX ADVISORY WRITE 4711 fe:00:1234 0 EOF`.
fn parse_line(line: &[u8]) -> Option<FileLock> {
    let mut words = scan::words(line);
    words.next()?.strip_suffix(b":")?;
    let mut kind = words.next()?;
    let waits = kind == b"->";
    if waits {
        kind = words.next()?;
    }
    let _advisory = words.next()?;
    let access = words.next()?;
    // A lease has no access of this form, and is no lock.
    if kind == b"LEASE" || kind == b"DELEG" {
        return None;
    }
    let pid = scan::parse_i64(words.next()?)?;
    let mut file = words.next()?.split(|&byte| byte == b':');
    let hex = |part: Option<&[u8]>| u32::try_from(scan::parse_hex(part?)?).ok();
    let (major, minor) = (hex(file.next())?, hex(file.next())?);
    let ino = scan::parse_u64(file.next()?)?;
    Some(FileLock {
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
        let of = |pid, file, exclusive, waits| FileLock {
            pid,
            file,
            exclusive,
            waits,
        };
        assert_eq!(
            locks,
            [
                of(Some(4711), (0xfe, 0, 393_227), true, false),
                of(Some(4712), (0xfe, 0, 393_227), true, true),
                of(Some(12), (0, 0x1b, 77), false, false),
                of(None, (8, 1, 5), true, false),
            ]
        );
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            let _ = parse_locks(&bytes).count();
        }
    }
}
