//! The line that a dying observer appends to its lease.
//!
//! ```text
//! {"kind":"crash","epoch":0,"cause":"SIGSEGV","signal":11,"code":1,"pid":…,"tid":…,"t_boot_ns":…,
//!  "last_accepted":…,"last_written":…,"address":"0x…"   …,"crc":"8 hex"}
//! ```
//!
//! Written by a signal handler: built in one array on its stack, with nothing that allocates, locks or
//! can panic; blanks before the checksum, which JSON allows, give it a constant size. The checksum is
//! that of a journal line. `sigaction(2)` says what `code`, `address` and the sender mean. The way back
//! is `words`. Pure.

use crate::{
    session::journal::{record::Crash, text::put_str},
    units::BootNs,
};

/// Bytes of a crash line. It begins with a newline too: the line before may be torn.
pub const CRASH_LINE_BYTES: usize = 352;
/// `,"crc":"xxxxxxxx"}` and a newline.
pub(super) const END_BYTES: usize = 19;

/// The signals that are a program's own fault, and end it (`signal(7)`).
pub const FATAL: [i32; 6] = [
    libc::SIGILL,
    libc::SIGABRT,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGSEGV,
    libc::SIGSYS,
];

/// A fatal signal, in integers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fatal {
    /// Its number.
    pub signal: i32,
    /// `si_code`: 0 and below from a process, above from the kernel.
    pub code: i32,
    /// Who got it.
    pub pid: u32,
    /// Which of its threads.
    pub tid: u32,
    /// When.
    pub t: BootNs,
    /// Which stretch of the session.
    pub epoch: u32,
    /// `seq` of the last record taken in.
    pub last_accepted: u64,
    /// `seq` of the last record in the file.
    pub last_written: u64,
    /// `si_addr`, where the kernel sent it.
    pub address: u64,
    /// `si_pid`, where a process sent it.
    pub sender_pid: u32,
    /// `si_uid`, where a process sent it.
    pub sender_uid: u32,
}

/// The name of one of [`FATAL`], without allocating.
#[must_use]
pub const fn fatal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGILL => "SIGILL",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGSYS => "SIGSYS",
        _ => "signal",
    }
}

impl Fatal {
    /// The line, both newlines included.
    #[must_use]
    pub fn line(&self) -> [u8; CRASH_LINE_BYTES] {
        let mut line = Line {
            bytes: [b' '; CRASH_LINE_BYTES],
            at: 0,
        };
        line.put(b"\n{\"kind\":\"crash\",\"epoch\":");
        line.number(self.epoch.into());
        line.put(b",\"cause\":\"");
        line.put(fatal_name(self.signal).as_bytes());
        line.put(b"\",\"signal\":");
        line.signed(self.signal);
        line.put(b",\"code\":");
        line.signed(self.code);
        line.put(b",\"pid\":");
        line.number(self.pid.into());
        line.put(b",\"tid\":");
        line.number(self.tid.into());
        line.put(b",\"t_boot_ns\":");
        line.number(self.t.0);
        line.put(b",\"last_accepted\":");
        line.number(self.last_accepted);
        line.put(b",\"last_written\":");
        line.number(self.last_written);
        if self.code > 0 {
            line.put(b",\"address\":\"0x");
            line.hex(self.address, 16);
            line.put(b"\"");
        } else {
            line.put(b",\"sender_pid\":");
            line.number(self.sender_pid.into());
            line.put(b",\"sender_uid\":");
            line.number(self.sender_uid.into());
        }
        line.close()
    }
}

/// Bytes put one after the other; what is beyond the end is left out rather than a panic.
struct Line {
    bytes: [u8; CRASH_LINE_BYTES],
    at: usize,
}

impl Line {
    fn put(&mut self, text: &[u8]) {
        for &byte in text {
            if let Some(place) = self.bytes.get_mut(self.at) {
                *place = byte;
                self.at = self.at.wrapping_add(1);
            }
        }
    }

    fn number(&mut self, mut n: u64) {
        let mut digits = [b'0'; 20];
        let mut used = 0;
        for digit in digits.iter_mut().rev() {
            *digit = DIGITS[low(n % 10)];
            used += 1;
            n /= 10;
            if n == 0 {
                break;
            }
        }
        self.put(digits.get(20 - used..).unwrap_or_default());
    }

    fn signed(&mut self, n: i32) {
        if n < 0 {
            self.put(b"-");
        }
        self.number(n.unsigned_abs().into());
    }

    fn hex(&mut self, n: u64, digits: u32) {
        for digit in (0..digits).rev() {
            let nibble = n.wrapping_shr(digit.wrapping_mul(4)) & 15;
            self.put(&[DIGITS[low(nibble)]]);
        }
    }

