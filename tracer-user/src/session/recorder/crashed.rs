//! What a crash does to a recorder: it ends the session, unless an end is there already.
//!
//! One rule, under one lock: the terminal record is chosen at the last moment before it goes to the
//! file ([`Crashes::commit`]). A crash told before that moment decides, whatever else had been asked
//! for; one told after it changes nothing in the journal and is told to the lease. Of several crashes
//! the first is the cause, the others are notes before it.

use std::time::Instant;

use super::{
    finish::{EndOutcome, FinishReport},
    notice::Notice,
    shared::Shared,
    state::Finish,
};
use crate::{
    procfs::host::read_boot,
    session::{
        crash::panics::{PATIENCE, Panicked, Witness},
        journal::record::{Body, Crash, Note, Record},
    },
    units::BootNs,
};

/// Crashes after the first that become notes; more are counted only.
const NOTES_MAX: usize = 8;
/// Panics of the recorder's thread that it goes on after: each has cost at most one record.
const PANICS_MAX: u32 = 8;

/// A crash and when it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    crash: Crash,
    t: BootNs,
}

/// What became of a crash that was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rank {
    /// It decides.
    First,
    /// Another one does; this is a note.
    Later,
    /// The end is in the file, or on its way there.
    TooLate,
}

/// The crashes of a session, and whether they still can decide.
#[derive(Debug, Default)]
pub(super) struct Crashes {
    /// The first one: it decides, unless an end is in the file or on its way there.
    first: Option<Told>,
    /// Crashes after it, to be written as notes.
    later: Vec<Told>,
    /// All that did not decide.
    undecisive: u64,
    /// A terminal record is in the file or on its way there.
    committed: bool,
    /// How often the recorder's thread has panicked.
    panics: u32,
}

impl Crashes {
    fn tell(&mut self, told: Told) -> Rank {
        if !self.committed && self.first.is_none() {
            self.first = Some(told);
            return Rank::First;
        }
        self.undecisive += 1;
        if self.committed {
            return Rank::TooLate;
        }
        if self.later.len() < NOTES_MAX {
            self.later.push(told);
        }
        Rank::Later
    }

    /// Asked at the last moment before a terminal record goes to the file: whether it is still the
    /// right one. From a yes on, it is the end.
    fn commit(&mut self, is_crash: bool) -> bool {
        self.committed |= self.first.is_some() == is_crash && self.later.is_empty();
        self.committed
    }

    /// Crashes that were told and did not decide.
    pub(super) fn undecisive(&self) -> u64 {
        self.undecisive
    }

    /// Whether there is one that decides.
    pub(super) fn any(&self) -> bool {
        self.first.is_some()
    }

    /// The record of the one that decides.
    pub(super) fn terminal(&self) -> Option<Record> {
        self.first.as_ref().map(|told| Record {
            t: told.t,
            body: Body::Crash(Box::new(told.crash.clone())),
        })
    }

    /// The notes of the others, once.
    pub(super) fn take_notes(&mut self) -> Vec<Record> {
        let notes = self.later.drain(..).map(|told| Record {
            t: told.t,
            body: Body::Note(Box::new(Note::crashed_too(&told.crash))),
        });
        notes.collect()
    }
}

impl<T> Shared<T> {
    fn now(&self) -> BootNs {
        read_boot(self.boot_offset())
    }

    /// [`Crashes::commit`].
    pub(super) fn commit(&self, is_crash: bool) -> bool {
        self.lock().crashes.commit(is_crash)
    }

    /// Nothing of the terminal record has reached the file: a crash can decide again.
    pub(super) fn uncommit(&self) {
        self.lock().crashes.committed = false;
    }

    /// A panic of the recorder's thread, which still holds `kept` records: the session ends as crashed.
    /// The request to end, once there have been too many.
    pub(super) fn owner_panicked(&self, panicked: &Panicked, kept: usize) -> Option<Finish> {
        let t = self.now();
        let mut state = self.lock();
        let queued = state.queue.iter().filter(|item| item.is_record()).count();
        let lost = state.outstanding().saturating_sub(kept + queued);
        state.accepted -= lost as u64;
        for _ in 0..lost {
            state.drop_record(t, || "panic".to_owned());
        }
        state.tell(Notice::Panicked {
            said: panicked.said.clone(),
        });
        let crash = panicked.crash();
        state.crashes.tell(Told { crash, t });
        state.end_by(None, Instant::now() + PATIENCE);
        state.crashes.panics += 1;
        let enough = state.crashes.panics > PANICS_MAX;
        state.finish.clone().filter(|_| enough)
    }

    /// A panic has ended the recorder's thread: what it can no longer say, the lease does.
    pub(super) fn owner_lost(&self, panicked: &Panicked) {
        let said = panicked.said.clone();
        self.lock().tell(Notice::Panicked { said });
        self.tell_lease(&panicked.crash());
    }

    /// A disk that hangs would hang whoever tells it.
    fn tell_lease(&self, crash: &Crash) {
        if !self.is_stuck()
            && let Some(words) = self.words()
        {
            let _best_effort = words.tell(crash);
        }
    }
}

impl<T: Clone> Shared<T> {
    pub(super) fn crash(&self, crash: &Crash, deadline: Instant) -> FinishReport<T> {
        let told = Told {
            crash: crash.clone(),
            t: self.now(),
        };
        let mut state = self.lock();
        let rank = state.crashes.tell(told);
        state.end_by(None, deadline);
        let report = self.wait_for_end(state, deadline);
        let missed = rank == Rank::First && matches!(report.end, EndOutcome::NotWritten(_));
        if missed || rank == Rank::TooLate {
            self.tell_lease(crash);
        }
        report
    }
}

impl<T: Clone + Send + Sync> Witness for Shared<T> {
    fn panicked(&self, crash: &Crash, deadline: Instant) {
        let _report = self.crash(crash, deadline);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::crash::told;

    fn crash(cause: &str, t: u64) -> Told {
        Told {
            crash: told(cause, ""),
            t: BootNs(t),
        }
    }

    fn cause(crashes: &Crashes) -> Option<String> {
        match crashes.terminal()?.body {
            Body::Crash(crash) => Some(crash.cause),
            _ => None,
        }
    }

    #[test]
    fn c15_the_first_crash_is_the_cause_and_the_others_are_notes() {
        let mut crashes = Crashes::default();
        assert_eq!(crashes.tell(crash("one", 1)), Rank::First);
        for t in 2..40 {
            assert_eq!(crashes.tell(crash("more", t)), Rank::Later);
        }
        assert_eq!(cause(&crashes).as_deref(), Some("one"));
        // As long as there are notes to write, the crash itself is not the next record.
        assert!(!crashes.commit(true));
        assert_eq!(crashes.take_notes().len(), NOTES_MAX);
        assert_eq!(crashes.undecisive(), 38);
        assert!(crashes.commit(true));
    }

    #[test]
    fn a_crash_told_before_the_last_moment_wins_and_one_told_after_it_changes_nothing() {
        let mut crashes = Crashes::default();
        crashes.tell(crash("early", 1));
        assert!(!crashes.commit(false), "an end gives way");
        assert!(crashes.commit(true));

        let mut crashes = Crashes::default();
        assert!(!crashes.commit(true), "there is no crash to end with");
        assert!(crashes.commit(false));
        assert_eq!(crashes.tell(crash("late", 2)), Rank::TooLate);
        assert!(!crashes.any());
        assert!(
            crashes.commit(false),
            "asked again for the rest of the same line"
        );
        assert_eq!(crashes.undecisive(), 1);
    }
}
