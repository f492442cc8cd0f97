//! Writes another recorder's rows down as a session of ours.
//!
//! One that is killed over it leaves a session without an end that says what it is; the next one goes
//! on behind the rows that are there. So it can be begun any number of times, and ends once.

use std::time::Instant;

use jiff::Timestamp;

use super::{Candidate, Lines, Pair};
use crate::{
    procfs::host::HostFacts,
    session::{
        Store,
        enrollment::Enrollment,
        journal::{
            info::{ObserverInfo, SessionInfo},
            notes::Recovered,
            record::{Body, Note, ObserverEnding, Pinned, Record, TargetBody},
        },
        recorder::{self, EndInfo, Recorder, SessionError},
        recover::{
            Options, Outcome, Told,
            finish::{Closer, foretold_outcome, hand_over, note},
            gates::{Crash, Gate},
            reading::Reading,
            survey, told,
            whose::{Whose, start_ns},
        },
        redact::Redactor,
        status::{self, Status},
        store::SessionClaim,
        summary::Summarizer,
    },
    units::{BootNs, Comm, ProcKey, Process, Tgid},
};

/// Takes over one pair.
pub(super) struct Import<'a> {
    pub(super) store: Option<&'a Store>,
    pub(super) host: &'a HostFacts,
    pub(super) own: &'a ObserverInfo,
    pub(super) options: &'a Options,
    pub(super) crash: Crash,
}

/// A session being filled, and the rows it has already.
struct Begun {
    recorder: Recorder<Summarizer>,
    rows: usize,
    enrolled: bool,
}

impl Import<'_> {
    pub(super) fn run(&self, candidate: Candidate, pair: &Pair) -> Told {
        let Some(store) = self.store else {
            return self.foretold();
        };
        match store.existing_session(&candidate.id) {
            Ok(dir) => {
                let examined = status::examine(&dir);
                if matches!(examined.status, Status::Ended(_)) && survey::is_settled(&dir) {
                    return (Outcome::Whole, None, String::new());
                }
                if examined.held {
                    return taken();
                }
            }
            Err(_) if listed(store, &candidate) => {
                return (Outcome::Whole, None, String::new());
            }
            Err(_) => {}
        }
        if self.options.dry_run {
            return self.foretold();
        }
        match self.begin(store, &candidate, pair) {
            Ok(Some(begun)) => self.fill(store, begun, candidate),
            Ok(None) => taken(),
            Err(Stopped::Done(told)) => told,
            Err(Stopped::Failed(error)) => (Outcome::Failed, None, told(&error)),
        }
    }

    fn foretold(&self) -> Told {
        let (outcome, gate) = foretold_outcome(self.crash);
        (outcome, gate, self.reason(0, 0))
    }

    fn reason(&self, bad: u64, torn: u64) -> String {
        let mut reason = match self.crash {
            Crash::Observer => "another recorder's files, and its target is dead".to_owned(),
            Crash::HostReboot => "another recorder's files, of another boot".to_owned(),
        };
        if bad > 0 {
            reason = format!("{reason}; {bad} lines are no rows");
        }
        if torn > 0 {
            reason = format!("{reason}; {torn} bytes of a line cut off");
        }
        reason
    }

    /// Makes the session, or goes on with one that a killed recoverer has left. `None`: another one has
    /// it.
    fn begin(
        &self,
        store: &Store,
        candidate: &Candidate,
        pair: &Pair,
    ) -> Result<Option<Begun>, Stopped> {
        let info = SessionInfo {
            observer: self.own.clone(),
            ..candidate.whose.info.clone()
        };
        let options = || recorder::Options {
            start_deadline: self.options.patience,
            ..recorder::Options::default()
        };
        let fold = Summarizer::new(info.clone());
        let begun = match Recorder::create_with(store, info.clone(), fold, options()) {
            Ok(recorder) => Begun {
                recorder,
                rows: 0,
                enrolled: false,
            },
            Err(SessionError::Exists { .. }) => {
                let claimed = match store.claim(&candidate.id) {
                    Ok(SessionClaim::Held(claimed)) => claimed,
                    // An unborn one counts as existing and cannot be claimed yet.
                    Ok(SessionClaim::Taken) | Err(_) => return Ok(None),
                };
                let failed = |error| Stopped::Done((Outcome::Failed, None, told(&error)));
                if let Status::Ended(_) = status::examine(&claimed.dir).status {
                    let told = self.closer(store, &mut ()).derive(claimed);
                    return Err(Stopped::Done(told));
                }
                let whose = Whose {
                    info: info.clone(),
                    ..candidate.whose.clone()
                };
                let reading = Reading::of(&claimed.dir, &whose).map_err(failed)?;
                let rows = reading.imported;
                let Reading { fold, standing, .. } = reading;
                let recorder = Recorder::reopen(store, claimed, &standing, info, fold, options())?;
                Begun {
                    recorder,
                    rows: usize::try_from(rows.unwrap_or(0)).unwrap_or(usize::MAX),
                    enrolled: rows.is_some(),
                }
            }
            Err(error) => return Err(error.into()),
        };
        if !begun.enrolled {
            introduce(&begun.recorder, candidate, pair);
        }
        Ok(Some(begun))
    }

    fn fill(&self, store: &Store, begun: Begun, candidate: Candidate) -> Told {
        let Begun { recorder, rows, .. } = begun;
        let deadline = Instant::now() + self.options.patience;
        let Candidate {
            id, known, trace, ..
        } = candidate;
        let mut lines = Lines::new(&trace, &known);
        let failed = |why: String| (Outcome::Failed, None, why);
        if let Err(why) = hand_over(&recorder, lines.by_ref().skip(rows), deadline) {
            return failed(why);
        }
        if let Some(error) = lines.error.take() {
            return failed(format!("its trace cannot be read: {error}"));
        }
        let last = lines.last_t();
        let found = Recovered {
            host_reboot: self.crash == Crash::HostReboot,
            at: format!("{:.6}", Timestamp::now()),
            boot_id: self.host.boot_id.clone(),
            bad_lines: lines.bad,
            torn_bytes: lines.torn,
            ..Recovered::default()
        };
        recorder.accept(note(last, Note::recovered(&found)));
        let end = EndInfo {
            ending: ObserverEnding::Crashed,
            cause: "another recorder's files had no end".to_owned(),
            t: last,
        };
        let report = recorder.finish(end, deadline);
        let (outcome, gate) = foretold_outcome(self.crash);
        match self.closer(store, &mut ()).settled(&id, &report) {
            Ok(_) => (outcome, gate, self.reason(lines.bad, lines.torn)),
            Err(why) => failed(why),
        }
    }

    fn closer<'b>(&'b self, store: &'b Store, nothing: &'b mut ()) -> Closer<'b> {
        Closer {
            store,
            host: self.host,
            own: self.own,
            patience: self.options.patience,
            unattended: nothing,
        }
    }
}

