//! A session's journals, one an epoch, read as the one record they are.
//!
//! Each observer of a session writes a journal of its own, numbered on from the last good line
//! before it, so nobody ever touches what an earlier one wrote, its torn tail included. Read in the
//! order of their epochs they are gap-free; what is missing is counted by the reader. The first
//! terminal record over all of them decides.

use std::{io, path::PathBuf};

use rustix::fs::OFlags;
use thiserror::Error;

use crate::{
    session::{
        derive::Fold,
        dir::Dir,
        journal::{
            info::{FORMAT, SessionInfo},
            reader::{Entry, JournalReader, ReadStats},
            record::{Body, Counts},
            spans::{Source, Spans},
        },
        store::{StoreError, journal_name},
    },
    units::BootNs,
};

/// Why a session's journals cannot be read.
#[derive(Debug, Error)]
pub enum EpochsError {
    /// They cannot be listed or opened, or are no files of ours.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is none.
    #[error("{} holds no journal", path.display())]
    None {
        /// The session's directory.
        path: PathBuf,
    },
    /// The disk failed in the middle.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which journal.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A later tracer wrote it: this one might take it for something else than it is.
    #[error("{} is of format {format}, this tracer reads formats up to {FORMAT}: use a later one", path.display())]
    Format {
        /// Which journal.
        path: PathBuf,
        /// The format it says.
        format: u64,
    },
}

/// The epoch a file name stands for, if it is that of a journal.
#[must_use]
pub fn epoch_of(name: &str) -> Option<u32> {
    let epoch = name
        .strip_prefix("journal.")?
        .strip_suffix(".jsonl")?
        .parse()
        .ok()?;
    // One spelling only: no sign, no leading zero.
    (journal_name(epoch) == name).then_some(epoch)
}

/// The epochs that have a journal, oldest first.
///
/// # Errors
/// [`StoreError::Io`] when the directory cannot be listed.
pub fn list(dir: &Dir) -> Result<Vec<u32>, StoreError> {
    let names = dir.names()?;
    let mut epochs: Vec<u32> = names.iter().filter_map(|name| epoch_of(name)).collect();
    epochs.sort_unstable();
    Ok(epochs)
}

/// What reading one journal came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochStats {
    /// Which.
    pub epoch: u32,
    /// What was met in it.
    pub stats: ReadStats,
}

/// One journal being read.
#[derive(Debug)]
pub struct Epoch {
    /// Which.
    pub number: u32,
    /// Its lines. Read it to its end before asking for the next epoch.
    pub journal: JournalReader<Source>,
}

/// Goes through the journals of a session.
///
/// ```ignore
/// let mut epochs = Epochs::open(&dir)?;
/// while let Some(epoch) = epochs.next_epoch()? {
///     while let Some(line) = epoch.journal.next_line()? { … }
/// }
/// ```
#[derive(Debug)]
pub struct Epochs<'a> {
    dir: &'a Dir,
    numbers: Vec<u32>,
    only: Option<&'a Spans>,
    current: Option<Epoch>,
    passed: Vec<EpochStats>,
    next_seq: u64,
    ended: bool,
}

impl<'a> Epochs<'a> {
    /// Finds the journals of a session.
    ///
    /// # Errors
    /// [`EpochsError::Store`] and [`EpochsError::None`].
    pub fn open(dir: &'a Dir) -> Result<Self, EpochsError> {
        let numbers = list(dir)?;
        if numbers.is_empty() {
            let path = dir.path().to_path_buf();
            return Err(EpochsError::None { path });
        }
        Ok(Self {
            dir,
            numbers,
            only: None,
            current: None,
            passed: Vec::new(),
            next_seq: 0,
            ended: false,
        })
    }

    /// Reads of a session's one journal only these spans, where they are its. What is left out counts
    /// as missing.
    #[must_use]
    pub fn only(mut self, spans: Option<&'a Spans>) -> Self {
        self.only = spans.filter(|_| self.numbers.len() == 1);
        self
    }

    /// The epochs that have a journal, oldest first.
    #[must_use]
    pub fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    /// Whether they are 0, 1, 2, … without a hole.
    #[must_use]
    pub fn is_consecutive(&self) -> bool {
        (0..).zip(&self.numbers).all(|(n, &epoch)| n == epoch)
    }

    /// Turns to the next journal; `None` behind the last one.
    ///
    /// # Errors
    /// [`EpochsError::Store`].
    pub fn next_epoch(&mut self) -> Result<Option<&mut Epoch>, EpochsError> {
        self.settle();
        let Some(&number) = self.numbers.get(self.passed.len()) else {
            return Ok(None);
        };
        let name = journal_name(number);
        let file = self.dir.open_plain(&name, OFlags::RDONLY)?;
        let read = |source| EpochsError::Read {
            path: self.dir.path().join(&name),
            source,
        };
        let source = Source::of(file, self.only).map_err(read)?;
        let is_parts = source.is_parts();
        let mut journal = JournalReader::new(source).after_an_end(self.ended);
        if !is_parts && (number == 0 || !self.passed.is_empty()) {
            journal = journal.starting_at(self.next_seq);
        }
        Ok(Some(self.current.insert(Epoch { number, journal })))
    }

