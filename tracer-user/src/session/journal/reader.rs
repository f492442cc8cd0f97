//! Reads a journal: whole records in order, whatever else the file holds.
//!
//! Made for files a crash has cut, a disk has damaged or an enemy has written: a line counts only if
//! its checksum is right and its `seq` follows, every other one is skipped and counted with its
//! reason. The end of the file is not an error and not final: a reader of a running session asks
//! again. Nothing here opens a file.

use std::io::{self, BufRead, BufReader, Read};

use crate::{
    session::journal::{decode::decode_body, encode::TAIL_BYTES, record::Body},
    units::BootNs,
};

/// Longest line that is read; a longer one is counted and skipped without being kept in memory.
pub const LINE_MAX: usize = 16 << 20;

/// A line whose checksum and place are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its number.
    pub seq: u64,
    /// When it happened.
    pub t: BootNs,
    /// Its kind.
    pub kind: &'a str,
    /// The whole line without its newline.
    pub raw: &'a [u8],
}

impl<'a> Line<'a> {
    /// Reads the head and checks the tail of one line without its newline.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(raw: &'a [u8]) -> Result<Self, BadLine> {
        let body = checked(raw)?;
        let (seq, t, kind) = parse_head(body).ok_or(BadLine::Form)?;
        Ok(Self {
            seq,
            t: BootNs(t),
            kind,
            raw,
        })
    }

    /// What the line says; `None` when it is not JSON although its checksum is right.
    #[must_use]
    pub fn body(&self) -> Option<Body> {
        decode_body(self.kind, self.raw)
    }

    /// The line's members behind its `kind`, without checksum and closing brace: empty, or beginning
    /// with a comma.
    #[must_use]
    pub fn members(&self) -> &'a [u8] {
        let head = head_bytes(self.seq, self.t.0, self.kind);
        self.raw
            .get(head..self.raw.len() - TAIL_BYTES)
            .unwrap_or_default()
    }
}

/// What the checksum at the end of `raw` covers, if it is right.
fn checked(raw: &[u8]) -> Result<&[u8], BadLine> {
    let (body, tail) = raw
        .split_at_checked(raw.len().wrapping_sub(TAIL_BYTES))
        .ok_or(BadLine::Form)?;
    let crc = tail
        .strip_prefix(b",\"crc\":\"")
        .and_then(|rest| rest.strip_suffix(b"\"}"));
    let crc = crc.and_then(parse_crc).ok_or(BadLine::Form)?;
    if crc32fast::hash(body) == crc {
        Ok(body)
    } else {
        Err(BadLine::Crc)
    }
}

/// Whether an object ends in a `crc` that is right for what stands before it.
pub(crate) fn has_right_tail(raw: &[u8]) -> bool {
    checked(raw).is_ok()
}

fn digits(n: u64) -> usize {
    n.checked_ilog10().map_or(1, |log| log as usize + 1)
}

fn head_bytes(seq: u64, t: u64, kind: &str) -> usize {
    SEQ.len() + digits(seq) + TIME.len() + digits(t) + KIND.len() + kind.len() + 1
}

const SEQ: &[u8] = b"{\"seq\":";
const TIME: &[u8] = b",\"t_boot_ns\":";
const KIND: &[u8] = b",\"kind\":\"";

fn parse_head(line: &[u8]) -> Option<(u64, u64, &str)> {
    let (seq, rest) = parse_number(line.strip_prefix(SEQ)?)?;
    let (t, rest) = parse_number(rest.strip_prefix(TIME)?)?;
    let rest = rest.strip_prefix(KIND)?;
    let end = rest.iter().position(|&byte| byte == b'"')?;
    let kind = rest[..end]
        .iter()
        .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
        .then(|| std::str::from_utf8(&rest[..end]).ok())??;
    Some((seq, t, kind))
}

/// Digits without a leading zero, so that there is one spelling only.
fn parse_number(text: &[u8]) -> Option<(u64, &[u8])> {
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    if end == 0 || (end > 1 && number[0] == b'0') {
        return None;
    }
    let value = number.iter().try_fold(0_u64, |sum, digit| {
        sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })?;
    Some((value, rest))
}

/// Eight lower-case hex digits: an upper-case one is one flipped bit away and must not pass.
fn parse_crc(text: &[u8]) -> Option<u32> {
    let digit = |sum: u32, byte: &u8| match byte {
        b'0'..=b'9' => Some(sum << 4 | u32::from(byte - b'0')),
        b'a'..=b'f' => Some(sum << 4 | u32::from(byte - b'a' + 10)),
        _ => None,
    };
    if text.len() == 8 {
        text.iter().try_fold(0, digit)
    } else {
        None
    }
}

/// Why a line does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadLine {
    /// Not of the form every line has.
    Form,
    /// The checksum is wrong.
    Crc,
    /// The checksum is right and the content is not JSON.
    Json,
    /// Longer than [`LINE_MAX`].
    TooLong,
    /// Its `seq` is one that was there before.
    Repeated,
}

/// What a reader has met so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadStats {
    /// Records given out.
    pub records: u64,
    /// Bytes up to the end of the last good line.
    pub good_bytes: u64,
    /// Bad lines with a good one behind them.
    pub bad_lines: u64,
    /// Why the first bad line was bad, the torn tail included.
    pub first_bad: Option<BadLine>,
    /// Records missing between two good lines, by their `seq`.
    pub missing: u64,
    /// Bytes behind the last good line when the end of the file was reached: a torn tail.
    pub torn: u64,
    /// Bad or unfinished lines among those bytes.
    pub torn_lines: u64,
    /// Terminal records after the first one: counted, never obeyed.
    pub later_ends: u64,
}

