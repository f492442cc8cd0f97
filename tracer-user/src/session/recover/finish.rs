//! Ends a session in place of its observer, or makes what is missing of one that has ended.
//!
//! Only under the session's lease. The end is one more epoch: what the observer wrote is not touched.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    DERIVED, Outcome, Told, Unattended,
    gates::{Crash, Gate},
    reading::Reading,
    told,
    whose::Whose,
};
use crate::{
    procfs::host::HostFacts,
    session::{
        SessionId, Store,
        attach_file::attach_all,
        crash::words::LastWords,
        derive::Fold,
        epochs,
        journal::{
            info::{ClockPair, ObserverInfo, SessionInfo},
            notes::{Recovered, UNWATCHED},
            record::{Body, Gap, Note, ObserverEnding, Record},
        },
        lease, publish,
        recorder::{self, EndInfo, EndOutcome, FinishReport, Recorder, SessionError},
        redact::Redactor,
        settle::{self, FileFailure},
        store::ClaimedSession,
        summary::{Summarizer, Summary},
    },
    units::BootNs,
};

/// Why a session has no end of its own, where nobody could say more.
const SILENT: &str = "the observer was killed, or crashed without a word";
/// The same when the machine went down.
const REBOOTED: &str = "the machine was started anew while it was recorded";
/// How long what the kernel kept is asked for.
const PINS_PATIENCE: Duration = Duration::from_secs(2);
/// Between two tries.
const PINS_RETRY: Duration = Duration::from_millis(20);
/// Records handed over before it is waited until they are written.
pub(super) const BATCH: usize = 4096;

/// What ending a session takes.
pub(super) struct Closer<'a> {
    pub(super) store: &'a Store,
    pub(super) host: &'a HostFacts,
    pub(super) own: &'a ObserverInfo,
    pub(super) patience: Duration,
    pub(super) unattended: &'a mut dyn Unattended,
}

/// What ending it would come to.
pub(super) fn foretold(crash: Crash, reading: &Reading) -> Told {
    let (outcome, gate) = foretold_outcome(crash);
    (outcome, gate, reason(crash, &reading.damage()))
}

/// The outcome, and the gate that decided.
pub(super) fn foretold_outcome(crash: Crash) -> (Outcome, Option<Gate>) {
    match crash {
        Crash::Observer => (Outcome::Recovered, None),
        Crash::HostReboot => (Outcome::HostReboot, Some(Gate::Boot)),
    }
}

fn reason(crash: Crash, damage: &Recovered) -> String {
    let mut reason = match crash {
        Crash::Observer => "its observer and its target are dead, and it had no end".to_owned(),
        Crash::HostReboot => "it is of another boot, and had no end".to_owned(),
    };
    for (count, what) in [
        (damage.bad_lines, "damaged lines"),
        (damage.missing, "missing records"),
        (damage.torn_bytes, "bytes of a line cut off"),
    ] {
        if count > 0 {
            let _ = write!(reason, "; {count} {what}");
        }
    }
    reason
}

