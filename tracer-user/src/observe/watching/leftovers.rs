//! What ended sessions have left behind and still lives: each session is read once, when it has ended.

use std::collections::{HashMap, HashSet};

use crate::{
    observe::error::chain,
    procfs::ProcRoot,
    session::{SessionId, Store, left},
    units::{Tgid, Ticks},
    watch::{collect::LeftBy, decide::Who, notify::Say},
};

/// Whom the sessions of one store have left.
pub(super) struct LeftBehind<'a> {
    store: &'a Store,
    /// Sessions that have been read, or cannot be.
    done: HashSet<SessionId>,
    left: HashMap<Who, LeftBy>,
}

impl<'a> LeftBehind<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self {
            store,
            done: HashSet::new(),
            left: HashMap::new(),
        }
    }

    /// Whom they have left, as far as they live.
    pub(super) fn look(&mut self, proc: &ProcRoot, say: &Say) -> &HashMap<Who, LeftBy> {
        let ids = self.store.session_ids().unwrap_or_else(|error| {
            say(&format!("sessions cannot be listed: {}", chain(&error)));
            Vec::new()
        });
        for id in &ids {
            if self.done.contains(id) {
                continue;
            }
            match left::left(self.store, id) {
                Ok(None) => {}
                Ok(Some(left)) => {
                    self.done.insert(*id);
                    self.take(*id, left, proc);
                }
                Err(error) => {
                    self.done.insert(*id);
                    say(&format!("what {id} left is not known: {}", chain(&error)));
                }
            }
        }
        if !ids.is_empty() {
            let there: HashSet<SessionId> = ids.into_iter().collect();
            self.done.retain(|id| there.contains(id));
        }
        self.left.retain(|who, _| may_live(proc, *who));
        &self.left
    }

    fn take(&mut self, id: SessionId, left: left::Left, proc: &ProcRoot) {
        // On another boot these are other processes.
        if left.boot_id != proc.host().boot_id {
            return;
        }
        for (pid, start) in left.processes {
            let left_by = LeftBy {
                session: id.to_string(),
                command: left.command.clone(),
                labels: left.labels.clone(),
            };
            self.left.insert(who(pid, start), left_by);
        }
    }
}

fn who(pid: Tgid, start: Ticks) -> Who {
    Who { pid, start }
}

/// Whether a process is there, or cannot be seen.
pub(super) fn may_live(proc: &ProcRoot, who: Who) -> bool {
    match proc.process(who.pid).and_then(|dir| dir.identity()) {
        Ok(found) => found.start == who.start,
        Err(crate::procfs::ReadEnd::Gone) => false,
        Err(_) => true,
    }
}
