//! What looks like a secret in a command line, replaced by [`MARK`] before it is recorded.
//!
//! Command lines carry passwords and tokens although they should not, and a record is read by more
//! people than the process list. Three things give a secret away: the *name* it is given under
//! (`--password x`, `TOKEN=x`, `X-Api-Key: x`; [`names`], [`pairs`]), the *program* whose option it is
//! (`mysql -px`; [`programs`]), and its own *shape* (`ghp_…`, a JWT, `https://user:x@host`;
//! [`shapes`]). Bytes in, bytes out: nothing needs to be UTF-8, the number of arguments never changes,
//! and what is replaced is counted. Redacting twice is redacting once.
//!
//! It guesses, and says so: it is no proof that a record holds no secret. It looks at command lines
//! only, never at names of files, labels or what a program prints. Pure.

mod names;
mod pairs;
mod programs;
mod shapes;
mod words;

#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::{
    event::EventKind,
    session::{
        enrollment::Enrollment,
        journal::{
            info::SessionInfo,
            record::{Body, Record, TargetBody},
        },
    },
};

/// What stands where a secret stood.
pub const MARK: &[u8] = b"[redacted]";

/// A part of a word that is to go.
type Span = Range<usize>;

/// Rounds after which what is left stays.
const ROUNDS: u32 = 8;

/// Replaces what looks like a secret in the arguments of a program; how many values that were.
pub fn redact_argv(argv: &mut [Vec<u8>]) -> u32 {
    let mut count: u32 = 0;
    // Without the blanks of a secret, what is around it may read as another one.
    for _ in 0..ROUNDS {
        let found = words::find(argv);
        let mut more: u32 = 0;
        for (word, spans) in argv.iter_mut().zip(found) {
            more = more.saturating_add(replace(word, spans));
        }
        if more == 0 {
            break;
        }
        count = count.saturating_add(more);
    }
    count
}

/// The same for a NUL-separated command line as `/proc/<pid>/cmdline` has it.
pub fn redact_cmdline(cmdline: &mut Vec<u8>) -> u32 {
    let mut words: Vec<Vec<u8>> = cmdline
        .split(|&byte| byte == 0)
        .map(<[u8]>::to_vec)
        .collect();
    let count = redact_argv(&mut words);
    if count > 0 {
        *cmdline = words.join(&0);
    }
    count
}

/// Replaces the spans, which may overlap; how many there were in the end.
fn replace(word: &mut Vec<u8>, mut spans: Vec<Span>) -> u32 {
    spans.retain(|span| !span.is_empty() && word[span.clone()] != *MARK);
    if spans.is_empty() {
        return 0;
    }
    spans.sort_unstable_by_key(|span| (span.start, span.end));
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.start < last.end => last.end = last.end.max(span.end),
            _ => merged.push(span),
        }
    }
    let mut out = Vec::with_capacity(word.len());
    let mut from = 0;
    for span in &merged {
        out.extend_from_slice(&word[from..span.start]);
        out.extend_from_slice(MARK);
        from = span.end;
    }
    out.extend_from_slice(&word[from..]);
    *word = out;
    u32::try_from(merged.len()).unwrap_or(u32::MAX)
}

/// Whether a session's command lines are redacted, and the means to.
///
/// Everything that is recorded, printed or written beside the record passes through here first, so
/// that all of it says the same. What decides (the search for the workload) sees the true arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redactor {
    on: bool,
}

impl Redactor {
    /// `on` unless the user asked for everything.
    #[must_use]
    pub fn new(on: bool) -> Self {
        Self { on }
    }

    /// As the session began: whoever continues it keeps to that.
    #[must_use]
    pub fn of(info: &SessionInfo) -> Self {
        Self::new(info.redact)
    }

    /// Arguments.
    pub fn argv(self, argv: &mut [Vec<u8>]) -> u32 {
        if self.on { redact_argv(argv) } else { 0 }
    }

    /// A NUL-separated command line.
    pub fn cmdline(self, cmdline: &mut Vec<u8>) -> u32 {
        if self.on { redact_cmdline(cmdline) } else { 0 }
    }

    /// The command lines in an event.
    pub fn event(self, event: &mut EventKind) {
        match event {
            EventKind::Exec(exec) => {
                let count = self.argv(&mut exec.argv);
                exec.redacted = exec.redacted.saturating_add(count);
            }
            EventKind::Signal(signal) => {
                let count = self.cmdline(&mut signal.sender_cmdline);
                signal.sender_redacted = signal.sender_redacted.saturating_add(count);
            }
            EventKind::Fork(_) | EventKind::Exit(_) | EventKind::Oom(_) | EventKind::Account(_) => {
            }
        }
    }

    /// The command lines in a `session` record, which also remembers that it was done.
    pub fn session(self, info: &mut SessionInfo) {
        info.redact = self.on;
        // The same words once more, as the root has them.
        let _same = self.cmdline(&mut info.root.cmdline);
        let count = self.argv(&mut info.command);
        info.redacted = info.redacted.saturating_add(count);
    }

    /// The command lines in any record.
    pub fn record(self, record: &mut Record) {
        match &mut record.body {
            Body::Session(info) => self.session(info),
            Body::Event(event) => self.event(event),
            Body::Target(target) => {
                if let TargetBody::Pinned(pinned) = target.as_mut() {
                    let count = self.cmdline(&mut pinned.cmdline);
                    pinned.redacted = pinned.redacted.saturating_add(count);
                }
            }
            _ => {}
        }
    }

    /// The command line in an enrollment.
    pub fn enrollment(self, enrollment: &mut Enrollment) {
        let count = self.cmdline(&mut enrollment.cmdline);
        enrollment.redacted = enrollment.redacted.saturating_add(count);
    }
}