impl ReadStats {
    /// Every line good, none missing, no tail.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.bad_lines == 0 && self.missing == 0 && self.torn == 0
    }
}

/// One record with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its number.
    pub seq: u64,
    /// When it happened.
    pub t: BootNs,
    /// What it says.
    pub body: Body,
}

/// Reads lines from `R`.
#[derive(Debug)]
pub struct JournalReader<R> {
    source: BufReader<R>,
    /// The line being read; kept over the end of the file, where it may be half of one.
    line: Vec<u8>,
    /// The line was given out, or found bad: start anew.
    spent: bool,
    /// Reading over the rest of a line that is too long.
    too_long: bool,
    consumed: u64,
    next_seq: Option<u64>,
    ended: bool,
    stats: ReadStats,
    bad_since_good: u64,
}

impl<R: Read> JournalReader<R> {
    /// Reads from the beginning of a journal; the first good line's `seq` is taken as it is.
    pub fn new(source: R) -> Self {
        Self {
            source: BufReader::with_capacity(256 << 10, source),
            line: Vec::with_capacity(1024),
            spent: false,
            too_long: false,
            consumed: 0,
            next_seq: None,
            ended: false,
            stats: ReadStats::default(),
            bad_since_good: 0,
        }
    }

    /// Requires the first record to have this `seq`: for the journals of later epochs, and for the
    /// first one, whose records count from 0.
    #[must_use]
    pub fn starting_at(mut self, seq: u64) -> Self {
        self.next_seq = Some(seq);
        self
    }

    /// Counts every terminal record as a later one, when an earlier epoch had one.
    #[must_use]
    pub fn after_an_end(mut self, ended: bool) -> Self {
        self.ended |= ended;
        self
    }

    /// Whether there was a terminal record, here or in an earlier epoch.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// `seq` of the record that comes next: one more than that of the last good line. `None` while
    /// that is open.
    #[must_use]
    pub fn next_seq(&self) -> Option<u64> {
        self.next_seq
    }

    /// What was met so far. The torn tail is up to date after [`Self::next_line`] gave `None`.
    #[must_use]
    pub fn stats(&self) -> ReadStats {
        self.stats
    }

    /// The next good line; `None` at the end of what is there now.
    ///
    /// # Errors
    /// Only what the source itself reports.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        let (seq, t) = loop {
            if !self.fill_line()? {
                self.stats.torn = self.consumed - self.stats.good_bytes;
                self.stats.torn_lines =
                    self.bad_since_good + u64::from(!self.line.is_empty() || self.too_long);
                return Ok(None);
            }
            match self.judge() {
                Ok(place) => break place,
                Err(bad) => {
                    self.bad_since_good += 1;
                    self.stats.first_bad.get_or_insert(bad);
                }
            }
        };
        let raw = &self.line[..self.line.len() - 1];
        let from = head_bytes(seq, t.0, "") - 1;
        let kind = raw[from..]
            .split(|&byte| byte == b'"')
            .next()
            .unwrap_or_default();
        let kind = std::str::from_utf8(kind).unwrap_or_default();
        Ok(Some(Line { seq, t, kind, raw }))
    }

    /// The next record; `None` at the end of what is there now.
    ///
    /// # Errors
    /// Only what the source itself reports.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        loop {
            let Some(line) = self.next_line()? else {
                return Ok(None);
            };
            let (seq, t, body) = (line.seq, line.t, line.body());
            let Some(body) = body else {
                self.stats.records -= 1;
                self.stats.bad_lines += 1;
                self.stats.first_bad.get_or_insert(BadLine::Json);
                continue;
            };
            return Ok(Some(Entry { seq, t, body }));
        }
    }

    /// Reads up to the next newline. False at the end of the file.
    fn fill_line(&mut self) -> io::Result<bool> {
        if self.spent {
            self.line.clear();
            self.spent = false;
        }
        loop {
            let room = LINE_MAX.saturating_sub(self.line.len()) as u64 + 1;
            let read = (&mut self.source)
                .take(room)
                .read_until(b'\n', &mut self.line)?;
            if read == 0 {
                return Ok(false);
            }
            self.consumed += read as u64;
            if self.line.last() == Some(&b'\n') {
                self.spent = true;
                return Ok(true);
            }
            if self.line.len() > LINE_MAX {
                self.too_long = true;
                self.line.clear();
            }
        }
    }

    /// Whether the whole line in the buffer counts, and what follows from it.
    fn judge(&mut self) -> Result<(u64, BootNs), BadLine> {
        if std::mem::take(&mut self.too_long) {
            return Err(BadLine::TooLong);
        }
        let line = Line::parse(&self.line[..self.line.len() - 1])?;
        let expected = self.next_seq.unwrap_or(line.seq);
        if line.seq < expected {
            return Err(BadLine::Repeated);
        }
        self.stats.missing += line.seq - expected;
        self.next_seq = Some(line.seq.saturating_add(1));
        if matches!(line.kind, "end" | "crash") && std::mem::replace(&mut self.ended, true) {
            self.stats.later_ends += 1;
        }
        self.stats.records += 1;
        self.stats.good_bytes = self.consumed;
        self.stats.bad_lines += std::mem::take(&mut self.bad_since_good);
        Ok((line.seq, line.t))
    }
}
