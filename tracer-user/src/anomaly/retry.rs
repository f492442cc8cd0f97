//! One command that fails again and again: `retry_loop`.
//!
//! A command is the words a process executed last; who only forks is part of its parent's. It fails when
//! it exits other than 0 or dies of a signal, but for `SIGPIPE`, which is how the front of a pipeline
//! ends. Commands are known by a hash of their words, so memory is that of the living and of those that
//! failed lately.

use crate::collections::HashMap;

use super::{
    change::{Detail, Subject},
    episode::{Episode, Held},
    memory::count,
    thresholds::{Key, Thresholds},
};
use crate::{
    event::{Exec, Exit},
    units::{BootNs, ProcKey},
};

/// Commands whose failures are remembered.
const COMMANDS_MAX: usize = 1024;
/// Characters of a command that are shown.
const TEXT_MAX: usize = 120;
/// Bytes of it that are kept: a character has four at most, and one more tells that it goes on.
const WORDS_MAX: usize = 4 * TEXT_MAX + 4;
/// `SIGPIPE`, on every architecture of Linux (signal(7)).
const SIGPIPE: u32 = 13;

/// What the living execute, and what failed lately.
#[derive(Debug, Clone, Default)]
pub(super) struct Retries {
    running: HashMap<ProcKey, Running>,
    failing: HashMap<u64, Failing>,
}

#[derive(Debug, Clone)]
struct Running {
    hash: u64,
    words: Vec<u8>,
}

/// Small: all are looked at when there are too many.
#[derive(Debug, Clone)]
struct Failing {
    first: BootNs,
    last: BootNs,
    failures: u64,
    /// Its anomaly, and whom that is about.
    open: Option<Box<(Episode, Subject)>>,
}

/// What an end means for the command.
#[derive(Debug, PartialEq)]
pub(super) enum Turn {
    /// It has failed often enough.
    Opens(u64, Held, Subject),
    /// It did well.
    Closes(Episode, Subject),
}

impl Retries {
    pub(super) fn exec(&mut self, exec: &Exec) {
        let (hash, words) = (hash(exec), words(exec));
        self.running
            .insert(exec.process.key, Running { hash, words });
    }

    /// A process ends; `parent` is who tries again.
    pub(super) fn exit(
        &mut self,
        t: BootNs,
        exit: &Exit,
        parent: impl FnOnce() -> Subject,
        thresholds: &Thresholds,
    ) -> Option<Turn> {
        let command = self.running.remove(&exit.process.key)?;
        let (code, signal) = (exit.status >> 8 & 0xff, exit.status & 0x7f);
        if signal == SIGPIPE {
            return None;
        }
        if code == 0 && signal == 0 {
            let failing = self.failing.remove(&command.hash)?;
            let (episode, subject) = *failing.open?;
            return Some(Turn::Closes(episode, subject));
        }
        self.make_room(t);
        let window = thresholds.ns(Key::RetryLoopWindowS);
        let fresh = || Failing {
            first: t,
            last: t,
            failures: 0,
            open: None,
        };
        let failing = self.failing.entry(command.hash).or_insert_with(fresh);
        if failing.open.is_none() && t.since(failing.last) > window {
            *failing = fresh();
        }
        failing.last = t;
        failing.failures += 1;
        let value = count(failing.failures);
        if let Some(open) = &mut failing.open {
            open.0.goes_on(t, value);
            return None;
        }
        if failing.failures < thresholds.whole(Key::RetryLoopFailures) {
            return None;
        }
        let number = |n: u32| i32::try_from(n).ok();
        let detail = Detail::RetryLoop {
            command: text(&command.words).into(),
            command_id: format!("{:016x}", command.hash),
            failures: failing.failures,
            exit_code: number(code).filter(|_| signal == 0),
            signal: number(signal).filter(|&signal| signal != 0),
        };
        let held = Held {
            since: failing.first,
            count: failing.failures,
            value,
            detail,
        };
        Some(Turn::Opens(command.hash, held, parent()))
    }

    /// Goes on with one that another observer left open.
    pub(super) fn restore(&mut self, hash: u64, episode: Episode, subject: Subject) {
        let span = episode.span;
        let failing = Failing {
            first: span.first,
            last: span.last,
            failures: span.count,
            open: Some(Box::new((episode, subject))),
        };
        self.failing.insert(hash, failing);
    }

    /// The anomaly of a command is open from now on.
    pub(super) fn opened(&mut self, hash: u64, episode: Episode, subject: Subject) {
        if let Some(failing) = self.failing.get_mut(&hash) {
            failing.open = Some(Box::new((episode, subject)));
        }
    }

    /// Those that have not failed for a whole window: it was given up.
    pub(super) fn quiet(&mut self, t: BootNs, thresholds: &Thresholds) -> Vec<(Episode, Subject)> {
        let window = thresholds.ns(Key::RetryLoopWindowS);
        self.close_if(|failing| t.since(failing.last) > window)
    }

    /// All that are open.
    pub(super) fn close_all(&mut self) -> Vec<(Episode, Subject)> {
        self.close_if(|_| true)
    }

    fn close_if(&mut self, over: impl Fn(&Failing) -> bool) -> Vec<(Episode, Subject)> {
        let mut closed = Vec::new();
        self.failing.retain(|_, failing| {
            let over = over(failing);
            if over && let Some(open) = failing.open.take() {
                closed.push(*open);
            }
            !over
        });
        closed.sort_unstable_by_key(|(episode, _)| episode.no);
        closed
    }

    /// Forgets the older half of those that are not open, before there are too many.
    fn make_room(&mut self, t: BootNs) {
        if self.failing.len() < COMMANDS_MAX {
            return;
        }
        let mut ages: Vec<u64> = self
            .failing
            .values()
            .map(|failing| t.since(failing.last))
            .collect();
        let middle = ages.len() / 2;
        let (_, &mut median, _) = ages.select_nth_unstable(middle);
        self.failing
            .retain(|_, failing| failing.open.is_some() || t.since(failing.last) < median);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.running.len() + self.failing.len()
    }
}

/// FNV-1a, 64 bits: the same in every observer of a session.
fn hash(exec: &Exec) -> u64 {
    let argv = exec.argv.iter().flat_map(|word| word.iter().chain(&[0]));
    let bytes = argv.chain(&exec.filename);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The beginning of the command, its words apart by blanks: enough of it for [`text`].
fn words(exec: &Exec) -> Vec<u8> {
    let argv = exec.argv.iter().map(Vec::as_slice);
    let filename = exec.argv.is_empty().then_some(exec.filename.as_slice());
    let mut bytes =
        Vec::with_capacity(WORDS_MAX.min(usize::try_from(exec.argv_bytes).unwrap_or(0)));
    for word in argv.chain(filename) {
        if !bytes.is_empty() {
            bytes.push(b' ');
        }
        let room = WORDS_MAX.saturating_sub(bytes.len());
        bytes.extend_from_slice(&word[..word.len().min(room)]);
        if word.len() >= room {
            break;
        }
    }
    bytes
}

/// The command for people.
fn text(words: &[u8]) -> Box<str> {
    let mut text = String::from_utf8_lossy(words).into_owned();
    if let Some((cut, _)) = text.char_indices().nth(TEXT_MAX) {
        text.truncate(cut);
        text.push('…');
    }
    text.into_boxed_str()
}
