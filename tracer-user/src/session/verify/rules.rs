//! The invariants of a session's journals, checked record by record. Pure.
//!
//! A [`Finding`] that is *broken* cannot come about by anything tracer does, a crash at any moment
//! included: somebody or something else has changed the files, or tracer has a fault. What a crash
//! does leave behind is *noted*.

use std::collections::HashSet;

use super::{accounts::AccountRules, anomalies::AnomalyRules};
use crate::{
    event::EventKind,
    session::{
        SessionId,
        epochs::EpochStats,
        journal::{
            info::SessionInfo,
            notes::topic,
            reader::{BadLine, Entry},
            record::{Body, Counts, Note},
        },
        store::journal_name,
    },
    units::ProcKey,
};

/// Something about a session that a reader should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// An invariant does not hold.
    pub broken: bool,
    /// In which file.
    pub file: String,
    /// What there is, in one line.
    pub what: String,
}

impl Finding {
    pub(super) fn broken(file: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            broken: true,
            file: file.into(),
            what: what.into(),
        }
    }

    pub(super) fn noted(file: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            broken: false,
            ..Self::broken(file, what)
        }
    }
}

/// Checks the records of one session in their order.
#[derive(Debug)]
pub struct Rules {
    id: SessionId,
    findings: Vec<Finding>,
    counts: Counts,
    first: Option<SessionInfo>,
    /// The latest rules that an observer of it derived files by.
    derived_by: u32,
    epoch: u32,
    /// Records of the epoch at hand.
    in_epoch: u64,
    /// The epoch with the terminal record.
    ended: Option<u32>,
    /// Records behind the terminal one that may not be there.
    late: u64,
    last_row: Option<String>,
    rows_back: u64,
    born: HashSet<ProcKey>,
    gone: HashSet<ProcKey>,
    deaths_twice: u64,
    attached: Vec<Note>,
    anomalies: AnomalyRules,
    accounts: AccountRules,
}

/// What the rules found out besides, for rules about other files.
#[derive(Debug, Clone, PartialEq)]
pub struct Passed {
    /// What is wrong or worth a note.
    pub findings: Vec<Finding>,
    /// The latest rules that an observer of it derived files by.
    pub derived_by: u32,
    /// The first `session` record.
    pub session: Option<SessionInfo>,
    /// There is a terminal record.
    pub ended: bool,
    /// Processes that began, ended, and live, by the journal alone.
    pub processes: (u64, u64, u64),
    /// Records of all epochs.
    pub records: u64,
    /// Attached files, as their notes have them.
    pub attached: Vec<Note>,
}

impl Rules {
    /// For the session of this id.
    #[must_use]
    pub fn new(id: SessionId) -> Self {
        Self {
            id,
            findings: Vec::new(),
            counts: Counts::default(),
            first: None,
            derived_by: 1,
            epoch: 0,
            in_epoch: 0,
            ended: None,
            late: 0,
            last_row: None,
            rows_back: 0,
            born: HashSet::new(),
            gone: HashSet::new(),
            deaths_twice: 0,
            attached: Vec::new(),
            anomalies: AnomalyRules::default(),
            accounts: AccountRules::default(),
        }
    }

    /// The journal of this epoch comes next; it should be `expected`.
    pub fn epoch(&mut self, epoch: u32, expected: u32) {
        if epoch != expected {
            let what = format!("there is no {} before it", journal_name(expected));
            self.broken(epoch, what);
        }
        if let Some(ended) = self.ended {
            let what = format!("{} has ended the session", journal_name(ended));
            self.broken(epoch, what);
        }
        self.epoch = epoch;
        self.in_epoch = 0;
    }

    /// Takes the next record of the journal at hand.
    pub fn entry(&mut self, entry: &Entry) {
        let is_first = self.in_epoch == 0;
        self.in_epoch += 1;
        match &entry.body {
            Body::Session(info) => self.session(info, is_first),
            _ if is_first => self.broken(self.epoch, "it does not begin with a session record"),
            _ => {}
        }
        self.order(&entry.body);
        if let Body::Event(event) = &entry.body {
            self.accounts.event(event);
        }
        if let Body::End(end) = &entry.body
            && self.ended.is_none()
            && end.counts != self.counts
        {
            let what = format!(
                "the end record counts {}; there are {}",
                in_words(&end.counts),
                in_words(&self.counts)
            );
            self.broken(self.epoch, what);
        }
        if let (Body::End(end), None) = (&entry.body, self.ended) {
            self.anomalies.end(end);
        }
        if entry.body.is_terminal() && self.ended.is_none() {
            self.ended = Some(self.epoch);
        } else if self.ended.is_some() && !matches!(entry.body, Body::Note(_)) {
            // A note may say what came too late to change the ending.
            self.late += 1;
        }
        self.counts.add(&entry.body);
    }

