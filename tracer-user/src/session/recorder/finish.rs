//! How a recorder ends: one terminal record decides, everything derived comes after.

use std::{sync::Arc, time::Instant};

use super::{
    notice::Notice,
    owner::{Owner, RETRY_MAX},
    state::{Finish, FlushReport, Idle, Item},
    sync::contain,
};
use crate::{
    session::{
        derive::Fold,
        journal::record::{Body, Crash, End, ObserverEnding, Record},
        settle::{self, FileFailure},
        store::{ENROLLMENT, SUMMARY},
    },
    units::BootNs,
};

/// What the `end` record says, apart from what the recorder counts itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndInfo {
    /// How the observer ended.
    pub ending: ObserverEnding,
    /// Why, in a few words; cut where the record's constant size ends.
    pub cause: String,
    /// When.
    pub t: BootNs,
}

/// What became of the `end` record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndOutcome {
    /// Not yet tried.
    Pending,
    /// In the file and safe from a power failure.
    Durable,
    /// In the file; the disk did not confirm it.
    Written,
    /// Not in the file, and why: the session will be found interrupted.
    NotWritten(String),
}

/// How a session was brought to its end.
#[derive(Debug, Clone)]
pub struct FinishReport<T> {
    /// The terminal record: `end`, or `crash`.
    pub end: EndOutcome,
    /// The crash that decided, once its record is in the file.
    pub crash: Option<Crash>,
    /// Crashes that were told and did not decide.
    pub later_crashes: u64,
    /// How far the journal has come.
    pub progress: FlushReport,
    /// Records left out, all of them covered by `gap` records that were written.
    pub dropped: u64,
    /// Records refused after the end was asked for.
    pub late: u64,
    /// Lines the tee's consumer never got.
    pub tee_dropped: u64,
    /// What the fold made of everything that is in the journal; `None` when the disk hung or the fold
    /// panicked.
    pub summary: Option<T>,
    /// Files that are missing.
    pub failures: Vec<FileFailure>,
    /// The deadline passed before all was done.
    pub timed_out: bool,
}

impl<T> FinishReport<T> {
    pub(super) fn new() -> Self {
        Self {
            end: EndOutcome::Pending,
            crash: None,
            later_crashes: 0,
            progress: FlushReport::default(),
            dropped: 0,
            late: 0,
            tee_dropped: 0,
            summary: None,
            failures: Vec::new(),
            timed_out: true,
        }
    }
}

/// What came of trying to end.
enum Try {
    /// The terminal record is in the file; the crash that it tells of.
    Ended(Option<Crash>),
    /// A crash has come in between: another record is right.
    Overtaken,
}

impl<F: Fold> Owner<F> {
    /// Ends the journal, if someone asked for that, and writes what is derived from it.
    pub(super) fn end(mut self, finish: &Finish) {
        if finish.info.is_none() && !self.shared.lock().crashes.any() {
            return;
        }
        self.leave_rest();
        let outcome = self.append_end(finish.info.as_ref());
        self.shared.lock().report.end = outcome;

        let Self {
            shared,
            store,
            dir,
            lease,
            fold,
            tee,
            writer,
            ..
        } = self;
        // A mistake in the fold must not cost the rest; `finish` takes what it can no longer break.
        let summary = contain(|| fold.map(F::finish)).unwrap_or_else(|panicked| {
            let said = panicked.said;
            shared.lock().tell(Notice::FoldFailed { said });
            None
        });
        shared.lock().report.summary.clone_from(&summary);

        let deadline = shared
            .lock()
            .finish
            .as_ref()
            .map_or_else(Instant::now, |finish| finish.deadline);
        let failures = match &summary {
            Some(summary) => {
                let copied = writer.copied();
                settle::write_all::<F>(&store, &dir, Some(&copied), summary, deadline)
            }
            None => vec![FileFailure {
                file: SUMMARY,
                error: "making it failed; rebuild the session".to_owned(),
            }],
        };
        shared.lock().report.failures.extend(failures);
        if let Some(tee) = tee {
            let dropped = tee.close(deadline);
            shared.lock().report.tee_dropped = dropped;
        }
        // Now nothing is left to do for anyone, and nobody may find it taken who was told that it ended.
        drop(lease);
    }

