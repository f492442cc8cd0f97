//! Sessions that another recorder has left as a pair of files, taken over into ours.
//!
//! The directory may be one that anybody writes to, such as `/dev/shm`: a file counts only if it is a
//! plain one, ours, with one name and not for others to write. The originals stay as they are, but for
//! those that another boot has left in memory. A pair gives one session, always the same: its id comes
//! from what the pair says, so whoever is second finds it there.
//!
//! The same gates as for our own decide. They have no lease; files written to within the last
//! [`YOUNG`] are left alone instead.

mod import;
mod lines;
pub mod names;
mod open;
pub mod rows;

use std::{
    fs::File,
    io,
    path::Path,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use rustix::fs::AtFlags;

use self::{
    import::Import,
    lines::Lines,
    names::{Pair, pairs},
    open::Place,
    rows::Known,
};
use super::{
    Found, Options, Outcome, Told,
    finish::clock_pair,
    gates::{self, Crash, Decision, Facts, Gate, Observer, Rows, judge_rows},
    survey,
    whose::Whose,
};
use crate::{
    procfs::ProcRoot,
    session::{
        SessionId, Store,
        enrollment::{ENROLLMENT_MAX, Enrollment},
        journal::info::{ClockPair, ObserverInfo},
    },
};

/// Files written to more recently than this may still be written.
pub const YOUNG: Duration = Duration::from_secs(30);
/// Longest trace that is taken over.
const TRACE_MAX: u64 = 8 << 30;
/// Label under which the id that the other recorder gave it is kept.
const FOREIGN_ID: &str = "foreign_session_id";

/// Takes over what other recorders have left.
pub struct Importer<'a> {
    store: Option<&'a Store>,
    proc: &'a ProcRoot,
    own: ObserverInfo,
    options: &'a Options,
}

/// A pair that got through the first gates.
struct Candidate {
    id: SessionId,
    enrollment: Enrollment,
    whose: Whose,
    known: Known,
    trace: File,
    first: Option<(String, bool)>,
}

impl<'a> Importer<'a> {
    /// Into `store`, which may be missing only where nothing is to be done but look.
    #[must_use]
    pub fn new(
        store: Option<&'a Store>,
        proc: &'a ProcRoot,
        own: ObserverInfo,
        options: &'a Options,
    ) -> Self {
        Self {
            store,
            proc,
            own,
            options,
        }
    }

