//! The recorder: one thread owns the journal, everyone else hands it records.
//!
//! **Order.** Records get their `seq` when they are written, in the order they were accepted. The
//! fold sees a record after it is in the file.
//!
//! **When full.** At most [`QUEUE_RECORDS`] records (or [`QUEUE_BYTES`]) wait. Then [`Recorder::has_room`]
//! is false, and the producer leaves events in the kernel's ring, which counts what it cannot hold.
//! While the disk fails or a call on it has not returned for [`STUCK_AFTER`], waiting helps nobody:
//! `has_room` is true, events beyond the bound are dropped, and a `gap` record will say how many.
//! Records that steer a reader (target, end, loss, notes, anomalies) are taken beyond the bound.
//!
//! **Latency.** A record is in the file within [`LINGER`] of its acceptance, unless the disk says
//! otherwise, and with no later event needed.
//!
//! Nothing here prints: what a user should hear is a [`Notice`].

mod crashed;
mod finish;
mod life;
mod notice;
mod owner;
mod shared;
mod start;
mod state;
mod sync;
mod tee;

#[cfg(test)]
mod model_tests;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use thiserror::Error;

pub use self::{
    finish::{EndInfo, EndOutcome, FinishReport},
    notice::Notice,
    state::{Accepted, FlushReport},
    tee::Tee,
};
use self::{
    owner::{Owner, Plan},
    shared::Shared,
    start::{From, Place},
    state::Item,
};
use crate::event::Spare;
use crate::procfs::timens::BootOffset;
use crate::session::{
    SessionId,
    crash::panics::{self, Watching},
    derive::Fold,
    enrollment::Enrollment,
    epochs::Standing,
    journal::{
        info::SessionInfo,
        record::{Crash, Record},
        writer::JournalFile,
    },
    lease::LeaseError,
    store::{ClaimedSession, Store, StoreError},
};
pub use crate::{config::Durability, session::settle::FileFailure};

/// Records that may wait to be written.
pub const QUEUE_RECORDS: usize = 16_384;
/// Bytes, as estimated by what the records hold, that may wait to be written.
pub const QUEUE_BYTES: usize = 8 << 20;
/// A call on the disk that takes longer means it is stuck.
pub const STUCK_AFTER: Duration = Duration::from_secs(1);
/// How long the thread gathers records, after it has written some, before it sleeps until woken: a
/// wake-up costs the producer more than an append.
pub const LINGER: Duration = Duration::from_millis(2);
/// How long [`Recorder::create`] waits for the disk unless told otherwise.
pub const START_DEADLINE: Duration = Duration::from_secs(10);

/// Puts something between the writer and the journal's file.
pub type FileLayer = Box<dyn FnOnce(Box<dyn JournalFile>) -> Box<dyn JournalFile> + Send>;

/// How a recorder works.
pub struct Options {
    /// When written records are made durable.
    pub durability: Durability,
    /// Gets every line as it was written.
    pub tee: Option<Tee>,
    /// Called, from the recorder's thread, when there is room again after [`Recorder::has_room`]
    /// said no. It must not block.
    pub on_room: Option<Arc<dyn Fn() + Send + Sync>>,
    /// For gates and injected faults.
    pub file_layer: Option<FileLayer>,
    /// How long to wait for the disk at the start.
    pub start_deadline: Duration,
    /// What this observer's time namespace adds to the boot clock.
    pub boot_offset: BootOffset,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            tee: None,
            on_room: None,
            file_layer: None,
            start_deadline: START_DEADLINE,
            boot_offset: BootOffset::default(),
        }
    }
}

