//! What producers and the recorder's thread know of each other: queue, watermarks, requests.
//!
//! Data and its bookkeeping; the lock around it and what a full queue means are in `shared`.

use std::{collections::VecDeque, time::Instant};

use super::{
    QUEUE_BYTES, QUEUE_RECORDS, SessionError,
    crashed::Crashes,
    finish::{EndInfo, FinishReport},
    notice::Notice,
};
use crate::{
    event::{EventKind, Spare},
    session::{
        enrollment::Enrollment,
        journal::record::{Body, Gap, Record},
    },
    units::BootNs,
};

/// What stands in the queue.
pub(super) enum Item {
    Record(Record),
    Enroll(Box<Enrollment>),
}

impl Item {
    pub(super) fn is_record(&self) -> bool {
        matches!(self, Self::Record(_))
    }
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
    pub(super) fn by(info: Option<EndInfo>, deadline: Instant) -> Self {
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
    /// Of events that are in the file.
    pub(super) spare: Spare,
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
    pub(super) crashes: Crashes,
    /// What is durable cannot be known any more.
    pub(super) sync_failed: bool,
    pub(super) finish: Option<Finish>,
    pub(super) enrolled: bool,
    pub(super) room_wanted: bool,
    pub(super) started: Option<Result<(), SessionError>>,
    pub(super) notices: Vec<Notice>,
    pub(super) told: Vec<std::mem::Discriminant<Notice>>,
    pub(super) report: FinishReport<T>,
}

impl<T> State<T> {
    pub(super) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            spare: Spare::default(),
            accepted: 0,
            written: 0,
            durable: 0,
            gap: None,
            dropped: 0,
            late: 0,
            failing: None,
            idle: Idle::Busy,
            sync_wanted: 0,
            crashes: Crashes::default(),
            sync_failed: false,
            finish: None,
            enrolled: false,
            room_wanted: false,
            started: None,
            notices: Vec::new(),
            told: Vec::new(),
            report: FinishReport::new(),
        }
    }

    /// Closes the intake, if it is open, and brings the deadline forward to `deadline`.
    pub(super) fn end_by(&mut self, info: Option<EndInfo>, deadline: Instant) {
        match &mut self.finish {
            Some(finish) if finish.deadline <= deadline => {}
            Some(finish) => *finish = Finish::by(finish.info.take(), deadline),
            empty @ None => *empty = Some(Finish::by(info, deadline)),
        }
    }

    pub(super) fn outstanding(&self) -> usize {
        usize::try_from(self.accepted - self.written).unwrap_or(usize::MAX)
    }

    /// The thread is gone; what is known is all that will be.
    pub(super) fn is_finished(&self) -> bool {
        !self.report.timed_out
    }

    pub(super) fn is_full(&self) -> bool {
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

    pub(super) fn push(&mut self, record: Record) {
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
        Body::Event(EventKind::Exit(_) | EventKind::Oom(_) | EventKind::Account(_)) => 160,
        Body::Event(EventKind::Fork(_)) => 0,
        Body::Snapshot { .. } => 800,
        _ => 512,
    }
}
