//! Where in a journal's file the lines stand that other files are copied from.
//!
//! Whoever wrote a journal knows that, and need not read all of it again for a few lines. Kept in a
//! bounded room: what stands close together is one span, and of too many spans neighbours become one.
//! So a span may hold lines that nobody asked for; none that someone asked for is outside of all.

use std::{
    fs::File,
    io::{self, Read},
    ops::Range,
    os::unix::fs::FileExt,
};

/// Most spans that are kept.
const SPANS_MAX: usize = 4096;
/// Reading over so many bytes costs no more than asking for what is behind them: each line among them is checked.
const GAP_MAX: u64 = 512;

/// Ranges of bytes in a file that only grows, in their order. Each begins and ends with a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spans {
    ranges: Vec<Range<u64>>,
    /// Bytes of the whole file. One of another size was not written by this writer alone, and what
    /// stands where in it is not known.
    file_bytes: u64,
}

impl Spans {
    /// Adds a line behind all others.
    pub fn add(&mut self, line: Range<u64>) {
        if let Some(last) = self.ranges.last_mut()
            && line.start.saturating_sub(last.end) <= GAP_MAX
        {
            last.end = line.end;
            return;
        }
        if self.ranges.len() == SPANS_MAX {
            let pairs = self.ranges.chunks(2);
            self.ranges = pairs
                .map(|pair| pair[0].start..pair[pair.len() - 1].end)
                .collect();
        }
        self.ranges.push(line);
    }

    /// As they are when the file has so many bytes.
    #[must_use]
    pub fn of_file(mut self, bytes: u64) -> Self {
        self.file_bytes = bytes;
        self
    }
}

/// A journal's file: all of it, or the spans.
#[derive(Debug)]
pub enum Source {
    /// From where it stands to its end.
    Whole(File),
    /// What is in the spans.
    Parts {
        /// The file.
        file: File,
        /// What is left of it.
        rest: std::vec::IntoIter<Range<u64>>,
        /// What is left of the span at hand.
        now: Range<u64>,
    },
}

impl Source {
    /// The spans of `file` if it is the file they are of.
    ///
    /// # Errors
    /// What the system says to a question for its size.
    pub fn of(file: File, spans: Option<&Spans>) -> io::Result<Self> {
        match spans {
            Some(spans) if file.metadata()?.len() == spans.file_bytes => Ok(Self::Parts {
                file,
                rest: spans.ranges.clone().into_iter(),
                now: 0..0,
            }),
            _ => Ok(Self::Whole(file)),
        }
    }

    /// Whether there may be lines that are left out.
    #[must_use]
    pub fn is_parts(&self) -> bool {
        matches!(self, Self::Parts { .. })
    }
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Whole(file) => file.read(into),
            Self::Parts { file, rest, now } => {
                while now.is_empty() {
                    let Some(next) = rest.next() else {
                        return Ok(0);
                    };
                    *now = next;
                }
                let left = usize::try_from(now.end - now.start).unwrap_or(usize::MAX);
                let room = into.len().min(left);
                let read = file.read_at(&mut into[..room], now.start)?;
                if read == 0 && room > 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                now.start += read as u64;
                Ok(read)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufWriter, Seek, Write};

    use super::*;

    /// Lines of ten bytes, numbered.
    fn file(lines: u64) -> File {
        let mut file = BufWriter::new(tempfile::tempfile().expect("a file"));
        for line in 0..lines {
            writeln!(file, "{line:9}").expect("written");
        }
        file.into_inner().expect("written")
    }

    fn read(file: &File, spans: &Spans) -> Vec<u64> {
        let file = file.try_clone().expect("a descriptor");
        let mut text = String::new();
        let mut source = Source::of(file, Some(spans)).expect("a size");
        assert!(source.is_parts());
        source.read_to_string(&mut text).expect("text");
        let numbers = text.lines().map(|line| line.trim().parse());
        numbers.collect::<Result<_, _>>().expect("whole lines")
    }

    fn spans(lines: impl Iterator<Item = u64>, bytes: u64) -> Spans {
        let mut spans = Spans::default();
        lines.for_each(|line| spans.add(line * 10..line * 10 + 10));
        spans.of_file(bytes)
    }

