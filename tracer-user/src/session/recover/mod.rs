//! Recovery: brings sessions to their end whose observer could not.
//!
//! [`gates`] and [`whose`] decide, from facts alone; [`survey`](mod@survey) gathers the facts; [`finish`] acts, under
//! the session's lease, after it has looked again. Any number of recoverers may run at once: the lease
//! lets one at a session, and who comes later finds it ended. One that is killed leaves an interrupted
//! session like any other.
//!
//! What anybody who was killed has left half done and means nothing is cleared away by the way.
//!
//! Nothing an observer wrote is changed. What is not certainly ours and certainly crashed stays as it is.

mod discard;
mod finish;
pub mod foreign;
pub mod gates;
mod reading;
mod report;
mod survey;
mod tidy;
pub mod whose;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::io::Errno;

pub use self::report::{Found, Outcome, Report};
use self::{
    finish::Closer,
    gates::{Crash, Decision, Gate},
    reading::Reading,
    whose::Whose,
};
use crate::{
    procfs::ProcRoot,
    session::{
        SessionId, Store,
        dir::Dir,
        journal::{info::ObserverInfo, record::Record},
        lease::LeaseError,
        status::{self, Status},
        store::{ClaimedSession, SessionClaim, StoreError},
    },
};

/// What went on recording while the observer was dead. Where nothing did, `()`.
pub trait Unattended {
    /// What it holds of a session and the session's journals do not have, in order; `None` when nothing
    /// went on recording it. Until
    /// [`Self::forget`] it must go on holding that: a recoverer may be killed before, or while, it
    /// writes it down.
    ///
    /// # Errors
    /// Why it cannot be read, for people.
    fn records(&mut self, session: &ClaimedSession) -> Result<Option<Vec<Record>>, String>;

    /// The session is ended and on disk: gives up what is held of it.
    ///
    /// # Errors
    /// What is left, and why, for people.
    fn forget(&mut self, id: &SessionId) -> Result<(), String>;
}

impl Unattended for () {
    fn records(&mut self, _session: &ClaimedSession) -> Result<Option<Vec<Record>>, String> {
        Ok(None)
    }

    fn forget(&mut self, _id: &SessionId) -> Result<(), String> {
        Ok(())
    }
}

/// How to recover.
#[derive(Debug, Clone)]
pub struct Options {
    /// Only say what would be done.
    pub dry_run: bool,
    /// How long one session's end may take on the disk.
    pub patience: Duration,
    /// Set by whoever cannot wait any longer: no further session is begun.
    pub stop: Arc<AtomicBool>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dry_run: false,
            patience: Duration::from_secs(600),
            stop: Arc::default(),
        }
    }
}

/// A recovery under way.
pub struct Recovery<'a> {
    store: &'a Store,
    proc: &'a ProcRoot,
    own: ObserverInfo,
    options: &'a Options,
    unattended: &'a mut dyn Unattended,
}

impl<'a> Recovery<'a> {
    /// Of the sessions in `store`, by the observer `own`.
    pub fn new(
        store: &'a Store,
        proc: &'a ProcRoot,
        own: ObserverInfo,
        options: &'a Options,
        unattended: &'a mut dyn Unattended,
    ) -> Self {
        Self {
            store,
            proc,
            own,
            options,
            unattended,
        }
    }

    /// Looks at every session and recovers what has crashed. What goes wrong with one is told and does
    /// not keep the others from being looked at.
    ///
    /// # Errors
    /// [`StoreError`] when the sessions cannot be listed.
    pub fn run(&mut self) -> Result<Report, StoreError> {
        let mut report = Report::new(self.options.dry_run);
        if !self.options.dry_run {
            tidy::sessions(self.store);
        }
        for id in self.store.session_ids()? {
            if self.stopped() {
                break;
            }
            if let Some(found) = self.session(&id) {
                report.add(found);
            }
        }
        if !self.options.dry_run && !self.stopped() {
            // Behind the rows that were made just now.
            tidy::index(self.store);
        }
        Ok(report)
    }

    fn stopped(&self) -> bool {
        self.options.stop.load(Ordering::Relaxed)
    }

    /// Looks at one session; `None` when it was removed meanwhile.
    fn session(&mut self, id: &SessionId) -> Option<Found> {
        let found = |outcome, gate, reason: String| {
            Some(Found {
                name: id.to_string(),
                session: Some(*id),
                outcome,
                gate,
                reason,
            })
        };
        let alien = |why: String| found(Outcome::Alien, Some(Gate::Enrollment), why);
        let dir = match self.store.existing_session(id) {
            Ok(dir) => dir,
            Err(StoreError::Io {
                source: Errno::NOENT,
                ..
            }) => return None,
            Err(error @ StoreError::Io { .. }) => {
                return found(Outcome::Failed, None, told(&error));
            }
            Err(error) => return alien(told(&error)),
        };
        match self.decide(id, &dir, false) {
            Step::Whole => {
                if !self.options.dry_run && tidy::is_due(&dir) {
                    drop(dir);
                    tidy::session(self.store, id);
                }
                found(Outcome::Whole, None, String::new())
            }
            Step::Left(outcome, gate, why) => found(outcome, gate, why),
            step if self.options.dry_run => {
                let (outcome, gate, why) = Self::foretell(&dir, step);
                found(outcome, gate, why)
            }
            _ => {
                drop(dir);
                let (outcome, gate, why) = self.act(id)?;
                found(outcome, gate, why)
            }
        }
    }