impl Closer<'_> {
    /// Ends a session that has no end.
    pub(super) fn finish(
        &mut self,
        claimed: ClaimedSession,
        crash: Crash,
        whose: &Whose,
        reading: Reading,
    ) -> Told {
        let id = claimed.id;
        let (kept, trouble) = match self.kept(&claimed, crash) {
            Ok(kept) => (kept, None),
            Err(why) => (None, Some(why)),
        };
        let damage = Recovered {
            kernel_went_on: kept.is_some(),
            host_reboot: crash == Crash::HostReboot,
            at: format!("{:.6}", Timestamp::now()),
            boot_id: self.host.boot_id.clone(),
            ..reading.damage()
        };
        let (outcome, gate, mut reason) = foretold(crash, &reading);
        let cause = said_by_itself(&claimed, &reading).unwrap_or(match crash {
            Crash::Observer => SILENT.to_owned(),
            Crash::HostReboot => REBOOTED.to_owned(),
        });
        let (last_t, again) = (reading.last_t, reading.recovered_before);
        let info = self.next_info(&whose.info, crash);
        let until = match crash {
            Crash::Observer => info.clock.boot,
            // The clock of then stopped with the machine, nobody knows when.
            Crash::HostReboot => last_t,
        };
        let recorder = match self.reopen(claimed, info, reading) {
            Ok(recorder) => recorder,
            Err(error) => return (Outcome::Failed, None, told(&error)),
        };
        let mut records = Vec::new();
        // Where the kernel went on, no event is missing.
        if !again && kept.is_none() {
            records.push(unwatched(last_t, until));
        }
        let mut kept = kept.unwrap_or_default();
        let redactor = Redactor::of(&whose.info);
        for record in &mut kept {
            redactor.record(record);
        }
        let end_t = kept.iter().map(|record| record.t).fold(last_t, BootNs::max);
        records.push(note(last_t, Note::recovered(&damage)));
        records.extend(kept);
        if let Some(why) = trouble {
            records.push(note(last_t, Note::unattended_lost(&why)));
        }
        let deadline = Instant::now() + self.patience;
        records.extend(
            self.attachments(&id, &whose.info, deadline)
                .into_iter()
                .map(|attached| note(last_t, attached)),
        );
        if let Err(why) = hand_over(&recorder, records.into_iter(), deadline) {
            return (Outcome::Failed, None, why);
        }
        let end = EndInfo {
            ending: ObserverEnding::Crashed,
            cause,
            t: end_t,
        };
        let report = recorder.finish(end, deadline);
        match self.settled(&id, &report) {
            Err(why) => (Outcome::Failed, gate, why),
            Ok(left) => {
                reason.push_str(&left);
                (outcome, gate, reason)
            }
        }
    }

    /// Copies what the caller wanted kept, as far as the observer had no time for it.
    fn attachments(&self, id: &SessionId, info: &SessionInfo, deadline: Instant) -> Vec<Note> {
        if info.attachments.is_empty() {
            return Vec::new();
        }
        match self.store.existing_session(id) {
            Ok(dir) => attach_all(&dir, &info.attachments, deadline),
            // Nothing can be put there; writing the end will say so.
            Err(_) => Vec::new(),
        }
    }

    /// What the kernel kept of a session. An observer that is killed gives up its lease a moment before
    /// its pins, or after: they are asked for again for a while.
    fn kept(
        &mut self,
        claimed: &ClaimedSession,
        crash: Crash,
    ) -> Result<Option<Vec<Record>>, String> {
        if crash == Crash::HostReboot {
            // What was in the kernel went with it.
            return Ok(None);
        }
        let until = Instant::now() + PINS_PATIENCE;
        loop {
            match self.unattended.records(claimed) {
                Err(_) if Instant::now() < until => std::thread::sleep(PINS_RETRY),
                other => return other,
            }
        }
    }

    /// Makes the derived files of a session that has ended.
    pub(super) fn derive(&mut self, claimed: ClaimedSession) -> Told {
        let ClaimedSession { id, dir, lease } = claimed;
        let failed = |why: String| (Outcome::Failed, None, why);
        let info = match epochs::session_info(&dir) {
            Ok(Some(info)) => info,
            Ok(None) => return failed("its session record is not readable".to_owned()),
            Err(error) => return failed(told(&error)),
        };
        let mut fold = Summarizer::new(info);
        if let Err(error) = epochs::replay(&dir, &mut fold) {
            return failed(told(&error));
        }
        let _kept = publish::sweep(&dir, &lease);
        let deadline = Instant::now() + self.patience;
        let summary = fold.finish();
        let failures = settle::write_all::<Summarizer>(self.store, &dir, None, &summary, deadline);
        drop(lease);
        if let Some(why) = missing(&failures) {
            return failed(why);
        }
        match self.unattended.forget(&id) {
            Ok(()) => (Outcome::Derived, None, DERIVED.to_owned()),
            Err(why) => failed(format!("{DERIVED}; {why}")),
        }
    }

    /// What the `session` record of the last epoch says.
    fn next_info(&self, first: &SessionInfo, crash: Crash) -> SessionInfo {
        SessionInfo {
            observer: self.own.clone(),
            clock: match crash {
                Crash::Observer => clock_pair(self.host),
                // The times are still those of the boot it ran on.
                Crash::HostReboot => first.clock,
            },
            ..first.clone()
        }
    }

    fn reopen(
        &self,
        claimed: ClaimedSession,
        info: SessionInfo,
        reading: Reading,
    ) -> Result<Recorder<Summarizer>, SessionError> {
        let Reading { fold, standing, .. } = reading;
        let options = recorder::Options {
            start_deadline: self.patience,
            ..recorder::Options::default()
        };
        Recorder::reopen(self.store, claimed, &standing, info, fold, options)
    }

    /// Whether an end is on disk with all that belongs to it; what is left undone otherwise.
    pub(super) fn settled(
        &mut self,
        id: &SessionId,
        report: &FinishReport<Summary>,
    ) -> Result<String, String> {
        match &report.end {
            EndOutcome::Durable | EndOutcome::Written => {}
            EndOutcome::NotWritten(why) => return Err(format!("its end was not written: {why}")),
            EndOutcome::Pending => return Err("its end was not written in time".to_owned()),
        }
        if report.timed_out {
            return Err("ended; what is made from its journal was not, in time".to_owned());
        }
        if let Some(why) = missing(&report.failures) {
            return Err(format!("ended; {why}"));
        }
        match self.unattended.forget(id) {
            Ok(()) => Ok(String::new()),
            Err(why) => Err(format!("ended; {why}")),
        }
    }
}

