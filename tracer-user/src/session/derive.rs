//! What is rebuilt from the journal: the fold over its records, and `proc_trace.jsonl`.
//!
//! Whatever is here depends on the journal's bytes alone: not on a clock, nor on who runs it. The
//! same journal gives the same files, byte for byte, at its end, in recovery and in a rebuild.

use std::io::{self, Read, Write};

use serde::{Serialize, de::IgnoredAny};
use serde_json::Value;

use crate::{
    session::journal::{
        reader::{Entry, JournalReader, ReadStats},
        record::Body,
    },
    units::BootNs,
};

/// Version of the rules by which everything derived is made from a journal. Raised when the same journal
/// gives other files than it did before: files of an older version are old then, and not broken.
/// 1: without a version. 2: costs, critical chain, and what the observer cost. 3: closed accounts.
pub const RULES: u32 = 3;

/// What becomes of the records, one after the other: the summary, in practice. Pure.
///
/// The recorder applies each record after it is in the file, in order, so a fold never covers what
/// the journal does not hold.
pub trait Fold: Send + 'static {
    /// What `summary.json` will hold.
    type Output: Serialize + Clone + Send + Sync + 'static;

    /// Takes in one record.
    fn apply(&mut self, seq: u64, t: BootNs, body: &Body);

    /// The result. A journal without a terminal record has one too: the observer was interrupted.
    fn finish(self) -> Self::Output;

    /// The session's row in `sessions.jsonl`.
    fn index_row(output: &Self::Output) -> Value;

    /// Whether there is anything for `anomalies.jsonl`.
    fn has_anomalies(_output: &Self::Output) -> bool {
        false
    }
}

/// Somebody who looks on while records are folded.
pub trait Onlooker: Send + 'static {
    /// Sees one record.
    fn see(&mut self, t: BootNs, body: &Body);
}

/// A fold with somebody looking on, for reading a journal once.
#[derive(Debug)]
pub struct Watched<F, O> {
    /// The fold.
    pub fold: F,
    /// Who looks on.
    pub onlooker: O,
}

impl<F: Fold, O: Onlooker> Fold for Watched<F, O> {
    type Output = F::Output;

    fn apply(&mut self, seq: u64, t: BootNs, body: &Body) {
        self.onlooker.see(t, body);
        self.fold.apply(seq, t, body);
    }

    fn finish(self) -> F::Output {
        self.fold.finish()
    }

    fn index_row(output: &F::Output) -> Value {
        F::index_row(output)
    }

    fn has_anomalies(output: &F::Output) -> bool {
        F::has_anomalies(output)
    }
}

/// A fold that keeps nothing.
impl Fold for () {
    type Output = ();

    fn apply(&mut self, _seq: u64, _t: BootNs, _body: &Body) {}

    fn finish(self) {}

    fn index_row((): &()) -> Value {
        Value::Null
    }
}

/// Applies every record of a journal to `fold`.
///
/// # Errors
/// What `journal` reports.
pub fn replay<F: Fold>(journal: impl Read, fold: &mut F) -> io::Result<ReadStats> {
    let mut reader = JournalReader::new(journal);
    while let Some(Entry { seq, t, body }) = reader.next_entry()? {
        fold.apply(seq, t, &body);
    }
    Ok(reader.stats())
}

/// Writes the snapshot rows of a journal as `proc_trace.jsonl` has them: the row with `ts`, `seq`
/// and `event`. Nothing is decoded: a row's bytes are copied as they are.
///
/// # Errors
/// What `journal` or `out` reports.
pub fn write_proc_trace(journal: impl Read, out: &mut dyn Write) -> io::Result<ReadStats> {
    let mut reader = JournalReader::new(journal);
    copy_rows(&mut reader, out)?;
    Ok(reader.stats())
}

/// [`write_proc_trace`] for a reader that is there already.
///
/// # Errors
/// What `reader` or `out` reports.
pub fn copy_rows(reader: &mut JournalReader<impl Read>, out: &mut dyn Write) -> io::Result<()> {
    let mut row = Vec::with_capacity(1024);
    while let Some(line) = reader.next_line()? {
        // A checksum is no proof against someone who wrote the file to harm: what is copied is JSON.
        if line.kind != "snapshot" || !is_json(line.raw) {
            continue;
        }
        row.clear();
        row.extend_from_slice(b"{\"ts\":");
        // `ts` is the time people look for first in a row; it is `captured_at` again.
        row.extend_from_slice(captured_at(line.members()).unwrap_or(b"null"));
        write!(row, ",\"seq\":{},\"t_boot_ns\":{}", line.seq, line.t.0)?;
        row.extend_from_slice(line.members());
        row.extend_from_slice(b"}\n");
        out.write_all(&row)?;
    }
    Ok(())
}

fn is_json(line: &[u8]) -> bool {
    std::str::from_utf8(line).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// The value of `captured_at`, with its quotes. It is among the first members; no string before it
/// can hold a quote without a backslash.
pub(super) fn captured_at(members: &[u8]) -> Option<&[u8]> {
    const KEY: &[u8] = b",\"captured_at\":";
    let at = members
        .windows(KEY.len())
        .position(|window| window == KEY)?
        + KEY.len();
    let value = &members[at..];
    let end = value.iter().skip(1).position(|&byte| byte == b'"')? + 2;
    // A time has no escapes; with one the string may go on behind the quote.
    (value.starts_with(b"\"") && !value[..end].contains(&b'\\')).then(|| &value[..end])
}
