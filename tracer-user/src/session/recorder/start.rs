//! How a session begins: its directory, its journal, and the first record on disk.

use std::{collections::VecDeque, io, sync::Arc, time::Instant};

use super::{
    SessionError,
    owner::{Owner, Plan},
    shared::Shared,
};
use crate::session::{
    derive::Fold,
    journal::{
        encode::Encoder,
        record::{Body, Record},
        writer::{JournalFile, JournalWriter, create_journal},
    },
    store::journal_name,
};

impl<F: Fold> Owner<F> {
    /// Makes everything and writes the `session` record. Nothing is left when that fails.
    pub(super) fn open(
        shared: Arc<Shared<F::Output>>,
        plan: Plan,
        fold: F,
    ) -> Result<Self, SessionError> {
        let Plan {
            store,
            info,
            options,
        } = plan;
        let (id, epoch) = (info.session_id, info.epoch);
        // A lease belongs between these two: whoever sees the journal must find it taken.
        let dir = store.create_session(&id)?;
        let name = journal_name(epoch);
        let path = dir.path().join(&name);
        let error = |step, source| SessionError::Journal {
            step,
            path: path.clone(),
            source,
        };
        let file = create_journal(&dir, epoch).map_err(|e| error("create", e.into()))?;
        let mut file: Box<dyn JournalFile> = Box::new(file);
        if let Some(layer) = options.file_layer {
            file = layer(file);
        }
        let encoder = Encoder {
            tick_rule: info.tick_rule,
        };
        let mut writer = JournalWriter::new(file, encoder, options.first_seq);
        let t = info.clock.boot;
        writer.push(Record {
            t,
            body: Body::Session(Box::new(info)),
        });
        let mut owner = Self {
            shared,
            store,
            dir,
            epoch,
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
        owner.shared.lock().accepted = 1;
        match owner.write_first() {
            Ok(()) if !owner.shared.is_abandoned() => Ok(owner),
            result => {
                let _kept = owner.dir.remove(&name).map(|()| owner.store.discard(&id));
                Err(error(
                    "write",
                    result
                        .err()
                        .unwrap_or_else(|| io::ErrorKind::TimedOut.into()),
                ))
            }
        }
    }

    fn write_first(&mut self) -> io::Result<()> {
        while !self.writer.is_clear() {
            self.write_once()?;
        }
        self.writer.sync()?;
        self.shared.lock().durable = 1;
        self.dirty = false;
        Ok(())
    }
}
