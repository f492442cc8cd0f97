//! The meeting point of producers and the recorder's thread.
//!
//! One mutex, held for moments and never during a call on the disk. What a full queue means is
//! decided here.

use std::{
    path::PathBuf,
    sync::{
        Arc, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    Options, QUEUE_BYTES, QUEUE_RECORDS, STUCK_AFTER, SessionError,
    finish::{EndInfo, EndOutcome, FinishReport},
    notice::Notice,
    state::{Accepted, Finish, FlushReport, Idle, Item, State},
    sync::{Condvar, Mutex, MutexGuard},
};
use crate::{
    event::Spare,
    procfs::timens::BootOffset,
    session::{
        crash::slot::Armed,
        journal::record::{Body, Record},
    },
};

/// Records in the queue at which a lingering thread is woken early.
const EAGER: usize = 1_024;

pub(super) struct Shared<T> {
    state: Mutex<State<T>>,
    /// Wakes the thread.
    work: Condvar,
    /// Wakes who waits for the thread.
    done: Condvar,
    origin: Instant,
    /// When the thread went into a call on the disk, in ms after `origin`, plus 1; 0 when it is in
    /// none.
    disk_since: AtomicU64,
    path: PathBuf,
    on_room: Option<Arc<dyn Fn() + Send + Sync>>,
    words: OnceLock<Armed>,
    boot_offset: BootOffset,
}

impl<T> Shared<T> {
    pub(super) fn new(path: PathBuf, options: &Options) -> Self {
        Self {
            state: Mutex::new(State::new()),
            work: Condvar::default(),
            done: Condvar::default(),
            origin: Instant::now(),
            disk_since: AtomicU64::new(0),
            path,
            on_room: options.on_room.clone(),
            words: OnceLock::new(),
            boot_offset: options.boot_offset,
        }
    }

    /// The state. A panic elsewhere does not make counters and queues meaningless.
    pub(super) fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a call on the disk; how long it takes is visible to [`Self::is_stuck`] meanwhile.
    pub(super) fn on_disk<R>(&self, call: impl FnOnce() -> R) -> R {
        let now = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.disk_since.store(now + 1, Ordering::Relaxed);
        let result = call();
        self.disk_since.store(0, Ordering::Relaxed);
        result
    }

    pub(super) fn is_stuck(&self) -> bool {
        match self.disk_since.load(Ordering::Relaxed) {
            0 => false,
            since => self.origin.elapsed() > Duration::from_millis(since - 1) + STUCK_AFTER,
        }
    }

    /// Whether the disk refuses what is written, or does not answer.
    pub(super) fn is_failing(&self) -> bool {
        self.impaired(&self.lock()).is_some()
    }

    /// Why waiting for room is pointless, if it is.
    fn impaired(&self, state: &State<T>) -> Option<String> {
        match &state.failing {
            Some(error) => Some(format!("write_failed: {error}")),
            None => self.is_stuck().then(|| "write_stuck".to_owned()),
        }
    }

    pub(super) fn accept(&self, records: impl Iterator<Item = Record>) -> Accepted {
        let mut accepted = Accepted::default();
        let mut state = self.lock();
        for record in records {
            if state.finish.is_some() || state.is_finished() {
                accepted.late += 1;
                continue;
            }
            if state.is_full() && self.must_drop(&state, &record.body) {
                accepted.dropped += 1;
                let reason = || "queue_full".to_owned();
                let why = if state.gap.is_none() {
                    self.impaired(&state)
                } else {
                    None
                };
                state.drop_record(record.t, || why.unwrap_or_else(reason));
                continue;
            }
            state.push_gap();
            state.push(record);
            accepted.taken += 1;
        }
        if let Some(words) = self.words.get() {
            words.accepted(state.accepted);
        }
        state.late += accepted.late;
        if accepted.dropped > 0 && self.is_stuck() {
            state.tell(Notice::Stuck {
                path: self.path.clone(),
            });
        }
        let wake = match state.idle {
            Idle::Deep => !state.queue.is_empty(),
            Idle::Linger => state.queue.len() >= EAGER,
            Idle::Busy => false,
        };
        if wake {
            state.idle = Idle::Busy;
            drop(state);
            self.work.notify_one();
        }
        accepted
    }

    /// A producer that asked for room first is never far beyond the bound: what it had already in
    /// its hands fits. Twice the bound, and four times for the records that steer a reader, are for
    /// those who do not ask.
    fn must_drop(&self, state: &State<T>, body: &Body) -> bool {
        let waiting = state.outstanding();
        if body.may_be_dropped() {
            waiting >= 2 * QUEUE_RECORDS
                || state.bytes >= 2 * QUEUE_BYTES
                || self.impaired(state).is_some()
        } else {
            waiting >= 4 * QUEUE_RECORDS || state.bytes >= 4 * QUEUE_BYTES
        }
    }

    pub(super) fn has_room(&self) -> bool {
        let mut state = self.lock();
        if !state.is_full() || state.finish.is_some() || state.is_finished() {
            return true;
        }
        if self.impaired(&state).is_some() {
            if self.is_stuck() {
                state.tell(Notice::Stuck {
                    path: self.path.clone(),
                });
            }
            return true;
        }
        state.room_wanted = true;
        false
    }

    pub(super) fn enroll(&self, enrollment: Item) -> bool {
        let mut state = self.lock();
        if state.enrolled || state.finish.is_some() {
            return false;
        }
        state.enrolled = true;
        state.queue.push_back(enrollment);
        state.idle = Idle::Busy;
        drop(state);
        self.work.notify_one();
        true
    }

    pub(super) fn flush(&self, deadline: Instant) -> FlushReport {
        let mut state = self.lock();
        state.push_gap();
        let target = state.accepted;
        state.sync_wanted = state.sync_wanted.max(target);
        self.work.notify_one();
        state = self.wait(state, deadline, |state| {
            state.durable >= target
                || state.is_finished()
                || (state.sync_failed && state.written >= target)
        });
        FlushReport {
            complete: state.durable >= target,
            ..state.flush_report()
        }
    }

    pub(super) fn progress(&self) -> FlushReport {
        self.lock().flush_report()
    }

    pub(super) fn notices(&self) -> Vec<Notice> {
        let mut state = self.lock();
        if self.is_stuck() {
            state.tell(Notice::Stuck {
                path: self.path.clone(),
            });
        }
        std::mem::take(&mut state.notices)
    }

    /// Waits for the thread until `ready` or `deadline`.
    fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<T>>,
        deadline: Instant,
        ready: impl Fn(&State<T>) -> bool,
    ) -> MutexGuard<'a, State<T>> {
        while !ready(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.done.wait(&self.state, state, left);
        }
        state
    }

    pub(super) fn started(&self, result: Result<(), SessionError>) {
        self.lock().started = Some(result);
        self.done.notify_all();
    }

    pub(super) fn wait_started(&self, deadline: Instant) -> Result<(), SessionError> {
        let state = self.lock();
        let mut state = self.wait(state, deadline, |state| state.started.is_some());
        if let Some(result) = state.started.take() {
            return result;
        }
        // Should the disk come back, the thread must not write to a session nobody has.
        state.finish = Some(Finish::by(None, Instant::now()));
        Err(SessionError::Stuck {
            path: self.path.clone(),
        })
    }

    /// What a fatal signal says its last words with, where there was a slot for that.
    pub(super) fn words(&self) -> Option<&Armed> {
        self.words.get()
    }

    /// From now on the watermarks are told to the slot.
    pub(super) fn set_words(&self, armed: Armed) {
        armed.accepted(self.lock().accepted);
        let _first = self.words.set(armed);
    }

    pub(super) fn boot_offset(&self) -> BootOffset {
        self.boot_offset
    }

    /// Whether [`Self::wait_started`] has given up.
    pub(super) fn is_abandoned(&self) -> bool {
        self.lock().finish.is_some()
    }

    /// Counts lines that have reached the file, and gives back the room of their events.
    pub(super) fn wrote(&self, lines: usize, bytes: usize, spare: &mut Spare) {
        let mut state = self.lock();
        state.spare.append(spare);
        state.written += lines as u64;
        if let Some(words) = self.words.get() {
            words.written(state.written);
        }
        state.bytes = state.bytes.saturating_sub(bytes);
        let low = state.outstanding() < QUEUE_RECORDS / 2 && state.bytes < QUEUE_BYTES / 2;
        let call = low && std::mem::take(&mut state.room_wanted);
        drop(state);
        if call && let Some(on_room) = &self.on_room {
            on_room();
        }
    }

    /// The disk fails: nobody should wait for room.
    pub(super) fn failing(&self, error: String) {
        let mut state = self.lock();
        state.tell(Notice::WriteFailed {
            error: error.clone(),
            path: self.path.clone(),
        });
        state.failing = Some(error);
        let call = std::mem::take(&mut state.room_wanted);
        drop(state);
        if call && let Some(on_room) = &self.on_room {
            on_room();
        }
    }

    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    pub(super) fn tell_waiters(&self) {
        self.done.notify_all();
    }

    /// Sleeps until woken or for `timeout`, in the way `idle` says.
    pub(super) fn sleep<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<T>>,
        idle: Idle,
        timeout: Duration,
    ) -> MutexGuard<'a, State<T>> {
        state.idle = idle;
        state = self.work.wait(&self.state, state, timeout);
        state.idle = Idle::Busy;
        state
    }
}

