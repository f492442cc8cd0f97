//! The recorder's thread: the only one that ever touches the journal.
//!
//! It takes the whole queue at once, encodes into a batch, writes the batch with one `write(2)`, and
//! applies the fold to what has reached the file. When the disk refuses, the batch stays as it is and
//! is tried again, at growing intervals of at most [`RETRY_MAX`], without anyone asking.

use std::{
    collections::VecDeque,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Durability, LINGER, Options, Tee,
    notice::Notice,
    shared::Shared,
    start::Place,
    state::{Finish, Idle, Item, weight},
    sync::contain,
};
use crate::{
    event::Spare,
    session::{
        derive::Fold,
        enrollment::Enrollment,
        journal::{
            info::SessionInfo,
            record::Body,
            writer::{JournalWriter, Progress},
        },
        lease::Lease,
        store::{Dir, Store},
    },
};

/// First wait after a failed write.
const RETRY_MIN: Duration = Duration::from_millis(20);
/// Longest wait between tries.
pub(super) const RETRY_MAX: Duration = Duration::from_secs(1);
/// Longest sleep without looking around.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// What the thread needs to begin.
pub(super) struct Plan {
    pub(super) store: Store,
    pub(super) place: Place,
    pub(super) info: SessionInfo,
    pub(super) options: Options,
}

/// A wait that grows.
pub(super) struct Backoff {
    wait: Duration,
    until: Instant,
}

impl Backoff {
    fn after(previous: Option<&Self>) -> Self {
        let wait = previous.map_or(RETRY_MIN, |backoff| (backoff.wait * 2).min(RETRY_MAX));
        Self {
            wait,
            until: Instant::now() + wait,
        }
    }
}

/// The thread's own things.
pub(super) struct Owner<F: Fold> {
    pub(super) shared: Arc<Shared<F::Output>>,
    pub(super) store: Store,
    pub(super) dir: Dir,
    /// Held until the derived files are there.
    pub(super) lease: Lease,
    pub(super) writer: JournalWriter,
    /// `None` after it panicked.
    pub(super) fold: Option<F>,
    pub(super) hand: VecDeque<Item>,
    pub(super) tee: Option<Tee>,
    pub(super) durability: Durability,
    pub(super) enrollment: Option<Box<Enrollment>>,
    pub(super) enroll_again: Option<Backoff>,
    pub(super) retry: Option<Backoff>,
    pub(super) synced: Instant,
    /// Records in the file and not yet durable.
    pub(super) dirty: bool,
    pub(super) removed: bool,
}

impl<F: Fold> Owner<F> {
    /// Makes the new names durable. The `session` record is already; a directory that a power
    /// failure forgets is a session that never ran.
    pub(super) fn settle_directories(&mut self) {
        let result = self
            .shared
            .on_disk(|| self.dir.sync().and_then(|()| self.store.sync_sessions()));
        if let Err(error) = result {
            self.shared.lock().tell(Notice::SyncFailed {
                error: error.to_string(),
            });
        }
    }

    /// Records until someone asks to finish and everything accepted is in the file, or time is up.
    pub(super) fn record(&mut self) -> Finish {
        loop {
            let finish = self.take();
            let time_is_up = finish
                .as_ref()
                .is_some_and(|finish| Instant::now() >= finish.drain_until);
            self.work_off();
            self.sync_if_due();
            self.shared.tell_waiters();
            if let Some(finish) = finish {
                let queue_empty = self.shared.lock().queue.is_empty();
                let clear = self.hand.is_empty() && self.writer.is_clear() && queue_empty;
                if time_is_up || clear {
                    return finish;
                }
            }
        }
    }

