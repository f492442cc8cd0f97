//! How a session begins, or goes on: its directory, its lease, its journal, and the first record on
//! disk.

use std::{collections::VecDeque, io, path::Path, sync::Arc, time::Instant};

use super::{
    SessionError,
    owner::{Owner, Plan},
    shared::Shared,
};
use crate::session::{
    birth::{self, BirthError},
    crash::slot,
    derive::Fold,
    dir::Dir,
    id::SessionId,
    journal::{
        encode::Encoder,
        record::{Body, Counts, Record},
        writer::{JournalFile, JournalWriter, create_journal},
    },
    lease::{Holder, Lease},
    publish,
    store::{ClaimedSession, ENROLLMENT, SUMMARY, Store, journal_name},
};

/// Where the journal goes.
pub(super) enum Place {
    /// A session that is not there yet.
    New,
    /// The next epoch of one that is.
    Next(ClaimedSession, From),
}

/// What earlier epochs hold.
pub(super) struct From {
    /// `seq` of the record that comes next.
    pub(super) seq: u64,
    pub(super) counts: Counts,
}

impl<F: Fold> Owner<F> {
    /// Makes everything and writes the `session` record. Nothing of a new session is left when that
    /// fails, as far as the disk lets us.
    pub(super) fn open(
        shared: Arc<Shared<F::Output>>,
        plan: Plan,
        fold: F,
    ) -> Result<Self, SessionError> {
        let Plan {
            store,
            place,
            info,
            options,
        } = plan;
        let (id, epoch, is_new) = (info.session_id, info.epoch, matches!(place, Place::New));
        let (dir, lease, from) = occupy(place, &store, shared.path(), &id)?;
        let name = journal_name(info.epoch);
        let path = dir.path().join(&name);
        let error = |step, source| SessionError::Journal {
            step,
            path: path.clone(),
            source,
        };
        let file = match create_journal(&dir, info.epoch) {
            Ok(file) => file,
            Err(source) => {
                if is_new {
                    let _kept = birth::abandon(&store, &dir, &id);
                }
                return Err(error("create", source.into()));
            }
        };
        let mut file: Box<dyn JournalFile> = Box::new(file);
        if let Some(layer) = options.file_layer {
            file = layer(file);
        }
        let encoder = Encoder {
            tick_rule: info.tick_rule,
        };
        let mut writer = JournalWriter::new(file, encoder, from.seq).counting_on(from.counts);
        if is_new && let Some(tee) = &options.tee {
            tee.hold();
        }
        // For people; that the lock is held is all that matters.
        let _unsigned = lease.sign(&Holder::from(&info));
        writer.push(Record {
            t: info.clock.boot,
            body: Body::Session(Box::new(info)),
        });
        {
            let mut state = shared.lock();
            state.accepted = 1;
            state.enrolled = dir.has(ENROLLMENT);
        }
        let armed = lease.descriptor().ok();
        let armed = armed.and_then(|file| slot::arm(file, epoch, from.seq, options.boot_offset));
        if let Some(armed) = armed {
            shared.set_words(armed);
        }
        let mut owner = Self {
            shared,
            store,
            dir,
            lease,
            writer,
            fold: Some(fold),
            hand: VecDeque::new(),
            tee: options.tee,
            durability: options.durability,
            enrollment: None,
            enroll_again: None,
            retry: None,
            synced: Instant::now(),
            dirty: false,
            removed: false,
        };
        match owner.write_first(is_new.then_some(&id)) {
            Ok(()) => Ok(owner),
            Err(source) => {
                if is_new {
                    let _kept = birth::abandon(&owner.store, &owner.dir, &id);
                } else if !owner.writer.is_clear() || owner.shared.is_abandoned() {
                    // It says nothing that anyone was told of, and who tries again must not pile up such
                    // files.
                    let _kept = owner.dir.remove(&name);
                }
                // Another observer's session got the name first.
                if source.kind() == io::ErrorKind::AlreadyExists {
                    return Err(SessionError::Exists { path });
                }
                Err(error("write", source))
            }
        }
    }

    /// Puts the first record on disk and shows a new session to the world.
    fn write_first(&mut self, new: Option<&SessionId>) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        while !self.writer.is_clear() {
            if !self.write_if(&mut || !shared.is_abandoned())? {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        self.writer.sync()?;
        if shared.is_abandoned() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if let Some(id) = new {
            birth::bear(&self.store, id)?;
            if let Some(tee) = &self.tee {
                tee.release();
            }
        }
        self.shared.lock().durable = 1;
        self.dirty = false;
        Ok(())
    }
}

/// The directory that the journal goes into, its lease, and what is there already.
fn occupy(
    place: Place,
    store: &Store,
    path: &Path,
    id: &SessionId,
) -> Result<(Dir, Lease, From), SessionError> {
    match place {
        Place::New => {
            let (dir, lease) = birth::conceive(store, id).map_err(|error| match error {
                BirthError::Exists => SessionError::Exists {
                    path: path.to_path_buf(),
                },
                BirthError::Store(error) => error.into(),
                BirthError::Lease(error) => error.into(),
            })?;
            let from = From {
                seq: 0,
                counts: Counts::default(),
            };
            Ok((dir, lease, from))
        }
        Place::Next(ClaimedSession { dir, lease, .. }, from) => {
            // What an earlier observer left half done, and a summary that will soon be wrong. The
            // record itself does without either.
            let _kept = publish::sweep(&dir, &lease);
            let _kept = dir.remove(SUMMARY);
            Ok((dir, lease, from))
        }
    }
}
