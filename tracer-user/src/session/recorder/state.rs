//! What producers and the recorder's thread share: queue, watermarks, requests and reports.
//!
//! One mutex, held for moments and never during a system call on the disk. What a full queue means
//! is decided here.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    QUEUE_BYTES, QUEUE_RECORDS, STUCK_AFTER, SessionError,
    finish::{EndInfo, EndOutcome, FinishReport},
    notice::Notice,
};
use crate::{
    event::EventKind,
    session::{
        enrollment::Enrollment,
        journal::record::{Body, Gap, Record},
    },
    units::BootNs,
};

/// Records in the queue at which a lingering thread is woken early.
const EAGER: usize = 1_024;

/// What stands in the queue.
pub(super) enum Item {
    Record(Record),
    Enroll(Box<Enrollment>),
}

/// What became of records handed over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Will be written.
    pub taken: u64,
    /// Left out because the disk fails and the queue is full; a `gap` record will say so.
    pub dropped: u64,
    /// Refused because the session has ended.
    pub late: u64,
}

/// How far records have come. They are counted as journal lines, the `session` record included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlushReport {
    /// Taken in.
    pub accepted: u64,
    /// In the file.
    pub written: u64,
    /// Safe from a power failure.
    pub durable: u64,
    /// Everything accepted before the call is durable.
    pub complete: bool,
}

/// What the thread does when it is not working.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Idle {
    /// At work, or waiting for a time to try again: it will look at the queue by itself.
    Busy,
    /// Gathering more for a moment.
    Linger,
    /// Asleep until woken.
    Deep,
}

/// A request to end.
#[derive(Clone)]
pub(super) struct Finish {
    pub(super) info: Option<EndInfo>,
    pub(super) deadline: Instant,
    /// Four fifths of the time are for what was accepted, the rest is for the end itself.
    pub(super) drain_until: Instant,
}

impl Finish {
    fn by(info: Option<EndInfo>, deadline: Instant) -> Self {
        let now = Instant::now();
        let drain_until = now + deadline.saturating_duration_since(now) * 4 / 5;
        Self {
            info,
            deadline,
            drain_until,
        }
    }
}

pub(super) struct State<T> {
    pub(super) queue: VecDeque<Item>,
    /// Estimated size of all records accepted and not written.
    pub(super) bytes: usize,
    pub(super) accepted: u64,
    pub(super) written: u64,
    pub(super) durable: u64,
    pub(super) gap: Option<Gap>,
    pub(super) dropped: u64,
    pub(super) late: u64,
    /// Why the disk fails, while it does.
    pub(super) failing: Option<String>,
    pub(super) idle: Idle,
    /// The journal is to be durable up to here.
    pub(super) sync_wanted: u64,
    /// What is durable cannot be known any more.
    pub(super) sync_failed: bool,
    pub(super) finish: Option<Finish>,
    enrolled: bool,
    room_wanted: bool,
    started: Option<Result<(), SessionError>>,
    notices: Vec<Notice>,
    told: Vec<std::mem::Discriminant<Notice>>,
    pub(super) report: FinishReport<T>,
}

impl<T> State<T> {
    fn outstanding(&self) -> usize {
        usize::try_from(self.accepted - self.written).unwrap_or(usize::MAX)
    }

    /// The thread is gone; what is known is all that will be.
    fn is_finished(&self) -> bool {
        !self.report.timed_out
    }

    fn is_full(&self) -> bool {
        self.outstanding() >= QUEUE_RECORDS || self.bytes >= QUEUE_BYTES
    }

    /// Tells the user, unless told before.
    pub(super) fn tell(&mut self, notice: Notice) {
        let kind = std::mem::discriminant(&notice);
        if !self.told.contains(&kind) {
            self.told.push(kind);
            self.notices.push(notice);
        }
    }

    fn push(&mut self, record: Record) {
        self.bytes += weight(&record.body);
        self.accepted += 1;
        self.queue.push_back(Item::Record(record));
    }

    /// Puts the pending gap, if there is one, behind what is in the queue.
    pub(super) fn push_gap(&mut self) {
        if let Some(gap) = self.gap.take() {
            self.push(Record {
                t: gap.last_t,
                body: Body::Gap(Box::new(gap)),
            });
        }
    }