/// Hands over records no faster than they are written.
pub(super) fn hand_over(
    recorder: &Recorder<Summarizer>,
    records: impl Iterator<Item = Record>,
    deadline: Instant,
) -> Result<(), String> {
    let mut batch = Vec::with_capacity(BATCH);
    let mut records = records.fuse();
    loop {
        batch.extend(records.by_ref().take(BATCH));
        let last = batch.is_empty();
        let taken = recorder.accept_all(&mut batch);
        if taken.dropped + taken.late > 0 || !recorder.flush(deadline).complete {
            let why = recorder.notices().iter().map(ToString::to_string).next();
            let why = why.unwrap_or_else(|| "the disk does not answer".to_owned());
            return Err(format!(
                "its record could not be written: {why}; run it again"
            ));
        }
        if last {
            return Ok(());
        }
    }
}

fn missing(failures: &[FileFailure]) -> Option<String> {
    let failure = failures.first()?;
    Some(format!(
        "{} could not be written: {}",
        failure.file, failure.error
    ))
}

pub(super) fn unwatched(from: BootNs, until: BootNs) -> Record {
    let gap = Gap {
        reason: UNWATCHED.to_owned(),
        dropped: 0,
        first_t: from,
        last_t: until.max(from),
    };
    Record {
        t: gap.last_t,
        body: Body::Gap(Box::new(gap)),
    }
}

pub(super) fn note(t: BootNs, note: Note) -> Record {
    Record {
        t,
        body: Body::Note(Box::new(note)),
    }
}

/// Both clocks now.
pub(super) fn clock_pair(host: &HostFacts) -> ClockPair {
    let pair = host.read_clock_pair();
    ClockPair {
        boot: pair.boot,
        wall: Timestamp::from_microsecond(pair.wall_us).unwrap_or(Timestamp::UNIX_EPOCH),
    }
}

/// What the observer could still say of its crash, in the lease.
fn said_by_itself(claimed: &ClaimedSession, reading: &Reading) -> Option<String> {
    let lines = lease::read_lines(&claimed.dir).ok()?;
    let newest = lines.iter().rev().find_map(|line| LastWords::parse(line))?;
    let words = LastWords::of_epoch(lines.iter().map(Vec::as_slice), newest.epoch)?;
    // Who came after it and was killed in turn is the one to ask for, unless it only recovered.
    let last = words.epoch.saturating_add(1) == reading.standing.next_epoch;
    (last || reading.recovered_before).then(|| words.to_string())
}