    /// Blanks up to the constant size, and the checksum.
    fn close(mut self) -> [u8; CRASH_LINE_BYTES] {
        self.at = CRASH_LINE_BYTES - END_BYTES;
        // Plain computing: no allocation, and its look at the processor was made for the journal.
        let crc = crc32fast::hash(self.bytes.get(1..self.at).unwrap_or_default());
        self.put(b",\"crc\":\"");
        self.hex(crc.into(), 8);
        self.put(b"\"}\n");
        self.bytes
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn low(n: u64) -> usize {
    (n & 15) as usize
}

/// The line of a crash that leaves time to say more: a panic of the thread that owns the journal, or
/// one after the end. Newlines as in [`Fatal::line`].
#[must_use]
pub fn told_line(place: &Fatal, crash: &Crash) -> Vec<u8> {
    let mut line = format!(
        "\n{{\"kind\":\"crash\",\"epoch\":{},\"pid\":{},\"tid\":{},\"t_boot_ns\":{},\
         \"last_accepted\":{},\"last_written\":{}",
        place.epoch, place.pid, place.tid, place.t.0, place.last_accepted, place.last_written
    )
    .into_bytes();
    line.extend_from_slice(b",\"cause\":");
    put_str(&mut line, &crash.cause);
    line.extend_from_slice(b",\"detail\":");
    put_str(&mut line, &crash.detail);
    let crc = crc32fast::hash(&line[1..]);
    line.extend_from_slice(format!(",\"crc\":\"{crc:08x}\"}}\n").as_bytes());
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        session::crash::{told, words::LastWords},
        verdict::signals,
    };

    const MOST: Fatal = Fatal {
        signal: libc::SIGSEGV,
        code: i32::MIN,
        pid: u32::MAX,
        tid: u32::MAX,
        t: BootNs(u64::MAX),
        epoch: u32::MAX,
        last_accepted: u64::MAX,
        last_written: u64::MAX,
        address: u64::MAX,
        sender_pid: u32::MAX,
        sender_uid: u32::MAX,
    };

    fn read(line: &[u8]) -> Option<LastWords> {
        assert_eq!((line.first(), line.last()), (Some(&b'\n'), Some(&b'\n')));
        LastWords::parse(&line[1..line.len() - 1])
    }

    #[test]
    fn the_longest_line_fits_and_says_everything() {
        for fatal in [
            MOST,
            Fatal {
                code: i32::MAX,
                ..MOST
            },
            Fatal::default(),
        ] {
            let words = read(&fatal.line()).expect("whole");
            assert_eq!(words.t, fatal.t);
            assert_eq!(words.epoch, fatal.epoch);
            assert_eq!(words.last_accepted, fatal.last_accepted);
            assert_eq!(words.last_written, fatal.last_written);
        }
        let text = String::from_utf8(MOST.line().to_vec()).expect("text");
        assert!(text.contains("\"sender_uid\":4294967295 "), "{text}");
    }

    #[test]
    fn a_line_names_signal_time_and_origin() {
        let fatal = Fatal {
            signal: libc::SIGSEGV,
            code: 1,
            pid: 40,
            tid: 41,
            t: BootNs(123),
            last_accepted: 9,
            last_written: 7,
            address: 0xdead_beef,
            ..Fatal::default()
        };
        let words = read(&fatal.line()).expect("whole");
        assert_eq!(words.crash.cause, "SIGSEGV");
        let at = "signal 11, code 1, at address 0x00000000deadbeef, in thread 41";
        assert_eq!(words.crash.detail, at);
        let sent = Fatal {
            code: 0,
            sender_pid: 7,
            sender_uid: 1000,
            tid: 40,
            ..fatal
        };
        let words = read(&sent.line()).expect("whole");
        let by = "signal 11, code 0, sent by pid 7 of uid 1000, in the main thread";
        assert_eq!(words.crash.detail, by);
    }

    #[test]
    fn every_signal_of_the_slot_has_its_name() {
        for signal in FATAL {
            assert_eq!(fatal_name(signal), signals::name(signal));
            assert!(signals::is_fault(signal));
        }
    }

    #[test]
    fn a_line_cut_or_changed_anywhere_is_not_believed() {
        let line = MOST.line();
        let whole = &line[1..line.len() - 1];
        for end in 0..whole.len() {
            assert_eq!(LastWords::parse(&whole[..end]), None, "cut at {end}");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut flipped = whole.to_vec();
                flipped[at] ^= 1 << bit;
                assert_eq!(LastWords::parse(&flipped), None, "bit {bit} of {at}");
            }
        }
    }

    #[test]
    fn a_crash_with_words_keeps_them_whatever_they_are() {
        let crash = told("panic", "line one\nline \"two\"\u{1b}[31m \u{202e}");
        let words = read(&told_line(&Fatal::default(), &crash)).expect("whole");
        assert_eq!(words.crash, crash);
    }

    #[test]
    fn the_first_words_of_an_epoch_decide() {
        let at = |epoch, t| {
            Fatal {
                epoch,
                t: BootNs(t),
                ..MOST
            }
            .line()
        };
        let lease = [at(0, 1), at(1, 2), at(1, 3)].concat();
        let lines = || lease.split(|&byte| byte == b'\n');
        assert_eq!(
            LastWords::of_epoch(lines(), 1).map(|words| words.t.0),
            Some(2)
        );
        assert_eq!(LastWords::of_epoch(lines(), 2), None);
    }
}