    /// Counts a record that will not be written.
    pub(super) fn drop_record(&mut self, t: BootNs, reason: impl FnOnce() -> String) {
        self.dropped += 1;
        let gap = self.gap.get_or_insert_with(|| Gap {
            reason: reason(),
            dropped: 0,
            first_t: t,
            last_t: t,
        });
        gap.dropped += 1;
        gap.first_t = gap.first_t.min(t);
        gap.last_t = gap.last_t.max(t);
    }

    pub(super) fn flush_report(&self) -> FlushReport {
        FlushReport {
            accepted: self.accepted,
            written: self.written,
            durable: self.durable,
            complete: self.durable >= self.accepted && self.gap.is_none(),
        }
    }
}

/// About what a record occupies while it waits.
pub(super) fn weight(body: &Body) -> usize {
    160 + match body {
        Body::Event(EventKind::Exec(exec)) => {
            exec.filename.len() + exec.argv.iter().map(|arg| arg.len() + 32).sum::<usize>()
        }
        Body::Event(EventKind::Signal(signal)) => 160 + signal.sender_cmdline.len(),
        Body::Event(EventKind::Exit(_) | EventKind::Oom(_)) => 160,
        Body::Event(EventKind::Fork(_)) => 0,
        Body::Snapshot { .. } => 800,
        _ => 512,
    }
}

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
}

impl<T> Shared<T> {
    pub(super) fn new(path: PathBuf, on_room: Option<Arc<dyn Fn() + Send + Sync>>) -> Self {
        Self {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                bytes: 0,
                accepted: 0,
                written: 0,
                durable: 0,
                gap: None,
                dropped: 0,
                late: 0,
                failing: None,
                idle: Idle::Busy,
                sync_wanted: 0,
                sync_failed: false,
                finish: None,
                enrolled: false,
                room_wanted: false,
                started: None,
                notices: Vec::new(),
                told: Vec::new(),
                report: FinishReport::new(),
            }),
            work: Condvar::new(),
            done: Condvar::new(),
            origin: Instant::now(),
            disk_since: AtomicU64::new(0),
            path,
            on_room,
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

    fn is_stuck(&self) -> bool {
        match self.disk_since.load(Ordering::Relaxed) {
            0 => false,
            since => self.origin.elapsed() > Duration::from_millis(since - 1) + STUCK_AFTER,
        }
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
            if state.finish.is_some() {
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
        if !state.is_full() || state.finish.is_some() {
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
        &self,
        mut state: MutexGuard<'a, State<T>>,
        deadline: Instant,
        ready: impl Fn(&State<T>) -> bool,
    ) -> MutexGuard<'a, State<T>> {
        while !ready(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self
                .done
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
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

    /// Whether [`Self::wait_started`] has given up.
    pub(super) fn is_abandoned(&self) -> bool {
        self.lock().finish.is_some()
    }

    /// Counts lines that have reached the file.
    pub(super) fn wrote(&self, lines: usize, bytes: usize) {
        let mut state = self.lock();
        state.written += lines as u64;
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
        &self,
        mut state: MutexGuard<'a, State<T>>,
        idle: Idle,
        timeout: Duration,
    ) -> MutexGuard<'a, State<T>> {
        state.idle = idle;
        let result = self.work.wait_timeout(state, timeout);
        state = result.unwrap_or_else(PoisonError::into_inner).0;
        state.idle = Idle::Busy;
        state
    }
}

impl<T: Clone> Shared<T> {
    pub(super) fn finish(&self, info: Option<EndInfo>, deadline: Instant) -> FinishReport<T> {
        let mut state = self.lock();
        match &mut state.finish {
            Some(finish) if finish.deadline <= deadline => {}
            Some(finish) => *finish = Finish::by(finish.info.take(), deadline),
            empty @ None => *empty = Some(Finish::by(info, deadline)),
        }
        self.work.notify_one();
        let state = self.wait(state, deadline, |state| state.is_finished());
        let mut report = state.report.clone();
        report.progress = state.flush_report();
        report.late = state.late;
        report.dropped = state.dropped;
        if report.timed_out && report.end == EndOutcome::Pending {
            let why = if self.is_stuck() {
                "the disk does not answer"
            } else {
                "out of time"
            };
            report.end = EndOutcome::NotWritten(why.to_owned());
        }
        report
    }
}
