//! The pins that dead observers have left: read for recovery, and removed when nobody needs them.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use rustix::{fs, io::Errno};

use super::{
    error::chain,
    pins,
    unattended::{self, UnattendedError},
};
use crate::{
    probe::{
        decode::DecodeUnits,
        pin::{self, Found, PinError, Reopened},
    },
    session::{
        SessionId, Store,
        journal::record::Record,
        recover::{self, Outcome, Report, Unattended},
        status::{self, Status},
        store::{ClaimedSession, StoreError},
    },
};

/// What the kernel goes on recording for the sessions of one store.
pub(super) struct Leftovers<'a> {
    store: &'a Store,
    /// `None` where there can be no pins.
    bpffs: Option<PathBuf>,
    units: DecodeUnits,
    held: HashMap<SessionId, Reopened>,
}

impl<'a> Leftovers<'a> {
    /// Those in the directory of `--bpffs`, or in the default one.
    pub(super) fn new(store: &'a Store, flag: Option<&Path>, units: DecodeUnits) -> Self {
        Self {
            store,
            // Where the default is refused, nobody has pinned there.
            bpffs: pins::place(flag).ok(),
            units,
            held: HashMap::new(),
        }
    }

    /// Removes the pins of sessions that are no more, or have ended: their observers were killed at
    /// the very beginning or the very end. Those of other stores, of interrupted sessions and of
    /// whoever lives stay.
    pub(super) fn sweep_into(&self, report: &mut Report) {
        let mut add = |name: &str, outcome, reason: String| {
            report.add(recover::Found {
                name: name.to_owned(),
                session: name.parse().ok(),
                outcome,
                gate: None,
                reason,
            });
        };
        match self.sweep() {
            Ok(swept) => {
                for session in swept {
                    let reason = "the kernel still traced for it; it has ended".to_owned();
                    add(&session, Outcome::Stale, reason);
                }
            }
            Err(error) => add("pins", Outcome::Failed, chain(&error)),
        }
    }

    /// Gives the sessions' ids.
    fn sweep(&self) -> Result<Vec<String>, PinError> {
        let mut swept = Vec::new();
        let Some(bpffs) = &self.bpffs else {
            return Ok(swept);
        };
        for found in pin::list(bpffs)? {
            if self.is_nobodys(&found) {
                match pin::remove(bpffs, &found.session) {
                    Ok(true) => swept.push(found.session),
                    // Somebody else was faster, or has taken them just now.
                    Ok(false) | Err(PinError::InUse { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(swept)
    }

    fn is_nobodys(&self, found: &Found) -> bool {
        let Ok(id) = found.session.parse::<SessionId>() else {
            // No name of ours.
            return false;
        };
        match &found.state {
            _ if found.in_use => false,
            // Whoever pinned was killed before he could say for whom.
            None => true,
            Some(state) => match self.owns(state) {
                Ok(true) => self.is_over(&id),
                Ok(false) => false,
                // The record is gone, and all that could be added to it.
                Err(errno) => errno == Errno::NOENT,
            },
        }
    }

    /// Whether this is the state directory of our store.
    fn owns(&self, state: &Path) -> Result<bool, Errno> {
        let theirs = fs::stat(state)?;
        let ours = fs::fstat(self.store.dir())?;
        Ok((theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino))
    }

    /// Whether a session has an end, or is not there.
    fn is_over(&self, id: &SessionId) -> bool {
        match self.store.existing_session(id) {
            Ok(dir) => matches!(status::examine(&dir).status, Status::Ended(_)),
            Err(StoreError::Io { source, .. }) => source == Errno::NOENT,
            Err(_) => false,
        }
    }
}

impl Unattended for Leftovers<'_> {
    fn records(&mut self, session: &ClaimedSession) -> Result<Option<Vec<Record>>, String> {
        let Some(bpffs) = &self.bpffs else {
            return Ok(None);
        };
        let id = session.id;
        // Held from an earlier try; two descriptors would be in each other's way.
        self.held.remove(&id);
        let read = unattended::unattended(bpffs, &id, &session.dir, self.units);
        let read = read.map_err(|error: UnattendedError| chain(&error))?;
        Ok(read.map(|read| {
            let (records, pins) = read.into_records();
            self.held.insert(id, pins);
            records
        }))
    }

    fn forget(&mut self, id: &SessionId) -> Result<(), String> {
        let removed = match (self.held.remove(id), &self.bpffs) {
            (Some(pins), _) => pins.remove(),
            (None, Some(bpffs)) => pin::remove(bpffs, id.as_str()).map(drop),
            (None, None) => Ok(()),
        };
        removed.map_err(|error| format!("its pins are left: {}", chain(&error)))
    }
}
