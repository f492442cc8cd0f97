//! The watcher's state on disk, and the lock that keeps a second watcher from telling everything twice.

use std::{fs::File, io::Read, os::fd::OwnedFd};

use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock},
    io::Errno,
};

use crate::{
    observe::{ObserveError, error::chain},
    session::{
        publish::{Existing, publish},
        store::Dir,
    },
    watch::{
        notify::Say,
        orphan::{self, Orphans},
        state::State,
    },
};

/// The state, in the state directory.
const STATE: &str = "watch.json";
/// What is known of orphans.
const ORPHANS: &str = "watch-orphans.json";
/// The lock beside it.
const LOCK: &str = "watch.lock";
/// More than a state has: thousands of open alerts.
const STATE_MAX: u64 = 64 << 20;

/// The state's place, ours alone while this lives.
pub(super) struct Keeping<'a> {
    dir: &'a Dir,
    _lock: OwnedFd,
}

impl<'a> Keeping<'a> {
    /// Takes the lock.
    pub(super) fn begin(dir: &'a Dir) -> Result<Self, ObserveError> {
        let failed = |errno: Errno| ObserveError::System {
            step: "take the watcher's lock in the state directory",
            source: errno.into(),
        };
        let flags = OFlags::RDWR | OFlags::CREATE;
        let lock = dir
            .open(LOCK, flags, Mode::RUSR | Mode::WUSR)
            .map_err(failed)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { dir, _lock: lock }),
            Err(Errno::WOULDBLOCK) => Err(ObserveError::Failed(format!(
                "another tracer watch is at work in {}: end that one, or give --state-dir",
                dir.path().display()
            ))),
            Err(errno) => Err(failed(errno)),
        }
    }

    /// What the last watcher knew. A file that cannot be used is said, and then nothing was known.
    pub(super) fn read(&self, say: &Say) -> State {
        if !self.dir.has(STATE) {
            return State::default();
        }
        let state = self.text(STATE);
        let state = state.and_then(|text| State::parse(&text).map_err(|error| chain(&error)));
        state.unwrap_or_else(|why| {
            say(&format!(
                "{STATE} is not used: {why}; what was told before may be told again"
            ));
            State::default()
        })
    }

    /// The orphans that the last watcher knew of, if it was on this boot.
    pub(super) fn read_orphans(&self, boot_id: &str, say: &Say) -> Orphans {
        if !self.dir.has(ORPHANS) {
            return Orphans::new();
        }
        let orphans = self.text(ORPHANS);
        let parse = |text: Vec<u8>| orphan::parse(&text, boot_id).map_err(|error| chain(&error));
        orphans.and_then(parse).unwrap_or_else(|why| {
            say(&format!(
                "{ORPHANS} is not used: {why}; orphans that were known are told of as gone"
            ));
            Orphans::new()
        })
    }

    /// Keeps the orphans that are known now, durably.
    pub(super) fn write_orphans(&self, orphans: &Orphans, boot_id: &str, say: &Say) {
        let text = orphan::to_text(orphans, boot_id).map_err(|error| chain(&error));
        if let Err(why) = text.and_then(|text| self.publish(ORPHANS, &text)) {
            say(&format!(
                "{ORPHANS} cannot be written: {why}; after an end of this watcher its orphans are not \
                 known any more"
            ));
        }
    }

    fn text(&self, name: &str) -> Result<Vec<u8>, String> {
        let file = self.dir.open_plain(name, OFlags::RDONLY);
        let file: File = file.map_err(|error| chain(&error))?;
        let mut text = Vec::new();
        let read = file.take(STATE_MAX).read_to_end(&mut text);
        read.map_err(|error| error.to_string())?;
        Ok(text)
    }

    fn publish(&self, name: &str, text: &[u8]) -> Result<(), String> {
        let fill = |out: &mut dyn std::io::Write| out.write_all(text);
        publish(self.dir, name, Existing::Replace, fill).map_err(|error| error.to_string())?;
        self.dir.sync().map_err(|errno| errno.to_string())
    }

    /// Keeps what is known now, durably; else why not.
    pub(super) fn write(&self, state: &State) -> Result<(), String> {
        let text = state.to_text().map_err(|error| chain(&error))?;
        self.publish(STATE, &text)
    }
}
