//! `/proc/<pid>/io`.
//!
//! Source: `proc_pid_io(5)`. The file is for those with `ptrace(2)` read access only, and counts all
//! threads of the process, ended ones included. Pure.

use super::scan;

/// I/O of a process in bytes and calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcIo {
    /// Bytes that read calls returned, from whatever.
    pub rchar: u64,
    /// Bytes given to write calls.
    pub wchar: u64,
    /// Read calls.
    pub syscr: u64,
    /// Write calls.
    pub syscw: u64,
    /// Bytes fetched from the block layer.
    pub read_bytes: u64,
    /// Bytes sent to the block layer, when the page was dirtied.
    pub write_bytes: u64,
    /// Dirtied bytes that never reached the block layer because the page was truncated.
    pub cancelled_write_bytes: u64,
}

impl ProcIo {
    /// Parses the file; `None` unless all seven counters are there.
    #[must_use]
    pub fn parse(file: &[u8]) -> Option<Self> {
        let mut io = Self::default();
        let mut seen = 0_u8;
        for line in file.split(|&byte| byte == b'\n') {
            let mut words = scan::words(line);
            let (Some(key), Some(value)) = (words.next(), words.next()) else {
                continue;
            };
            let (bit, slot) = match key {
                b"rchar:" => (1, &mut io.rchar),
                b"wchar:" => (2, &mut io.wchar),
                b"syscr:" => (4, &mut io.syscr),
                b"syscw:" => (8, &mut io.syscw),
                b"read_bytes:" => (16, &mut io.read_bytes),
                b"write_bytes:" => (32, &mut io.write_bytes),
                b"cancelled_write_bytes:" => (64, &mut io.cancelled_write_bytes),
                _ => continue,
            };
            *slot = scan::parse_u64(value)?;
            seen |= bit;
        }
        (seen == 0x7f).then_some(io)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &[u8] = b"rchar: 6976\nwchar: 1\nsyscr: 10\nsyscw: 2\nread_bytes: 4096\n\
        write_bytes: 8192\ncancelled_write_bytes: 3\n";

    #[test]
    fn seven_counters_or_nothing() {
        let io = ProcIo::parse(FILE).unwrap();
        assert_eq!(
            (io.rchar, io.read_bytes, io.write_bytes),
            (6976, 4096, 8192)
        );
        assert_eq!(
            (io.wchar, io.syscr, io.syscw, io.cancelled_write_bytes),
            (1, 10, 2, 3)
        );
        assert_eq!(ProcIo::parse(&FILE[..FILE.len() - 28]), None);
        assert_eq!(ProcIo::parse(b""), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = ProcIo::parse(&bytes);
        }
    }
}