    /// What to do with a session. `ours`: its lease is held by us.
    fn decide(&self, id: &SessionId, dir: &Dir, ours: bool) -> Step {
        let examined = status::examine(dir);
        let held = examined.held && !ours;
        match &examined.status {
            Status::Ended(_) if survey::is_settled(dir) => return Step::Whole,
            Status::Ended(_) if !held => return Step::Derive,
            _ => {}
        }
        let (facts, whose) = survey::facts(self.proc, id, dir, &examined, held);
        match (gates::judge(&facts), whose) {
            (Decision::Leave(Gate::Lease, why), _) => {
                Step::Left(Outcome::Running, Some(Gate::Lease), why)
            }
            (Decision::Leave(gate, why), _) => Step::Left(Outcome::Alien, Some(gate), why),
            (Decision::Doubt(gate, why), _) => Step::Left(Outcome::Doubtful, Some(gate), why),
            (Decision::Alive(why), _) => Step::Left(Outcome::Alive, Some(Gate::Liveness), why),
            (Decision::Discard(why), _) => Step::Discard(why),
            (Decision::Finish(crash), Ok(whose)) => Step::Finish(crash, Box::new(whose)),
            (Decision::Finish(_), Err(why)) => {
                Step::Left(Outcome::Alien, Some(Gate::Enrollment), why)
            }
        }
    }

    /// What would be done, without doing it.
    fn foretell(dir: &Dir, step: Step) -> Told {
        match step {
            Step::Whole => (Outcome::Whole, None, String::new()),
            Step::Left(outcome, gate, why) => (outcome, gate, why),
            Step::Derive => (Outcome::Derived, None, DERIVED.to_owned()),
            Step::Discard(why) => (Outcome::Stale, Some(Gate::Boot), why),
            Step::Finish(crash, whose) => match Reading::of(dir, &whose) {
                Err(error) => (Outcome::Failed, None, told(&error)),
                Ok(reading) => match reading.verdict() {
                    Err(left) => left,
                    Ok(()) => finish::foretold(crash, &reading),
                },
            },
        }
    }

    /// Claims the session, looks again, and does what is to be done. `None`: it was removed.
    fn act(&mut self, id: &SessionId) -> Option<Told> {
        let claimed = match self.store.claim(id) {
            Ok(SessionClaim::Held(claimed)) => claimed,
            Ok(SessionClaim::Taken) => {
                let why = "somebody else is recovering it, or adopts it".to_owned();
                return Some((Outcome::Running, Some(Gate::Lease), why));
            }
            Err(
                LeaseError::Gone { .. }
                | LeaseError::File(StoreError::Io {
                    source: Errno::NOENT,
                    ..
                }),
            ) => return None,
            Err(error) => return Some((Outcome::Failed, None, told(&error))),
        };
        // Another recoverer may have been here between the first look and the claim.
        match self.decide(id, &claimed.dir, true) {
            Step::Whole => Some((Outcome::Whole, None, String::new())),
            Step::Left(outcome, gate, why) => Some((outcome, gate, why)),
            Step::Derive => Some(self.closer().derive(claimed)),
            Step::Discard(why) => Some(discard::discard(self.store, claimed, why)),
            Step::Finish(crash, whose) => Some(self.finish(claimed, crash, &whose)),
        }
    }

    fn finish(&mut self, claimed: ClaimedSession, crash: Crash, whose: &Whose) -> Told {
        let reading = match Reading::of(&claimed.dir, whose) {
            Ok(reading) => reading,
            Err(error) => return (Outcome::Failed, None, told(&error)),
        };
        match reading.verdict() {
            Ok(()) => self.closer().finish(claimed, crash, whose, reading),
            Err((Outcome::Quarantined, _, why)) => discard::quarantine(self.store, claimed, &why),
            Err(left) => left,
        }
    }

    fn closer(&mut self) -> Closer<'_> {
        Closer {
            store: self.store,
            host: self.proc.host(),
            own: &self.own,
            patience: self.options.patience,
            unattended: &mut *self.unattended,
        }
    }
}

/// What is said when an ended session gets its derived files.
const DERIVED: &str = "it had ended; what is made from its journal was missing";

/// An outcome, the gate that brought it about, and why.
type Told = (Outcome, Option<Gate>, String);

/// What a session needs.
enum Step {
    /// Nothing.
    Whole,
    /// Nothing that recovery could do.
    Left(Outcome, Option<Gate>, String),
    /// Its derived files.
    Derive,
    /// To go away.
    Discard(String),
    /// An end.
    Finish(Crash, Box<Whose>),
}

/// An error with its causes, in one line.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
