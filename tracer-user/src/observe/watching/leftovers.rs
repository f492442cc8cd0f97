//! What ended sessions have left behind and still lives: each session is read once, when it has ended.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{
    observe::error::chain,
    procfs::ProcRoot,
    session::{
        SessionId, Store, left,
        status::{self, Status},
    },
    units::{Tgid, Ticks},
    watch::{collect::LeftBy, decide::Who, notify::Say},
};

/// Whom the sessions of one store have left.
pub(super) struct LeftBehind<'a> {
    store: &'a Store,
    /// Sessions that have been read, or cannot be.
    done: HashSet<SessionId>,
    left: HashMap<Who, LeftBy>,
    by_status: BTreeMap<String, u64>,
}

impl<'a> LeftBehind<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self {
            store,
            done: HashSet::new(),
            left: HashMap::new(),
            by_status: BTreeMap::new(),
        }
    }

    /// Whom they have left, as of the last look.
    pub(super) fn left(&self) -> &HashMap<Who, LeftBy> {
        &self.left
    }

    /// Looks whom they have left, as far as they live.
    pub(super) fn look(&mut self, proc: &ProcRoot, say: &Say) {
        let ids = self.store.session_ids().unwrap_or_else(|error| {
            say(&format!("sessions cannot be listed: {}", chain(&error)));
            Vec::new()
        });
        // All that have no end yet are looked at anyway.
        let mut open = BTreeMap::from([("running", 0), ("interrupted", 0), ("corrupt", 0)]);
        for id in &ids {
            if self.done.contains(id) {
                continue;
            }
            match left::left(self.store, id) {
                Ok(None) => *open.entry(self.status(id)).or_default() += 1,
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
        let open = open.into_iter();
        self.by_status = open
            .map(|(status, count)| (status.to_owned(), count))
            .collect();
        self.by_status
            .insert("ended".to_owned(), self.done.len() as u64);
        self.left.retain(|who, _| may_live(proc, *who));
    }

    fn status(&self, id: &SessionId) -> &'static str {
        let dir = self.store.existing_session(id);
        match dir.map(|dir| status::examine(&dir).status) {
            Ok(Status::Running) => "running",
            // Between two looks at it.
            Ok(Status::Interrupted | Status::Ended(_)) => "interrupted",
            Ok(Status::Corrupt(_)) | Err(_) => "corrupt",
        }
    }

    /// Which of these a session has on record that goes on.
    pub(super) fn on_record(
        &self,
        whos: &[Who],
        proc: &ProcRoot,
        say: &Say,
    ) -> HashMap<Who, String> {
        let mut found = HashMap::new();
        if whos.is_empty() {
            return found;
        }
        for id in self.store.session_ids().unwrap_or_default() {
            if self.done.contains(&id) {
                continue;
            }
            match left::living(self.store, &id) {
                Ok(living) if living.boot_id == proc.host().boot_id => {
                    for (pid, start) in living.processes {
                        let who = who(pid, start);
                        if whos.contains(&who) {
                            found.insert(who, id.to_string());
                        }
                    }
                }
                Ok(_) => {}
                Err(error) => say(&format!("who is in {id} is not known: {}", chain(&error))),
            }
        }
        found
    }

    /// How many sessions there are, by what has become of them, as of the last look.
    pub(super) fn by_status(&self) -> &BTreeMap<String, u64> {
        &self.by_status
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
