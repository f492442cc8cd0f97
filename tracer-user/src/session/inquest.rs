//! The verdict on every process of a session, read back from its journals.
//!
//! What explains an end may stand behind it: losses are counted at ticks, and where a core went is
//! found out later. So the record is read twice, first for that and then process by process; memory is
//! that of the living, however many have ended.

use serde::Serialize;

use crate::{
    session::{
        dir::Dir,
        epochs::{Epochs, EpochsError},
        journal::record::Body,
        summary::evidence,
    },
    units::BootNs,
    verdict::{Casebook, Verdict, aftermath::Aftermath, judge, judge::End},
};

/// How one process ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Its pid.
    pub pid: u32,
    /// Its start in clock ticks after boot.
    pub starttime_ticks: u64,
    /// Its last name.
    pub comm: String,
    /// When it ended, ns on `CLOCK_BOOTTIME`.
    pub t_boot_ns: u64,
    /// How and why.
    pub verdict: Verdict,
}

/// Gives the verdict on every process that has ended, in the order of their ends, to `told`.
///
/// # Errors
/// [`EpochsError`].
pub fn inquest(dir: &Dir, mut told: impl FnMut(Finding)) -> Result<(), EpochsError> {
    let mut after = Aftermath::default();
    let mut info = None;
    walk(dir, |seq, t, body| {
        evidence::after(&mut after, seq, t, body);
        if let (None, Body::Session(session)) = (&info, body) {
            info = Some((session.tick_rule, session.observer.pid));
        }
    })?;
    let Some((rule, observer)) = info else {
        return Ok(());
    };
    let mut casebook = Casebook::knowing(after);
    casebook.observer(observer);
    walk(dir, |seq, t, body| {
        evidence::before(&mut casebook, seq, t, body);
        let Body::Event(event) = body else { return };
        let Some(dead) = casebook.take(seq, t, event, |start| rule.ticks(start)) else {
            return;
        };
        told(Finding {
            pid: dead.process.tgid.0,
            starttime_ticks: dead.starttime_ticks,
            comm: dead.comm.to_text(),
            t_boot_ns: t.0,
            verdict: judge(&dead.name(), End::Seen(&dead), &casebook.aftermath),
        });
    })
}

/// Goes through all records of all epochs.
fn walk(dir: &Dir, mut each: impl FnMut(u64, BootNs, &Body)) -> Result<(), EpochsError> {
    let mut epochs = Epochs::open(dir)?;
    while epochs.next_epoch()?.is_some() {
        while let Some(entry) = epochs.next_entry()? {
            each(entry.seq, entry.t, &entry.body);
        }
    }
    Ok(())
}
