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

mod finish;
mod notice;
mod owner;
mod shared;
mod start;
mod state;
mod tee;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use thiserror::Error;

pub use self::{
    finish::{EndInfo, EndOutcome, FileFailure, FinishReport},
    notice::Notice,
    state::{Accepted, FlushReport},
    tee::Tee,
};
use self::{
    owner::{Owner, Plan},
    shared::Shared,
    state::Item,
};
use crate::session::{
    derive::Fold,
    enrollment::Enrollment,
    journal::{info::SessionInfo, record::Record, writer::JournalFile},
    store::{Store, StoreError},
};

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

/// When written records are made durable. A killed observer loses none of them either way; this is
/// about power failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// At the start, in [`Recorder::flush`] and at the end.
    None,
    /// Also whenever something was written and this much time has passed.
    Interval(Duration),
    /// After every write.
    Always,
}

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
    /// `seq` of the first record: 0 unless earlier epochs have used some.
    pub first_seq: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Interval(Duration::from_secs(5)),
            tee: None,
            on_room: None,
            file_layer: None,
            start_deadline: START_DEADLINE,
            first_seq: 0,
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
    /// No thread.
    #[error("cannot start the recorder's thread")]
    Thread(#[source] io::Error),
}

/// The intake of a session's journal. Shared by reference between producers.
pub struct Recorder<F: Fold> {
    shared: Arc<Shared<F::Output>>,
    path: PathBuf,
    thread: Option<JoinHandle<()>>,
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
        let path = store.session_path(&info.session_id);
        let shared = Arc::new(Shared::new(path.clone(), options.on_room.clone()));
        let deadline = Instant::now() + options.start_deadline;
        let plan = Plan {
            store: store.duplicate()?,
            info,
            options,
        };
        // A thread of its own also for the first write: a disk that hangs must not hang the caller.
        let thread = std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || Owner::run(&shared, plan, fold)
            })
            .map_err(SessionError::Thread)?;
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
