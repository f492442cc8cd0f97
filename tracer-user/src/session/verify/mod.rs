//! Whether a session's files say what they must: every invariant of the journal, and that everything
//! derived from it is what it gives, byte for byte.
//!
//! Read-only, and without a lock: a session that runs is checked as far as it has come. Trusts
//! nothing it reads. [`rules`] decides; this module opens the files.

mod accounts;
mod anomalies;
mod files;
pub mod rules;

use self::rules::{Passed, Rules};
pub use self::{files::Rows, rules::Finding};
use crate::session::{
    SessionId, Store,
    derive::Fold,
    dir::Dir,
    epochs::{Epochs, EpochsError, session_info},
    status::{self, Status, told},
    store::{StoreError, journal_name},
    summary::{Summarizer, Summary},
};

/// What checking a session came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// `running`, `interrupted`, `ended` or `corrupt`.
    pub status: &'static str,
    /// What is broken, and what is worth a note; in the order it was found.
    pub findings: Vec<Finding>,
    /// Good records.
    pub records: u64,
    /// Journals.
    pub epochs: usize,
}

impl Verified {
    /// Every invariant holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.findings.iter().any(|finding| finding.broken)
    }
}

/// Checks a session.
#[must_use]
pub fn verify(store: &Store, id: &SessionId) -> Verified {
    verify_with(store, id, &Rows::read(store))
}

/// [`verify`] for many sessions: the index is read once.
#[must_use]
pub fn verify_with(store: &Store, id: &SessionId, rows: &Rows) -> Verified {
    let mut verified = Verified {
        status: "corrupt",
        findings: Vec::new(),
        records: 0,
        epochs: 0,
    };
    let dir = match store.existing_session(id) {
        Ok(dir) => dir,
        Err(error) => {
            verified.findings.push(Finding::broken(".", told(&error)));
            return verified;
        }
    };
    let examined = status::examine(&dir);
    verified.status = match &examined.status {
        Status::Running => "running",
        Status::Interrupted => "interrupted",
        Status::Ended(_) => "ended",
        Status::Corrupt(why) => {
            verified.findings.push(Finding::broken(".", why));
            "corrupt"
        }
    };
    let (passed, summary) = match read(&dir, id, examined.held) {
        Ok(read) => read,
        Err(error) => {
            // What makes it corrupt is said already.
            if verified.holds() {
                verified.findings.push(unreadable(&error));
            }
            return verified;
        }
    };
    verified.records = passed.records;
    verified.epochs = examined.last_epoch.map_or(0, |last| last as usize + 1);
    verified.findings.extend(passed.findings.iter().cloned());
    let findings = &mut verified.findings;
    files::check_names(&dir, examined.held, findings);
    files::check_enrollment(&dir, id, &passed, findings);
    files::check_attachments(&dir, &passed, findings);
    match (passed.ended, summary) {
        // Somebody is at it: what is derived may come any moment.
        _ if examined.held => {}
        (true, Some(summary)) => {
            count(&summary, &passed, findings);
            files::check_derived(&dir, &summary, passed.derived_by, rows, findings);
        }
        (true, None) => {}
        (false, _) => findings.push(Finding::noted(
            ".",
            "it has no end: its observer was interrupted, and `tracer recover` finishes it",
        )),
    }
    verified
}

fn unreadable(error: &EpochsError) -> Finding {
    let file = match error {
        EpochsError::Read { path, .. }
        | EpochsError::Store(
            StoreError::Io { path, .. }
            | StoreError::NotPlain { path }
            | StoreError::WrongOwner { path, .. },
        ) => path.file_name(),
        _ => None,
    };
    let file = file.map_or_else(|| ".".into(), |name| name.to_string_lossy());
    Finding::broken(file, told(error))
}

/// Reads all journals once: for the rules, and for the summary they give.
fn read(dir: &Dir, id: &SessionId, live: bool) -> Result<(Passed, Option<Summary>), EpochsError> {
    let mut fold = session_info(dir)?.map(Summarizer::new);
    let mut rules = Rules::new(*id);
    let mut epochs = Epochs::open(dir)?;
    let last = epochs.numbers().last().copied();
    let mut expected = 0;
    while let Some(number) = epochs.next_epoch()?.map(|epoch| epoch.number) {
        rules.epoch(number, expected);
        expected = number.saturating_add(1);
        while let Some(entry) = epochs.next_entry()? {
            rules.entry(&entry);
            if let Some(fold) = &mut fold {
                fold.apply(entry.seq, entry.t, &entry.body);
            }
        }
        if let Some(stats) = epochs.current_stats() {
            rules.epoch_ended(stats, live && Some(number) == last);
        }
    }
    Ok((rules.finish(), fold.map(Fold::finish)))
}

/// When nothing was lost, the summary's account and the journal's own must agree.
fn count(summary: &Summary, passed: &Passed, findings: &mut Vec<Finding>) {
    let account = &summary.completeness;
    let (born, gone, alive) = passed.processes;
    let agree = (account.forks, account.exits, account.alive) == (born, gone, alive);
    if account.status == "complete" && !(agree && born == gone + alive) {
        let what = format!(
            "it is called complete, with {} forks, {} exits, {} alive; its records give {born}, \
             {gone}, {alive}",
            account.forks, account.exits, account.alive
        );
        findings.push(Finding::broken(journal_name(0), what));
    }
}