    /// Looks at every pair in a directory. What goes wrong with one is told and does not keep the
    /// others from being looked at.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn run(&mut self, dir: &Path) -> io::Result<Vec<Found>> {
        let place = Place::open(dir)?;
        let names = place.names()?;
        let pairs = pairs(names.iter().map(Vec::as_slice));
        Ok(pairs
            .iter()
            .map(|pair| {
                let mut session = None;
                let (outcome, gate, reason) = self.pair(&place, pair, &mut session);
                Found {
                    name: pair.name(),
                    session,
                    outcome,
                    gate,
                    reason,
                }
            })
            .collect())
    }

    fn pair(&self, place: &Place, pair: &Pair, session: &mut Option<SessionId>) -> Told {
        let (Some(trace), Some(enrollment)) = (&pair.trace, &pair.enrollment) else {
            let lacks = if pair.trace.is_none() {
                "it has no trace beside it"
            } else {
                "it has no enrollment beside it"
            };
            return (Outcome::Alien, Some(Gate::Enrollment), lacks.to_owned());
        };
        let alien = |why: String| (Outcome::Alien, Some(Gate::Enrollment), why);
        let (trace, enrolled) = match (
            place.plain(trace, TRACE_MAX),
            place.plain(enrollment, ENROLLMENT_MAX),
        ) {
            (Ok(trace), Ok(enrolled)) => (trace, enrolled),
            (Err(why), _) | (_, Err(why)) => return alien(why),
        };
        let newest = trace.modified.max(enrolled.modified);
        if newest + YOUNG > SystemTime::now() {
            let why = "it was written to within the last 30 s".to_owned();
            return (Outcome::Young, Some(Gate::Lease), why);
        }
        let modified = enrolled.modified;
        let found = match survey::read_enrollment_bytes(enrolled.file) {
            Ok(bytes) => Enrollment::parse(&bytes)
                .map(|parsed| (parsed, bytes))
                .map_err(|error| error.to_string()),
            Err(why) => Err(why),
        };
        let (parsed, bytes) = match found {
            Ok(found) => found,
            Err(why) => return alien(why),
        };
        if parsed.pid != pair.pid {
            let pid = parsed.pid;
            return alien(format!("its enrollment is of pid {pid}"));
        }
        let candidate = match self.candidate(trace.file, parsed, &bytes, enrollment, modified) {
            Ok(candidate) => candidate,
            Err(why) => return (Outcome::Failed, None, why),
        };
        *session = Some(candidate.id);
        let facts = Facts {
            observer: Observer::Gone,
            enrolled: survey::enrolled(&Ok(candidate.whose.clone())),
            boot_id: self.proc.host().boot_id.clone(),
            storage: survey::storage(place),
            target: survey::foreign_target(self.proc, &candidate.whose),
        };
        match gates::judge(&facts) {
            Decision::Leave(gate, why) => (Outcome::Alien, Some(gate), why),
            Decision::Doubt(gate, why) => (Outcome::Doubtful, Some(gate), why),
            Decision::Alive(why) => (Outcome::Alive, Some(Gate::Liveness), why),
            Decision::Discard(why) => {
                *session = None;
                self.discard(place, pair, why)
            }
            Decision::Finish(crash) => self.finish(candidate, crash, pair),
        }
    }

    /// All that a pair says, and the session it makes.
    fn candidate(
        &self,
        trace: File,
        parsed: Enrollment,
        bytes: &[u8],
        name: &[u8],
        modified: SystemTime,
    ) -> Result<Candidate, String> {
        let (first_time, trace) = lines::first_time(trace).map_err(|error| error.to_string())?;
        let wall = parsed
            .enrolled_at
            .or(first_time)
            .or(Timestamp::try_from(modified).ok())
            .unwrap_or_default();
        // The same pair gives the same id, whoever looks at it and whenever.
        let mut sum = crc32fast::Hasher::new();
        sum.update(name);
        sum.update(bytes);
        let id = SessionId::new(wall, sum.finalize().to_be_bytes());
        let mut enrollment = parsed;
        if !enrollment.session_id.is_empty() {
            let theirs = enrollment.session_id.clone();
            let labels = &mut enrollment.labels;
            labels.entry(FOREIGN_ID.to_owned()).or_insert(theirs);
        }
        enrollment.session_id = id.to_string();
        let mut whose = Whose::foreign(id, &enrollment);
        let boot = if whose.boot_id == self.proc.host().boot_id {
            rows::boot_of(&clock_pair(self.proc.host()), wall)
        } else {
            whose.info.clock.boot
        };
        whose.info.clock = ClockPair { boot, wall };
        let known = Known {
            process: whose.workload.unwrap_or(whose.root),
            clock: whose.info.clock,
        };
        let (first, trace) = lines::first_comm(trace, &known).map_err(|e| e.to_string())?;
        Ok(Candidate {
            id,
            enrollment,
            whose,
            known,
            trace,
            first,
        })
    }

    fn finish(&self, candidate: Candidate, crash: Crash, pair: &Pair) -> Told {
        let rows = Rows {
            first: candidate.first.clone(),
            ..Rows::default()
        };
        let comm = candidate.whose.comm.clone().unwrap_or_default();
        if let Some(why) = judge_rows(&comm, &rows) {
            let why = format!("{why}; left where it is");
            return (Outcome::Quarantined, Some(Gate::Alien), why);
        }
        let import = Import {
            store: self.store,
            host: self.proc.host(),
            own: &self.own,
            options: self.options,
            crash,
        };
        import.run(candidate, pair)
    }

    /// Removes a pair that another boot has left in memory.
    fn discard(&self, place: &Place, pair: &Pair, why: String) -> Told {
        if !self.options.dry_run {
            // The enrollment last: while it is there, the next recovery knows what this is.
            for name in [&pair.trace, &pair.enrollment].into_iter().flatten() {
                if let Err(error) = rustix::fs::unlinkat(place, name.as_slice(), AtFlags::empty())
                    && error != rustix::io::Errno::NOENT
                {
                    let name = String::from_utf8_lossy(name);
                    let why = format!("cannot remove {name}: {error}");
                    return (Outcome::Failed, Some(Gate::Boot), why);
                }
            }
        }
        (Outcome::Stale, Some(Gate::Boot), why)
    }
}
