//! What has become of a session, told from its directory alone and without reading all of it.
//!
//! *Running* is a lease that is held and no terminal record; *ended* is a terminal record at the end
//! of the newest journal that says anything; *interrupted* is neither. An end is never inferred.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

use rustix::fs::OFlags;

use crate::session::{
    dir::Dir,
    epochs,
    journal::reader::{Entry, LINE_MAX, Line},
    lease::{self, Holder, LeaseError},
    store::{ClaimedSession, SUMMARY, journal_name},
};

/// Bytes at the end of a journal that are read first. An end record has 1024.
const TAIL_BYTES: u64 = 64 << 10;

/// What has become of a session.
#[derive(Debug, Clone, PartialEq)]
pub enum Status {
    /// Its observer lives.
    Running,
    /// Nobody has its lease and it has no end: its observer was killed, or is beyond our sight.
    Interrupted,
    /// It has a terminal record, this one.
    Ended(Box<Entry>),
    /// It cannot be told, and why.
    Corrupt(String),
}

/// A session as it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Examined {
    /// What has become of it.
    pub status: Status,
    /// Somebody has the lease: its observer, or whoever finishes it.
    pub held: bool,
    /// Its derived files are there: nothing is left to do for a session that has ended.
    pub settled: bool,
    /// The newest epoch.
    pub last_epoch: Option<u32>,
    /// Who held the lease last, as far as it says.
    pub holder: Option<Holder>,
}

/// Looks at a session.
#[must_use]
pub fn examine(dir: &Dir) -> Examined {
    // The lease first: an observer that ends between the two looks is then seen running or ended,
    // never interrupted.
    let taken = lease::is_taken(dir);
    judge(dir, taken)
}

/// Looks at a session whose lease is ours: there is no observer then.
#[must_use]
pub fn examine_claimed(claimed: &ClaimedSession) -> Examined {
    judge(&claimed.dir, Ok(false))
}

fn judge(dir: &Dir, taken: Result<bool, LeaseError>) -> Examined {
    let journals = epochs::list(dir);
    let last_epoch = journals.as_ref().ok().and_then(|list| list.last().copied());
    let mut examined = Examined {
        status: Status::Interrupted,
        held: *taken.as_ref().unwrap_or(&false),
        settled: dir.has(SUMMARY),
        last_epoch,
        holder: lease::last_holder(dir).ok().flatten(),
    };
    examined.status = match (taken, journals) {
        (Err(error), _) => Status::Corrupt(told(&error)),
        (_, Err(error)) => Status::Corrupt(told(&error)),
        (_, Ok(list)) if list.is_empty() => Status::Corrupt("it has no journal".to_owned()),
        (Ok(held), Ok(list)) => match last_word(dir, &list) {
            Err(why) => Status::Corrupt(why),
            Ok(Some(Tail::End(entry))) => Status::Ended(entry),
            Ok(_) if held => Status::Running,
            Ok(Some(Tail::Open)) => Status::Interrupted,
            Ok(None) => Status::Corrupt("its journals hold no whole record".to_owned()),
        },
    };
    examined
}

enum Tail {
    End(Box<Entry>),
    Open,
}

/// The end of the newest journal that holds a whole line.
fn last_word(dir: &Dir, epochs: &[u32]) -> Result<Option<Tail>, String> {
    for &epoch in epochs.iter().rev() {
        let name = journal_name(epoch);
        let file = dir
            .open_plain(&name, OFlags::RDONLY)
            .map_err(|e| told(&e))?;
        let tail = read_tail(file).map_err(|e| format!("cannot read {name}: {e}"))?;
        if tail.is_some() {
            return Ok(tail);
        }
    }
    Ok(None)
}

/// Looks at growing pieces of the end until one holds a whole line.
fn read_tail(mut file: File) -> io::Result<Option<Tail>> {
    let length = file.metadata()?.len();
    let mut window = TAIL_BYTES;
    loop {
        let from = length.saturating_sub(window);
        file.seek(SeekFrom::Start(from))?;
        let mut text = Vec::new();
        // A living observer writes on meanwhile: no further than we meant.
        (&file).take(window).read_to_end(&mut text)?;
        if let Some(tail) = read_lines(&text, from == 0) {
            return Ok(Some(tail));
        }
        if from == 0 || window > 4 * LINE_MAX as u64 {
            return Ok(None);
        }
        window *= 16;
    }
}

/// What the lines say that are whole in `text`, which begins a line if it is `whole`. Only the last
/// terminal one is decoded.
fn read_lines(text: &[u8], whole: bool) -> Option<Tail> {
    let mut lines = text.split_inclusive(|&byte| byte == b'\n');
    if !whole {
        lines.next();
    }
    let good = lines
        .filter_map(|line| line.strip_suffix(b"\n"))
        .filter_map(|line| Line::parse(line).ok());
    let mut found = None;
    for line in good {
        if matches!(found, Some(Tail::End(_))) {
            // What follows an end does not undo it.
            break;
        }
        let ended = matches!(line.kind, "end" | "crash");
        let body = ended.then(|| line.body()).flatten();
        found = Some(
            match body.filter(crate::session::journal::Body::is_terminal) {
                Some(body) => Tail::End(Box::new(Entry {
                    seq: line.seq,
                    t: line.t,
                    body,
                })),
                None => Tail::Open,
            },
        );
    }
    found
}

/// An error with its causes, in one line.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
