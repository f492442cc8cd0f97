//! Goes through another recorder's trace line by line; what is no row is counted.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
};

use jiff::Timestamp;

use super::rows::{self, Known, LINE_MAX};
use crate::{session::journal::record::Record, units::BootNs};

/// The rows of a trace.
pub(super) struct Lines<'a, R> {
    source: BufReader<R>,
    known: &'a Known,
    line: Vec<u8>,
    last: BootNs,
    /// Lines that are no rows, the unfinished last one apart.
    pub(super) bad: u64,
    /// Bytes of an unfinished last line.
    pub(super) torn: u64,
    /// Reading failed here.
    pub(super) error: Option<io::Error>,
}

impl<'a, R: Read> Lines<'a, R> {
    pub(super) fn new(source: R, known: &'a Known) -> Self {
        Self {
            source: BufReader::with_capacity(64 << 10, source),
            known,
            line: Vec::new(),
            last: known.clock.boot,
            bad: 0,
            torn: 0,
            error: None,
        }
    }

    /// Time of the last row so far.
    pub(super) fn last_t(&self) -> BootNs {
        self.last
    }
}

impl<R: Read> Iterator for Lines<'_, R> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        loop {
            let ended = match read_line(&mut self.source, &mut self.line) {
                Ok(Some(ended)) => ended,
                Ok(None) => return None,
                Err(error) => {
                    self.error = Some(error);
                    return None;
                }
            };
            match rows::record(&self.line, self.known, self.last) {
                Some(record) => {
                    self.last = self.last.max(record.t);
                    return Some(record);
                }
                None if ended => self.bad += u64::from(!self.line.is_empty()),
                None => self.torn = self.line.len() as u64,
            }
        }
    }
}

/// Reads one line without its newline, and says whether it had one. `None` at the end. Of a line that
/// is longer than any, nothing is kept.
fn read_line(source: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let most = LINE_MAX as u64 + 1;
    if source.by_ref().take(most).read_until(b'\n', line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        return Ok(Some(true));
    }
    if line.len() <= LINE_MAX {
        return Ok(Some(false));
    }
    // Not JSON, whatever it was.
    line.truncate(1);
    line[0] = 0xff;
    loop {
        let piece = source.fill_buf()?;
        if piece.is_empty() {
            return Ok(Some(false));
        }
        if let Some(at) = piece.iter().position(|&byte| byte == b'\n') {
            source.consume(at + 1);
            return Ok(Some(true));
        }
        let length = piece.len();
        source.consume(length);
    }
}

/// The time of the first line that has one, and the file at its beginning again.
pub(super) fn first_time(file: File) -> io::Result<(Option<Timestamp>, File)> {
    let mut source = BufReader::new(file);
    let mut line = Vec::new();
    let mut found = None;
    while found.is_none() && read_line(&mut source, &mut line)?.is_some() {
        found = rows::time_of(&line);
    }
    Ok((found, rewound(source.into_inner())?))
}

/// The first name in a row, whether that row is of the enrolled process, and the file at its beginning
/// again.
pub(super) fn first_comm(file: File, known: &Known) -> io::Result<(Option<(String, bool)>, File)> {
    let mut lines = Lines::new(&file, known);
    let found = lines.find_map(|record| rows::comm(&record, known.process));
    if let Some(error) = lines.error.take() {
        return Err(error);
    }
    drop(lines);
    Ok((found, rewound(file)?))
}

fn rewound(mut file: File) -> io::Result<File> {
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        session::{journal::info::ClockPair, recover::whose::Recorded},
        units::Ticks,
    };

    fn read(text: &[u8]) -> (usize, u64, u64) {
        let known = Known {
            process: Recorded {
                pid: 7,
                start: Some(Ticks(1)),
            },
            clock: ClockPair {
                boot: BootNs(0),
                wall: Timestamp::UNIX_EPOCH,
            },
        };
        let mut lines = Lines::new(text, &known);
        let count = lines.by_ref().count();
        (count, lines.bad, lines.torn)
    }

    #[test]
    fn every_row_that_is_whole_counts_and_the_rest_is_counted() {
        assert_eq!(read(b"{}\n{}\n"), (2, 0, 0));
        assert_eq!(read(b"{}\nno\n\n{}"), (2, 1, 0));
        assert_eq!(read(b"{}\n\xff\xfe\n{\"a\":"), (1, 1, 5));
        assert_eq!(read(b""), (0, 0, 0));
    }

    #[test]
    fn a_line_longer_than_any_is_one_bad_line_and_keeps_no_memory() {
        let mut text = b"{}\n{\"a\":\"".to_vec();
        text.resize(3 * LINE_MAX, b'a');
        text.extend_from_slice(b"\"}\n{}\n");
        assert_eq!(read(&text), (2, 1, 0));
        text.resize(6 * LINE_MAX, b'b');
        assert_eq!(read(&text), (2, 1, 1));
    }
}