    /// Waits until there is something to do and takes the queue.
    fn take(&mut self) -> Option<Finish> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let mut lingered = false;
        loop {
            let now = Instant::now();
            if let Some(finish) = &state.finish
                && now >= finish.drain_until
            {
                break;
            }
            if let Some(retry) = &self.retry {
                // The disk fails: nothing but time, or an end with less of it, changes that.
                if now >= retry.until {
                    break;
                }
                let until = state
                    .finish
                    .as_ref()
                    .map_or(retry.until, |finish| retry.until.min(finish.drain_until));
                state = shared.sleep(state, Idle::Busy, until.saturating_duration_since(now));
                continue;
            }
            if state.queue.is_empty() && state.gap.is_some() {
                state.push_gap();
            }
            let enroll = self.enroll_again.as_ref().map(|again| again.until);
            let sync = if state.sync_failed {
                None
            } else {
                self.sync_at()
            };
            let due = enroll.into_iter().chain(sync).min();
            if !state.queue.is_empty()
                || !self.hand.is_empty()
                || (state.sync_wanted > state.durable && !state.sync_failed)
                || state.finish.is_some()
                || due.is_some_and(|due| now >= due)
            {
                break;
            }
            let longest = due.map_or(SLEEP_MAX, |due| due.saturating_duration_since(now));
            state = if lingered {
                shared.sleep(state, Idle::Deep, longest.min(SLEEP_MAX))
            } else {
                shared.sleep(state, Idle::Linger, longest.min(LINGER))
            };
            lingered = true;
        }
        if self.hand.is_empty() {
            std::mem::swap(&mut self.hand, &mut state.queue);
        }
        state.finish.clone()
    }

    /// Writes what is in hand, as far as the disk lets us.
    fn work_off(&mut self) {
        if self
            .enroll_again
            .as_ref()
            .is_some_and(|again| Instant::now() >= again.until)
        {
            self.enroll();
        }
        loop {
            while !self.writer.is_full() {
                match self.hand.pop_front() {
                    Some(Item::Record(record)) => self.writer.push(record),
                    Some(Item::Enroll(enrollment)) => {
                        // What was accepted before it goes first.
                        if !self.write_batch() {
                            self.hand.push_front(Item::Enroll(enrollment));
                            return;
                        }
                        self.enrollment = Some(enrollment);
                        self.enroll();
                    }
                    None => break,
                }
            }
            if self.writer.is_clear() {
                return;
            }
            if !self.write_batch() {
                return;
            }
        }
    }

    /// Writes the batch until all of it is in the file; false when the disk refuses.
    pub(super) fn write_batch(&mut self) -> bool {
        while !self.writer.is_clear() {
            let result = self.write_once();
            if !self.went(result) {
                return false;
            }
        }
        if !self.removed && !self.shared.on_disk(|| self.writer.has_name()) {
            self.removed = true;
            let path = self.shared.path().clone();
            self.shared.lock().tell(Notice::Removed { path });
        }
        true
    }

    /// Notes how a write went; false when the disk refuses.
    pub(super) fn went(&mut self, result: io::Result<()>) -> bool {
        if let Err(error) = result {
            self.retry = Some(Backoff::after(self.retry.as_ref()));
            self.shared.failing(error.to_string());
            return false;
        }
        if self.retry.take().is_some() {
            let mut state = self.shared.lock();
            state.failing = None;
            let dropped = state.gap.as_ref().map_or(0, |gap| gap.dropped);
            state.tell(Notice::WriteResumed { dropped });
        }
        true
    }

    pub(super) fn write_once(&mut self) -> io::Result<()> {
        self.write_if(&mut || true).map(drop)
    }

    /// Writes once, unless `still` says no at the last moment; false then.
    pub(super) fn write_if(&mut self, still: &mut dyn FnMut() -> bool) -> io::Result<bool> {
        let (shared, fold, tee) = (&self.shared, &mut self.fold, &self.tee);
        let mut reached = None;
        let mut spare = Spare::default();
        let result = shared.on_disk(|| {
            self.writer.write_if(still, |progress: Progress<'_>| {
                let Progress {
                    lines,
                    first_seq,
                    count,
                    records,
                } = progress;
                let mut bytes = 0;
                let taken = contain(|| {
                    for (seq, record) in (first_seq..).zip(&mut *records) {
                        bytes += weight(&record.body);
                        if let Some(fold) = fold.as_mut() {
                            fold.apply(seq, record.t, &record.body);
                        }
                        if let Body::Event(kind) = record.body {
                            spare.keep(kind);
                        }
                    }
                });
                // A mistake in what is derived must not cost the record itself.
                if let Err(panicked) = taken {
                    *fold = None;
                    shared.lock().tell(Notice::FoldFailed {
                        said: panicked.said,
                    });
                    bytes += records.map(|record| weight(&record.body)).sum::<usize>();
                }
                if let Some(tee) = tee {
                    tee.push(lines, count);
                }
                reached = Some((count, bytes));
            })
        });
        if let Some((count, bytes)) = reached {
            self.dirty = true;
            shared.wrote(count, bytes, &mut spare);
        }
        result
    }

    fn enroll(&mut self) {
        let Some(enrollment) = &self.enrollment else {
            return;
        };
        match self.shared.on_disk(|| enrollment.write(&self.dir)) {
            Ok(()) => {
                self.enrollment = None;
                self.enroll_again = None;
            }
            Err(error) => {
                let again = error.kind() != io::ErrorKind::AlreadyExists;
                self.shared.lock().tell(Notice::EnrollmentFailed {
                    error: error.to_string(),
                });
                if again {
                    self.enroll_again = Some(Backoff::after(self.enroll_again.as_ref()));
                } else {
                    self.enrollment = None;
                    self.enroll_again = None;
                }
            }
        }
    }

    fn sync_at(&self) -> Option<Instant> {
        match self.durability {
            Durability::Interval(interval) if self.dirty => Some(self.synced + interval),
            _ => None,
        }
    }

    fn sync_if_due(&mut self) {
        let wanted = {
            let state = self.shared.lock();
            state.sync_wanted > state.durable && state.written >= state.sync_wanted
        };
        let due = self.sync_at().is_some_and(|at| Instant::now() >= at);
        let always = self.durability == Durability::Always && self.dirty;
        if wanted || due || always {
            self.sync();
        }
    }

    /// Makes what is in the file durable; false when that cannot be known: after a failed sync the
    /// kernel forgets which pages were not written, and a later success says nothing about them.
    pub(super) fn sync(&mut self) -> bool {
        if self.shared.lock().sync_failed {
            return false;
        }
        let result = self.shared.on_disk(|| self.writer.sync());
        self.synced = Instant::now();
        let mut state = self.shared.lock();
        match result {
            Ok(()) => {
                state.durable = state.written;
                self.dirty = false;
                true
            }
            Err(error) => {
                state.tell(Notice::SyncFailed {
                    error: error.to_string(),
                });
                state.sync_failed = true;
                false
            }
        }
    }
}
