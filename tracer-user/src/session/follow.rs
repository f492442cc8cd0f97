//! Reads a session's record while it is written, over all its epochs.
//!
//! A line counts when its newline is there: half a line is simply not there yet. The observer writes a
//! record within [`LINGER`](super::recorder::LINGER) of its acceptance and does not wait to be asked;
//! who follows learns of it from inotify, and looks by himself every [`LOOK_EVERY`] where that is not
//! to be had. Nothing is written, and no lock is taken.

use std::{
    fs::File,
    os::fd::{AsRawFd, OwnedFd},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, inotify},
};

use crate::session::{
    dir::Dir,
    epochs::{self, EpochsError},
    journal::reader::{Entry, JournalReader},
    lease,
    store::journal_name,
};

/// Longest time until new records are seen.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What comes next in a session.
#[derive(Debug)]
pub enum Next {
    /// The next record.
    Record(Box<Entry>),
    /// There is none yet.
    Later,
    /// There will be none: nobody observes any more, and the session has no end.
    Interrupted,
}

/// A reader of a session that goes on.
#[derive(Debug)]
pub struct Follow<'a> {
    dir: &'a Dir,
    epoch: u32,
    journal: JournalReader<File>,
    watch: Option<OwnedFd>,
}

impl<'a> Follow<'a> {
    /// Begins with the first record.
    ///
    /// # Errors
    /// [`EpochsError`] when there is no journal that can be read.
    pub fn start(dir: &'a Dir) -> Result<Self, EpochsError> {
        let first = epochs::list(dir)?.first().copied();
        let epoch = first.ok_or_else(|| EpochsError::None {
            path: dir.path().to_path_buf(),
        })?;
        // The watch first: what is written between the two is then read, not waited for.
        let watch = watch(dir);
        let file = dir.open_plain(&journal_name(epoch), OFlags::RDONLY)?;
        Ok(Self {
            dir,
            epoch,
            journal: JournalReader::new(file),
            watch,
        })
    }

    /// The next record, if it is there.
    ///
    /// # Errors
    /// [`EpochsError`].
    pub fn advance(&mut self) -> Result<Next, EpochsError> {
        loop {
            if let Some(entry) = self.read()? {
                return Ok(Next::Record(Box::new(entry)));
            }
            // Asked before the last look at the file: an observer that has just ended has written all.
            let observed = lease::is_taken(self.dir).unwrap_or(false);
            let later = epochs::list(self.dir)?
                .into_iter()
                .find(|&epoch| epoch > self.epoch);
            if let Some(entry) = self.read()? {
                return Ok(Next::Record(Box::new(entry)));
            }
            match later {
                // Nobody writes a journal any more when there is a later one.
                Some(later) => self.turn_to(later)?,
                None if observed => return Ok(Next::Later),
                None => return Ok(Next::Interrupted),
            }
        }
    }

    fn turn_to(&mut self, epoch: u32) -> Result<(), EpochsError> {
        let file = self.dir.open_plain(&journal_name(epoch), OFlags::RDONLY)?;
        let next_seq = self.journal.next_seq().unwrap_or(0);
        self.journal = JournalReader::new(file).starting_at(next_seq);
        self.epoch = epoch;
        Ok(())
    }

    fn read(&mut self) -> Result<Option<Entry>, EpochsError> {
        self.journal
            .next_entry()
            .map_err(|source| EpochsError::Read {
                path: self.dir.path().join(journal_name(self.epoch)),
                source,
            })
    }

    /// Waits until there may be more, [`LOOK_EVERY`] at most.
    pub fn wait(&self) {
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(LOOK_EVERY.subsec_nanos()),
        };
        let mut watched: Vec<PollFd<'_>> = self
            .watch
            .iter()
            .map(|fd| PollFd::new(fd, PollFlags::IN))
            .collect();
        // Without a watch this is a plain wait; a signal only makes it shorter.
        let _ready = poll(&mut watched, Some(&timeout));
        if let Some(watch) = &self.watch {
            // What happened does not matter, only that it is not told again.
            let mut told = [0; 4096];
            while rustix::io::read(watch, &mut told).is_ok_and(|read| read > 0) {}
        }
    }
}

/// A descriptor that is readable when something in the directory changes.
fn watch(dir: &Dir) -> Option<OwnedFd> {
    use inotify::{CreateFlags, WatchFlags};
    let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
    // The directory we hold, whatever its path leads to by now.
    let path = format!(
        "/proc/self/fd/{}",
        std::os::fd::AsFd::as_fd(dir).as_raw_fd()
    );
    inotify::add_watch(&fd, path, WatchFlags::MODIFY | WatchFlags::CREATE).ok()?;
    Some(fd)
}