/// Why a session could not begin.
#[derive(Debug, Error)]
pub enum SessionError {
    /// Its directory could not be made.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its journal could not be made or written.
    #[error("cannot {step} {}", path.display())]
    Journal {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The disk did not answer.
    #[error("no answer from the disk of {}; give --state-dir another place", path.display())]
    Stuck {
        /// Where.
        path: PathBuf,
    },
    /// Its lease could not be taken.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// Another observer has, or had, a session of this id.
    #[error("{} is there already: another observer has this session", path.display())]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// The directory holds another session than its name says.
    #[error("{} holds session {found}: it was copied or renamed; nothing is written to it", path.display())]
    OtherSession {
        /// Where.
        path: PathBuf,
        /// What its first record says.
        found: SessionId,
    },
    /// No thread.
    #[error("cannot start the recorder's thread")]
    Thread(#[source] io::Error),
}

/// The intake of a session's journal. Shared by reference between producers.
pub struct Recorder<F: Fold> {
    shared: Arc<Shared<F::Output>>,
    path: PathBuf,
    thread: Option<sync::JoinHandle<()>>,
}

impl<F: Fold> Recorder<F> {
    /// Makes the session's directory and journal and writes the `session` record. When this returns,
    /// that record is durable.
    ///
    /// # Errors
    /// [`SessionError`]; nothing of the session is left then, as far as the disk lets us.
    pub fn create(store: &Store, info: SessionInfo, fold: F) -> Result<Self, SessionError> {
        Self::create_with(store, info, fold, Options::default())
    }

    /// [`Self::create`] with other options.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_with(
        store: &Store,
        info: SessionInfo,
        fold: F,
        options: Options,
    ) -> Result<Self, SessionError> {
        Self::begin(store, Place::New, info, fold, options)
    }

    /// Goes on with a session whose lease is ours, in a journal of its own: the next epoch. Nothing an
    /// earlier observer wrote is touched. `standing` and `fold` are what [`crate::session::epochs::replay`]
    /// made of the earlier epochs; `info` tells of this observer and gets its epoch here.
    ///
    /// When this returns, the new `session` record is durable.
    ///
    /// # Errors
    /// [`SessionError`]; a journal without any record may be left then.
    pub fn reopen(
        store: &Store,
        claimed: ClaimedSession,
        standing: &Standing,
        mut info: SessionInfo,
        fold: F,
        options: Options,
    ) -> Result<Self, SessionError> {
        let found = standing.session.as_ref().map(|first| first.session_id);
        if let Some(found) = found.filter(|found| *found != claimed.id) {
            let path = claimed.dir.path().to_path_buf();
            return Err(SessionError::OtherSession { path, found });
        }
        info.session_id = claimed.id;
        info.epoch = standing.next_epoch;
        let from = From {
            seq: standing.next_seq,
            counts: standing.counts,
        };
        Self::begin(store, Place::Next(claimed, from), info, fold, options)
    }

    fn begin(
        store: &Store,
        place: Place,
        info: SessionInfo,
        fold: F,
        options: Options,
    ) -> Result<Self, SessionError> {
        let path = store.session_path(&info.session_id);
        let shared = Arc::new(Shared::new(path.clone(), &options));
        let deadline = Instant::now() + options.start_deadline;
        let plan = Plan {
            store: store.duplicate()?,
            place,
            info,
            options,
        };
        // A thread of its own also for the first write: a disk that hangs must not hang the caller.
        let work = {
            let shared = Arc::clone(&shared);
            move || Owner::run(&shared, plan, fold)
        };
        let thread = sync::spawn("recorder", work).map_err(SessionError::Thread)?;
        shared.wait_started(deadline)?;
        Ok(Self {
            shared,
            path,
            thread: Some(thread),
        })
    }

    /// The session's directory, for people.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Hands over one record.
    pub fn accept(&self, record: impl Into<Record>) -> Accepted {
        self.shared.accept(std::iter::once(record.into()))
    }

    /// Hands over records in their order and leaves the vector empty: one lock and at most one
    /// wake-up for all of them.
    pub fn accept_all(&self, records: &mut Vec<Record>) -> Accepted {
        self.shared.accept(records.drain(..))
    }

    /// Adds the room of events that are in the file.
    pub fn reuse(&self, spare: &mut Spare) {
        spare.append(&mut self.shared.lock().spare);
    }

    /// Whether to take more events from the kernel's ring. After a no, `on_room` is called when there
    /// is room; ask again after a second at the latest all the same, in case the disk hangs.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.shared.has_room()
    }