impl<T> Shared<T> {
    /// Brings the deadline of an end that was asked for forward.
    pub(super) fn hurry(&self, deadline: Instant) {
        let mut state = self.lock();
        if state.finish.is_some() {
            state.end_by(None, deadline);
            drop(state);
            self.work.notify_one();
            self.done.notify_all();
        }
    }
}

impl<T: Clone> Shared<T> {
    pub(super) fn finish(&self, info: Option<EndInfo>, deadline: Instant) -> FinishReport<T> {
        let mut state = self.lock();
        state.end_by(info, deadline);
        self.wait_for_end(state, deadline)
    }

    /// Waits until all is done, or until `deadline`, which others may bring forward meanwhile.
    pub(super) fn wait_for_end<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<T>>,
        deadline: Instant,
    ) -> FinishReport<T> {
        self.work.notify_one();
        // Who waits longer has to look at the new deadline.
        self.done.notify_all();
        while !state.is_finished() {
            let asked = state.finish.as_ref().map(|finish| finish.deadline);
            let until = asked.map_or(deadline, |asked| asked.min(deadline));
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.done.wait(&self.state, state, left);
        }
        let mut report = state.report.clone();
        report.progress = state.flush_report();
        report.late = state.late;
        report.later_crashes = state.crashes.undecisive();
        report.dropped = state.dropped;
        if report.end == EndOutcome::Pending {
            let why = match (report.timed_out, self.is_stuck(), &state.failing) {
                (false, _, _) => "the recorder's thread is gone",
                (true, true, _) => "the disk does not answer",
                (true, false, Some(error)) => error,
                (true, false, None) => "out of time",
            };
            report.end = EndOutcome::NotWritten(why.to_owned());
        }
        report
    }
}