    /// Counts what there was no time to write; an enrollment gets its last chance.
    fn leave_rest(&mut self) {
        let mut state = self.shared.lock();
        let rest: Vec<Item> = self
            .hand
            .drain(..)
            .chain(std::mem::take(&mut state.queue))
            .collect();
        let mut enrollment = self.enrollment.take();
        for item in rest {
            match item {
                Item::Record(record) => {
                    state.drop_record(record.t, || "deadline".to_owned());
                }
                Item::Enroll(late) => enrollment = Some(late),
            }
        }
        if let Some(gap) = state.gap.take() {
            state.accepted += 1;
            self.writer.push(Record {
                t: gap.last_t,
                body: Body::Gap(Box::new(gap)),
            });
        }
        drop(state);
        if let Some(enrollment) = enrollment
            && let Err(error) = self.shared.on_disk(|| enrollment.write(&self.dir))
        {
            let error = error.to_string();
            let mut state = self.shared.lock();
            state.report.failures.push(FileFailure {
                file: ENROLLMENT,
                error: error.clone(),
            });
            state.tell(Notice::EnrollmentFailed { error });
        }
    }

    /// Appends the terminal record with one write, after everything else is in the file.
    fn append_end(&mut self, info: Option<&EndInfo>) -> EndOutcome {
        let crash = loop {
            match self.try_end(info) {
                Ok(Try::Ended(crash)) => break crash,
                Ok(Try::Overtaken) => {}
                Err(why) => return EndOutcome::NotWritten(why),
            }
        };
        {
            // Told before the sync: who cannot wait for that must not hear that there is no end.
            let mut state = self.shared.lock();
            state.report.crash = crash;
            state.report.end = EndOutcome::Written;
        }
        if self.sync() {
            EndOutcome::Durable
        } else {
            EndOutcome::Written
        }
    }

    /// Appends the terminal record that is right as things stand.
    fn try_end(&mut self, info: Option<&EndInfo>) -> Result<Try, String> {
        {
            let mut state = self.shared.lock();
            for note in state.crashes.take_notes() {
                state.accepted += 1;
                self.writer.push(note);
            }
        }
        self.until_deadline(|owner| owner.write_batch().then_some(()))?;
        let crash = self.shared.lock().crashes.terminal();
        let is_crash = crash.is_some();
        let Some(record) = crash.or(info.map(|info| self.end_record(info))) else {
            return Err("nobody asked for it".to_owned());
        };
        let crash = match &record.body {
            Body::Crash(crash) => Some((**crash).clone()),
            _ => None,
        };
        self.writer.push(record);
        self.shared.lock().accepted += 1;
        if self.until_deadline(|owner| owner.write_last(is_crash))? {
            return Ok(Try::Ended(crash));
        }
        self.writer.withdraw();
        self.shared.lock().accepted -= 1;
        Ok(Try::Overtaken)
    }

    fn end_record(&self, info: &EndInfo) -> Record {
        Record {
            t: info.t,
            body: Body::End(Box::new(End {
                ending: info.ending.clone(),
                cause: info.cause.clone(),
                counts: self.writer.counts(),
            })),
        }
    }

    /// Writes the terminal record: `None` when the disk refuses, false when it is no longer right.
    fn write_last(&mut self, is_crash: bool) -> Option<bool> {
        let shared = Arc::clone(&self.shared);
        while !self.writer.is_clear() {
            let result = self.write_if(&mut || shared.commit(is_crash));
            if !self.writer.is_begun() && !self.writer.is_clear() {
                shared.uncommit();
            }
            if matches!(result, Ok(false)) {
                return Some(false);
            }
            if !self.went(result.map(drop)) {
                return None;
            }
        }
        Some(true)
    }

    /// Tries again and again while the disk refuses: as long as `attempt` gives nothing.
    fn until_deadline<R>(
        &mut self,
        mut attempt: impl FnMut(&mut Self) -> Option<R>,
    ) -> Result<R, String> {
        loop {
            if let Some(done) = attempt(self) {
                return Ok(done);
            }
            let state = self.shared.lock();
            let deadline = state
                .finish
                .as_ref()
                .map_or_else(Instant::now, |finish| finish.deadline);
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(state
                    .failing
                    .clone()
                    .unwrap_or_else(|| "out of time".to_owned()));
            }
            // A tenth of what is left: several tries, however short the deadline.
            let wait = (left / 10).clamp(std::time::Duration::from_millis(1), RETRY_MAX);
            drop(self.shared.sleep(state, Idle::Busy, wait));
        }
    }
}