    /// Whether the disk refuses what is written, or does not answer.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.shared.is_failing()
    }

    /// Writes the session's enrollment, before any record that is accepted after this call. The
    /// first one counts: false when there was one before, or the session has ended.
    #[must_use]
    pub fn enroll(&self, enrollment: Enrollment) -> bool {
        self.shared.enroll(Item::Enroll(Box::new(enrollment)))
    }

    /// Waits until everything accepted before this call is durable, or until `deadline`.
    #[must_use = "says whether the record is on disk"]
    pub fn flush(&self, deadline: Instant) -> FlushReport {
        self.shared.flush(deadline)
    }

    /// How far accepted, written and durable records have come.
    #[must_use]
    pub fn progress(&self) -> FlushReport {
        self.shared.progress()
    }

    /// What the user should hear and has not yet; each kind comes once a session.
    #[must_use]
    pub fn notices(&self) -> Vec<Notice> {
        self.shared.notices()
    }

    /// Ends the session: closes the intake, writes what was accepted, then the `end` record, then
    /// the derived files. Returns when all that is done, or at `deadline` with what is done by then.
    /// The first call decides; later ones get the same report, and may bring the deadline forward.
    #[must_use = "says whether the end is on disk"]
    pub fn finish(&self, info: EndInfo, deadline: Instant) -> FinishReport<F::Output> {
        self.shared.finish(Some(info), deadline)
    }

    /// Ends the session as crashed: closes the intake, writes what was accepted, then a `crash` record,
    /// then the derived files. An end that is not in the file yet gives way to it; one that is stays,
    /// and the lease says what happened. The first crash is the cause, later ones are notes.
    ///
    /// Returns when all that is done, or at `deadline`.
    #[must_use = "says whether the crash is on disk"]
    pub fn crash(&self, crash: &Crash, deadline: Instant) -> FinishReport<F::Output> {
        self.shared.crash(crash, deadline)
    }

    /// Has a panic of any thread end the session, before it unwinds, for as long as the result lives.
    #[must_use = "dropped, it ends"]
    pub fn watch_panics(&self) -> Watching {
        let witness: Weak<Shared<F::Output>> = Arc::downgrade(&self.shared);
        panics::watch(witness)
    }

    /// Whether a crash ends the session: nothing more is taken in.
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        self.shared.lock().crashes.any()
    }

    /// Crashes told so far, whether they decide or not.
    #[must_use]
    pub fn crashes_told(&self) -> u64 {
        let state = self.shared.lock();
        state.crashes.undecisive() + u64::from(state.crashes.any())
    }

    /// Something that can bring the deadline of [`Self::finish`] forward from another thread.
    #[must_use]
    pub fn hurry(&self) -> Hurry {
        let shared: Arc<dyn Fn(Instant) + Send + Sync> = {
            let shared = Arc::clone(&self.shared);
            Arc::new(move |deadline| shared.hurry(deadline))
        };
        Hurry(shared)
    }
}

/// Brings the deadline of an end that was asked for forward.
#[derive(Clone)]
pub struct Hurry(Arc<dyn Fn(Instant) + Send + Sync>);

impl Hurry {
    /// The end must be done by `deadline`, unless it had less time already.
    pub fn by(&self, deadline: Instant) {
        (self.0)(deadline);
    }
}

impl<F: Fold> Drop for Recorder<F> {
    /// Without [`Self::finish`] what was accepted is written and the journal stays without an end:
    /// the observer was interrupted.
    fn drop(&mut self) {
        let report = self.shared.finish(None, Instant::now() + STUCK_AFTER);
        // A thread that hangs in the disk cannot be joined; it owns nothing anyone waits for.
        if !report.timed_out
            && let Some(thread) = self.thread.take()
        {
            let _panicked = thread.join();
        }
    }
}