    /// What was met so far in the journal at hand.
    #[must_use]
    pub fn current_stats(&self) -> Option<EpochStats> {
        self.current.as_ref().map(|epoch| EpochStats {
            epoch: epoch.number,
            stats: epoch.journal.stats(),
        })
    }

    /// What was met in the journals passed so far; all of them after [`Self::next_epoch`] gave `None`.
    #[must_use]
    pub fn stats(&self) -> &[EpochStats] {
        &self.passed
    }

    /// `seq` of the record that would come next: one more than that of the last good line.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    fn settle(&mut self) {
        if let Some(Epoch { number, journal }) = self.current.take() {
            self.next_seq = journal.next_seq().unwrap_or(self.next_seq);
            self.ended = journal.has_ended();
            self.passed.push(EpochStats {
                epoch: number,
                stats: journal.stats(),
            });
        }
    }

    /// Names the journal at hand in an error from reading it.
    #[must_use]
    pub fn read_error(&self, source: io::Error) -> EpochsError {
        let number = self.current.as_ref().map_or(0, |epoch| epoch.number);
        EpochsError::Read {
            path: self.dir.path().join(journal_name(number)),
            source,
        }
    }
}

/// What a session's journals say where they stop: all that the next epoch has to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// What was met in each journal.
    pub epochs: Vec<EpochStats>,
    /// The epoch that comes next: one more than the highest there is.
    pub next_epoch: u32,
    /// `seq` of the record that comes next.
    pub next_seq: u64,
    /// All good records, by kind.
    pub counts: Counts,
    /// The first `session` record.
    pub session: Option<SessionInfo>,
    /// The first terminal record.
    pub end: Option<Entry>,
    /// Time of the latest record.
    pub last_t: BootNs,
}

impl Standing {
    /// Every line of every journal good, none missing, no torn tail.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.epochs.iter().all(|epoch| epoch.stats.is_clean())
    }
}

/// Applies all records of a session to `fold`, those behind a terminal record included: the fold
/// decides what they mean.
///
/// # Errors
/// [`EpochsError`].
pub fn replay<F: Fold>(dir: &Dir, fold: &mut F) -> Result<Standing, EpochsError> {
    let mut epochs = Epochs::open(dir)?;
    let (mut session, mut end) = (None, None);
    let mut counts = Counts::default();
    let mut last_t = BootNs(0);
    while epochs.next_epoch()?.is_some() {
        while let Some(entry) = epochs.next_entry()? {
            counts.add(&entry.body);
            last_t = last_t.max(entry.t);
            fold.apply(entry.seq, entry.t, &entry.body);
            match entry.body {
                Body::Session(info) if session.is_none() => session = Some(*info),
                ref body if body.is_terminal() && end.is_none() => end = Some(entry),
                _ => {}
            }
        }
    }
    let last = epochs.numbers.last().copied().unwrap_or(0);
    Ok(Standing {
        next_epoch: last.saturating_add(1),
        next_seq: epochs.next_seq,
        epochs: epochs.passed,
        counts,
        session,
        end,
        last_t,
    })
}

/// The first `session` record of a session: what a fold begins with. `None` when none is readable.
///
/// # Errors
/// [`EpochsError`].
pub fn session_info(dir: &Dir) -> Result<Option<SessionInfo>, EpochsError> {
    let mut epochs = Epochs::open(dir)?;
    while epochs.next_epoch()?.is_some() {
        while let Some(entry) = epochs.next_entry()? {
            if let Body::Session(info) = entry.body {
                return Ok(Some(*info));
            }
        }
    }
    Ok(None)
}

impl Epochs<'_> {
    /// The next record of the journal at hand; `None` at its end.
    ///
    /// # Errors
    /// [`EpochsError::Read`] and [`EpochsError::Format`].
    pub fn next_entry(&mut self) -> Result<Option<Entry>, EpochsError> {
        match self
            .current
            .as_mut()
            .map(|epoch| epoch.journal.next_entry())
        {
            None => Ok(None),
            Some(Ok(entry)) => {
                let later = entry.as_ref().and_then(|entry| later_format(&entry.body));
                later.map_or(Ok(entry), |format| Err(self.format_error(format)))
            }
            Some(Err(source)) => Err(self.read_error(source)),
        }
    }

    fn format_error(&self, format: u64) -> EpochsError {
        let number = self.current.as_ref().map_or(0, |epoch| epoch.number);
        EpochsError::Format {
            path: self.dir.path().join(journal_name(number)),
            format,
        }
    }
}

/// The format that a `session` record of a later tracer says. What else such a record says is not ours
/// to read.
fn later_format(body: &Body) -> Option<u64> {
    match body {
        Body::Unknown { kind, value } if kind == "session" => value.get("format")?.as_u64(),
        _ => None,
    }
    .filter(|&format| format > FORMAT.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journals_name_has_one_spelling() {
        assert_eq!(epoch_of("journal.0.jsonl"), Some(0));
        assert_eq!(epoch_of("journal.4294967295.jsonl"), Some(u32::MAX));
        for name in [
            "journal.00.jsonl",
            "journal.+1.jsonl",
            "journal.-1.jsonl",
            "journal..jsonl",
            "journal.4294967296.jsonl",
            "journal.1.jsonl.tmp",
            "Journal.1.jsonl",
        ] {
            assert_eq!(epoch_of(name), None, "{name}");
        }
    }
}
