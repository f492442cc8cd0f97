//! The end of a session: the last events, the verdict, the end record, and what people are told.

mod attachments;
mod retention;

use std::time::Duration;

use super::{
    follower::Follower,
    patience::{self, Asking},
};
use crate::{
    session::{
        journal::record::{Note, ObserverEnding},
        recorder::{EndInfo, EndOutcome},
        summary::Summary,
    },
    target::Miss,
};

/// How long the last events may take to come after the root was seen to have ended.
const LAST_EVENTS: Duration = Duration::from_millis(500);

/// Why observation stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// The root ended; its raw wait status where we are its parent.
    RootEnded(Option<i32>),
    /// The workload ended, and the user wanted no more.
    WorkloadEnded,
    /// The user asked for it, by this signal.
    Asked(String),
    /// The workload did not show, and why.
    Unresolved(String),
    /// The command was not started, and why.
    NotStarted(String, u8),
    /// tracer itself cannot go on, and why.
    Failed(String),
}

impl Follower<'_> {
    /// Brings the session to its end and says what it came to.
    pub(super) async fn end(&mut self, stop: &Stop, asking: Asking<'_>) -> Option<Summary> {
        if matches!(stop, Stop::RootEnded(_)) {
            self.last_events_of_root().await;
            self.last_events_of_target().await;
        }
        self.attach_files().await;
        self.last_events().await;
        let miss = match stop {
            Stop::RootEnded(_) | Stop::NotStarted(..) => Miss::RootVanished,
            // The root lives.
            _ => Miss::Stopped,
        };
        // The block says why.
        self.give_up(miss, self.session_age());
        if let Stop::RootEnded(Some(status)) = stop {
            self.note(Note::waited(status.cast_unsigned()));
        }
        self.count_losses();
        self.last_look();
        self.end_anomalies();
        self.note_costs(stop);

        let (ending, cause) = match stop {
            Stop::RootEnded(_) => (ObserverEnding::Completed, "the root ended".to_owned()),
            Stop::WorkloadEnded => (ObserverEnding::Completed, "the workload ended".to_owned()),
            Stop::Asked(signal) => (ObserverEnding::Stopped, signal.clone()),
            Stop::Unresolved(_) => (ObserverEnding::Failed, "no workload".to_owned()),
            Stop::NotStarted(why, _) | Stop::Failed(why) => (ObserverEnding::Failed, why.clone()),
        };
        let info = EndInfo {
            ending,
            cause,
            t: self.clock_now(),
        };
        let report = patience::finish(&self.session, info, asking);
        for notice in self.session.recorder.notices() {
            self.say(&notice.to_string());
        }
        if let EndOutcome::NotWritten(why) = &report.end {
            if let Some(kernel) = &mut self.kernel {
                kernel.leave_pins();
            }
            self.say(&format!("the record has no end: {why}"));
        }
        if let Some(crash) = &report.crash {
            self.say(&format!(
                "a mistake in tracer, the record ends there as crashed: {}: {}",
                crash.cause, crash.detail
            ));
        }
        for failure in &report.failures {
            self.say(&format!(
                "{} could not be written: {}",
                failure.file, failure.error
            ));
        }
        if report.tee_dropped > 0 {
            self.say(&format!(
                "{} lines of --json were not written: their reader is gone or too slow",
                report.tee_dropped
            ));
        }
        let started = !matches!(stop, Stop::NotStarted(..) | Stop::Unresolved(_));
        if let Some(summary) = report.summary.as_ref().filter(|_| started) {
            let directory = self.session.recorder.path().to_owned();
            self.audience().finished(summary, &directory);
        }
        // Of a disk that does not answer nothing more is asked: the command's status would wait for it.
        if !report.timed_out {
            self.make_room();
        }
        report.summary
    }

    /// What the tree was charged for in the end, and what observing it took.
    fn note_costs(&mut self, stop: &Stop) {
        if matches!(stop, Stop::RootEnded(Some(_)))
            && let Some(reaped) = self.expense.reaped()
        {
            self.note(Note::reaped(&reaped));
        }
        let cost = self.expense.total(self.kernel.as_ref());
        self.note(Note::observer_cost(&cost));
    }

    /// Takes events until the root's exit is among them. It was sent before anybody could see that the
    /// root has ended, so it is there, or it was lost.
    pub(super) async fn last_events_of_root(&mut self) {
        let deadline = tokio::time::Instant::now() + LAST_EVENTS;
        loop {
            self.take_all_events();
            if self.kernel.is_none()
                || self.root_ended()
                || tokio::time::timeout_at(deadline, self.readable())
                    .await
                    .is_err()
            {
                return;
            }
        }
    }

    /// Takes events until the end of a workload that was killed just now is among them: whoever kills a
    /// whole group may be the first of it to end.
    async fn last_events_of_target(&mut self) {
        let deadline = tokio::time::Instant::now() + LAST_EVENTS;
        while self.kernel.is_some() && self.target_is_dying() {
            self.take_all_events();
            if tokio::time::timeout_at(deadline, self.readable())
                .await
                .is_err()
            {
                return;
            }
        }
    }

    /// Takes what has been sent until now, also where the journal has no room for it yet.
    async fn last_events(&mut self) {
        let deadline = tokio::time::Instant::now() + LAST_EVENTS;
        while self.take_events() {
            if tokio::time::timeout_at(deadline, self.readable())
                .await
                .is_err()
            {
                return;
            }
        }
    }
}