/// It was taken over before, and the session has been removed since.
fn listed(store: &Store, candidate: &Candidate) -> bool {
    let id = candidate.id.as_str();
    let rows = crate::session::index::read(store);
    rows.is_ok_and(|(rows, _)| rows.iter().any(|row| row["session_id"] == id))
}

/// What comes before the rows.
fn introduce(recorder: &Recorder<Summarizer>, candidate: &Candidate, pair: &Pair) {
    let name = |name: &Option<Vec<u8>>| {
        String::from_utf8_lossy(name.as_deref().unwrap_or_default()).into_owned()
    };
    let t = candidate.known.clock.boot;
    let enrollment = &candidate.enrollment;
    // The note last: where it is, all of this is.
    let mut records: Vec<Record> = pin(enrollment, candidate)
        .map(|body| Record { t, body })
        .into_iter()
        .collect();
    let imported = Note::imported(&name(&pair.trace), &name(&pair.enrollment));
    records.push(note(t, imported));
    let _first = recorder.enroll(enrollment.clone());
    recorder.accept_all(&mut records);
}

/// Why an import ends before it has begun.
enum Stopped {
    Done(Told),
    Failed(SessionError),
}

impl From<SessionError> for Stopped {
    fn from(error: SessionError) -> Self {
        Self::Failed(error)
    }
}

fn taken() -> Told {
    let why = "somebody else is taking it over".to_owned();
    (Outcome::Running, Some(Gate::Lease), why)
}

/// The pin, where the process is known well enough to be named.
fn pin(enrollment: &Enrollment, candidate: &Candidate) -> Option<Body> {
    let start = start_ns(enrollment.starttime_ticks?, candidate.whose.info.tick_rule);
    let process = Process {
        key: ProcKey {
            init: enrollment.pid,
            start: BootNs(start.0),
        },
        tgid: Tgid(enrollment.pid),
        inner: enrollment.pid,
    };
    let mut cmdline = enrollment.cmdline.clone();
    let redacted = Redactor::of(&candidate.whose.info).cmdline(&mut cmdline);
    Some(Body::Target(Box::new(TargetBody::Pinned(Pinned {
        process,
        rule: "enrollment".to_owned(),
        skipped: Vec::new(),
        comm: Comm::from_bytes(&enrollment.comm),
        cmdline,
        exe: enrollment.exe.clone(),
        pin_latency_ns: None,
        redacted,
    }))))
}
