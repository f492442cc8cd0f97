//! Writes lines to the journal's file: many at once, in order, each of them whole in the end.
//!
//! A write that the disk takes only in part is not an accident to clean up: the rest of the bytes
//! stays here and goes out first when there is room again. The file is never truncated or rewritten.

use std::{collections::VecDeque, fs::File, io};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use crate::session::{
    journal::{
        encode::Encoder,
        record::{Body, Counts, Record},
        spans::Spans,
    },
    store::{Dir, journal_name},
};

/// Bytes after which a batch is written.
pub const BATCH_BYTES: usize = 256 << 10;

/// The journal's file as the writer needs it. Tests put gates and faults in between.
pub trait JournalFile: Send {
    /// Appends a beginning of `bytes`; how many.
    ///
    /// # Errors
    /// What the system says.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// [`Self::append`], unless `still` says no, which is asked at the last moment: when nothing can
    /// hold the call up any more but the file itself. `None`: it said no, and nothing was appended.
    ///
    /// # Errors
    /// What the system says.
    fn append_if(
        &mut self,
        bytes: &[u8],
        still: &mut dyn FnMut() -> bool,
    ) -> io::Result<Option<usize>> {
        if still() {
            self.append(bytes).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Makes what was appended durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync(&mut self) -> io::Result<()>;

    /// Whether the file still has a name: false after its directory was removed.
    fn has_name(&mut self) -> bool {
        true
    }
}

impl JournalFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(&*self, bytes)?)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(&*self)?)
    }

    fn has_name(&mut self) -> bool {
        rustix::fs::fstat(&*self).is_ok_and(|stat| stat.st_nlink > 0)
    }
}

/// Makes the journal of an epoch; one that is there is an error.
///
/// # Errors
/// What the system says.
pub fn create_journal(dir: &Dir, epoch: u32) -> Result<File, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::APPEND;
    dir.open(&journal_name(epoch), flags, Mode::RUSR | Mode::WUSR)
        .map(File::from)
}

/// A record that has its number and is on its way to the file.
#[derive(Debug)]
struct Pending {
    /// Offset in the buffer of the first byte after it.
    end: usize,
    record: Record,
}

/// Encodes records into a batch and writes it.
pub struct JournalWriter {
    file: Box<dyn JournalFile>,
    encoder: Encoder,
    /// Encoded lines; `sent` bytes of them are in the file.
    buffer: Vec<u8>,
    sent: usize,
    pending: VecDeque<Pending>,
    /// `seq` of the next record that is encoded.
    next_seq: u64,
    counts: Counts,
    bytes: u64,
    copied: Spans,
}

/// What one write brought about.
pub struct Progress<'a> {
    /// The lines that are whole in the file since this write.
    pub lines: &'a [u8],
    /// `seq` of the first of them.
    pub first_seq: u64,
    /// How many.
    pub count: usize,
    /// Their records.
    pub records: &'a mut dyn Iterator<Item = Record>,
}

impl JournalWriter {
    /// Writes to `file`, numbering from `first_seq`.
    #[must_use]
    pub fn new(file: Box<dyn JournalFile>, encoder: Encoder, first_seq: u64) -> Self {
        Self {
            file,
            encoder,
            buffer: Vec::with_capacity(BATCH_BYTES + (16 << 10)),
            sent: 0,
            pending: VecDeque::new(),
            next_seq: first_seq,
            counts: Counts::default(),
            bytes: 0,
            copied: Spans::default(),
        }
    }

    /// Goes on counting from what earlier epochs hold.
    #[must_use]
    pub fn counting_on(mut self, counts: Counts) -> Self {
        self.counts = counts;
        self
    }

    /// Gives a record its number and puts it into the batch.
    pub fn push(&mut self, record: Record) {
        let from = self.buffer.len();
        self.encoder
            .line(&mut self.buffer, self.next_seq, record.t, &record.body);
        self.next_seq += 1;
        self.counts.add(&record.body);
        let is_event = matches!(record.body, Body::Event(_));
        if !is_event && matches!(record.body.kind(), "snapshot" | "anomaly") {
            let begin = self.bytes - self.sent as u64;
            let to = self.buffer.len() as u64;
            self.copied.add(begin + from as u64..begin + to);
        }
        self.pending.push_back(Pending {
            end: self.buffer.len(),
            record,
        });
    }

    /// The batch is large enough to be written before more is put in.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= BATCH_BYTES
    }

    /// Everything pushed is in the file.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.pending.is_empty()
    }

    /// Records pushed and not yet in the file.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// What was pushed, by kind. A later line is whole in the file only if all before it are.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Bytes in the file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where the lines stand that other files are copied from: snapshots and anomalies.
    #[must_use]
    pub fn copied(&self) -> Spans {
        self.copied.clone().of_file(self.bytes)
    }

    /// A beginning of the batch is in the file, and not all of it.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.sent > 0
    }

    /// Takes back the one terminal record that was pushed and of which no byte is in the file.
    pub fn withdraw(&mut self) {
        let alone = self.pending.len() == 1 && self.sent == 0;
        let last = self.pending.back();
        if alone && last.is_some_and(|last| last.record.body.is_terminal()) {
            self.pending.clear();
            self.buffer.clear();
            self.next_seq -= 1;
            self.counts.records -= 1;
        }
    }

    /// Throws away what a panic has left of a line that it kept from being encoded.
    pub fn mend(&mut self) {
        let end = self.pending.back().map_or(self.sent, |line| line.end);
        self.buffer.truncate(end);
    }

    /// Calls `write(2)` once, unless `still` says no at the last moment, and tells `done` which lines
    /// are whole in the file now. False: it said no.
    ///
    /// # Errors
    /// What the system says. Nothing is lost: the next call goes on where this one stopped.
    pub fn write_if(
        &mut self,
        still: &mut dyn FnMut() -> bool,
        done: impl FnOnce(Progress<'_>),
    ) -> io::Result<bool> {
        let rest = &self.buffer[self.sent..];
        if rest.is_empty() {
            return Ok(true);
        }
        let written = match self.file.append_if(rest, still) {
            Ok(None) => return Ok(false),
            Ok(Some(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(Some(written)) => written.min(rest.len()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(error),
        };
        let before = self.line_start();
        self.sent += written;
        self.bytes += written as u64;
        let whole = self
            .pending
            .iter()
            .take_while(|line| line.end <= self.sent)
            .count();
        if whole > 0 {
            let end = self.pending[whole - 1].end;
            let first_seq = self.next_seq - self.pending.len() as u64;
            let mut records = self.pending.drain(..whole).map(|line| line.record);
            let lines = &self.buffer[before..end];
            done(Progress {
                lines,
                first_seq,
                count: whole,
                records: &mut records,
            });
            // What `done` did not take has reached the file all the same.
            records.for_each(drop);
        }
        if self.pending.is_empty() {
            self.buffer.clear();
            self.sent = 0;
        }
        Ok(true)
    }

    /// Start of the oldest line that is not whole in the file: lines end where the next one begins,
    /// and bytes before it are of lines told already.
    fn line_start(&self) -> usize {
        let sent = &self.buffer[..self.sent];
        sent.iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |newline| newline + 1)
    }

    /// Makes what is in the file durable.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }

    /// Whether the file still has a name.
    pub fn has_name(&mut self) -> bool {
        self.file.has_name()
    }
}