    #[test]
    fn what_was_added_is_read_and_little_else() {
        let file = file(10_000);
        let wanted = [0, 1, 2, 5_000, 5_001, 9_999];
        let found = read(&file, &spans(wanted.into_iter(), 100_000));
        assert_eq!(found, wanted);
        let near = [7, 9];
        assert_eq!(read(&file, &spans(near.into_iter(), 100_000)), [7, 8, 9]);
        assert_eq!(read(&file, &spans([].into_iter(), 100_000)), [0; 0]);
    }

    #[test]
    fn of_too_many_spans_none_is_left_out() {
        let lines = 3 * SPANS_MAX as u64 * 500;
        let file = file(lines);
        let wanted = (0..lines).step_by(500);
        let spans = spans(wanted.clone(), lines * 10);
        assert!(spans.ranges.len() <= SPANS_MAX);
        let found = read(&file, &spans);
        assert!(
            wanted
                .clone()
                .all(|line| found.binary_search(&line).is_ok())
        );
        assert!(found.is_sorted());
    }

    #[test]
    fn what_is_as_near_as_may_be_is_one_span_and_a_byte_further_is_another() {
        let near = (0..10, 10 + GAP_MAX..20 + GAP_MAX);
        let far = (0..10, 11 + GAP_MAX..20 + GAP_MAX);
        for ((first, second), expected) in [(near, 1), (far, 2)] {
            let mut spans = Spans::default();
            spans.add(first);
            spans.add(second.clone());
            assert_eq!(spans.ranges.len(), expected);
            assert_eq!(spans.ranges[expected - 1].end, second.end);
        }
    }

    #[test]
    fn neighbours_become_one_only_when_there_is_no_room() {
        let line = |n: u64| n * 2 * GAP_MAX..n * 2 * GAP_MAX + 10;
        let most = SPANS_MAX as u64;
        let mut spans = Spans::default();
        (0..most).for_each(|n| spans.add(line(n)));
        assert_eq!(spans.ranges, (0..most).map(line).collect::<Vec<_>>());
        spans.add(line(most));
        let pair = |n: u64| line(2 * n).start..line(2 * n + 1).end;
        let mut expected: Vec<_> = (0..most / 2).map(pair).collect();
        expected.push(line(most));
        assert_eq!(spans.ranges, expected);
    }

    #[test]
    fn a_reader_with_little_room_gets_every_byte_once() {
        let file = file(10_000);
        let wanted = [0, 5_000, 5_001, 9_999];
        let spans = spans(wanted.into_iter(), 100_000);
        for room in [1, 3, 10, 11, 1000] {
            let mut source =
                Source::of(file.try_clone().expect("a descriptor"), Some(&spans)).expect("a size");
            assert_eq!(source.read(&mut []).expect("nothing"), 0);
            let (mut text, mut part) = (Vec::new(), vec![0; room]);
            loop {
                let read = source.read(&mut part).expect("bytes");
                if read == 0 {
                    break;
                }
                text.extend_from_slice(&part[..read]);
            }
            let expected = wanted.map(|line| format!("{line:9}\n")).concat();
            assert_eq!(String::from_utf8_lossy(&text), expected, "{room} bytes");
            assert_eq!(source.read(&mut part).expect("its end"), 0);
        }
    }

    #[test]
    fn a_file_that_was_cut_meanwhile_is_an_error_and_not_a_shorter_one() {
        let file = file(10);
        let spans = spans([0, 9].into_iter(), 100);
        let mut source =
            Source::of(file.try_clone().expect("a descriptor"), Some(&spans)).expect("a size");
        file.set_len(95).expect("cut");
        let error = source.read_to_end(&mut Vec::new()).expect_err("cut");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_file_of_another_size_is_read_whole() {
        for bytes in [20, 31] {
            let spans = spans([1].into_iter(), bytes);
            let mut file = file(3);
            file.rewind().expect("its beginning");
            let mut source = Source::of(file, Some(&spans)).expect("a size");
            assert!(!source.is_parts());
            let mut text = String::new();
            source.read_to_string(&mut text).expect("text");
            assert_eq!(text.lines().count(), 3);
        }
        let source = Source::of(file(3), None).expect("a file");
        assert!(!source.is_parts());
    }
}