    fn session(&mut self, info: &SessionInfo, is_first: bool) {
        let epoch = self.epoch;
        if !is_first {
            self.broken(epoch, "there is a second session record");
        }
        self.derived_by = self.derived_by.max(info.observer.rules);
        if info.session_id != self.id {
            self.broken(epoch, format!("it is of session {}", info.session_id));
        }
        if info.epoch != epoch {
            self.broken(epoch, format!("it says that it is epoch {}", info.epoch));
        }
        let Some(first) = &self.first else {
            self.first = Some(info.clone());
            return;
        };
        let changed = [
            (
                "root",
                first.root.pid != info.root.pid
                    || first.root.starttime_ticks != info.root.starttime_ticks,
            ),
            ("command", first.command != info.command),
            ("labels", first.labels != info.labels),
            ("uid", first.uid != info.uid),
        ];
        for (what, _) in changed.into_iter().filter(|(_, changed)| *changed) {
            self.broken(epoch, format!("its {what} is not that of the first epoch"));
        }
    }

    /// Rules about the order of records of one kind.
    fn order(&mut self, body: &Body) {
        match body {
            Body::Event(EventKind::Fork(fork)) => {
                // At an attach a process may be found and reported: it is one process.
                self.born.insert(fork.child.key);
            }
            Body::Event(EventKind::Exit(exit)) => {
                self.deaths_twice += u64::from(!self.gone.insert(exit.process.key));
            }
            Body::Snapshot { row, .. } => {
                let back = self
                    .last_row
                    .as_ref()
                    .is_some_and(|last| *last >= row.captured_at);
                self.rows_back += u64::from(back);
                self.last_row = Some(row.captured_at.clone());
            }
            Body::Anomaly(anomaly) => self.anomalies.entry(anomaly),
            Body::Note(note) if note.topic == topic::ATTACHMENT => {
                self.attached.push((**note).clone());
            }
            _ => {}
        }
    }

    fn broken(&mut self, epoch: u32, what: impl Into<String>) {
        self.findings
            .push(Finding::broken(journal_name(epoch), what));
    }

    /// The journal at hand was read to its end, and this is what was met. `live`: somebody may still
    /// be writing it.
    pub fn epoch_ended(&mut self, EpochStats { epoch, stats }: EpochStats, live: bool) {
        if stats.bad_lines > 0 {
            let why = stats.first_bad.map_or("not a record", reason);
            let lines = if stats.bad_lines == 1 {
                "1 line does".to_owned()
            } else {
                format!("{} lines do", stats.bad_lines)
            };
            self.broken(epoch, format!("{lines} not count: {why}"));
        }
        if stats.missing > 0 {
            self.broken(
                epoch,
                format!("{} missing by their numbers", records(stats.missing)),
            );
        }
        if stats.later_ends > 0 {
            let what = format!("{} terminal records too many", stats.later_ends);
            self.broken(epoch, what);
        }
        let ended_here = self.ended == Some(epoch);
        match (stats.torn, ended_here) {
            (0, _) => {}
            (torn, true) => {
                self.broken(epoch, format!("{torn} bytes behind its end are no record"));
            }
            _ if live => {}
            (torn, false) => self.findings.push(Finding::noted(
                journal_name(epoch),
                format!("its last {torn} bytes are half a record: its observer was killed in it"),
            )),
        }
        if stats.records == 0 && !live {
            // An observer that died before its first record was whole.
            self.findings
                .push(Finding::noted(journal_name(epoch), "it holds no record"));
        }
    }

    /// All journals were read.
    #[must_use]
    pub fn finish(mut self) -> Passed {
        let last = self.epoch;
        if self.late > 0 {
            let what = format!("{} behind the terminal one", records(self.late));
            self.broken(last, what);
        }
        if self.rows_back > 0 {
            let what = format!(
                "captured_at does not go forward in {} snapshots",
                self.rows_back
            );
            self.broken(last, what);
        }
        if self.deaths_twice > 0 {
            let what = format!("{} processes end twice", self.deaths_twice);
            self.broken(last, what);
        }
        for what in self.accounts.finish() {
            self.broken(last, what);
        }
        // Where records were left out, half of one may be missing.
        if self.counts.dropped == 0 {
            for what in std::mem::take(&mut self.anomalies).finish() {
                self.broken(last, what);
            }
        }
        let alive = self.born.difference(&self.gone).count() as u64;
        Passed {
            findings: self.findings,
            session: self.first,
            derived_by: self.derived_by,
            ended: self.ended.is_some(),
            processes: (self.born.len() as u64, self.gone.len() as u64, alive),
            records: self.counts.records,
            attached: self.attached,
        }
    }
}

fn records(count: u64) -> String {
    match count {
        1 => "1 record".to_owned(),
        n => format!("{n} records"),
    }
}

fn reason(bad: BadLine) -> &'static str {
    match bad {
        BadLine::Form => "not of the form of a record",
        BadLine::Crc => "wrong checksum",
        BadLine::Json => "right checksum, and no JSON",
        BadLine::TooLong => "too long",
        BadLine::Repeated => "a number that was there before",
    }
}

fn in_words(counts: &Counts) -> String {
    let Counts {
        records,
        forks,
        execs,
        exits,
        signals,
        ooms,
        accounts,
        snapshots,
        ticks,
        anomalies,
        lost,
        dropped,
    } = counts;
    format!(
        "{records} records ({forks} fork, {execs} exec, {exits} exit, {signals} signal, {ooms} oom, \
         {accounts} account, {snapshots} snapshot, {ticks} tick, {anomalies} anomaly, {lost} lost, {dropped} dropped)"
    )
}
