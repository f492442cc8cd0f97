//! What ended sessions have left behind and still lives: each session is read once, when it has ended.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{
    observe::error::chain,
    procfs::{ProcDir, ProcRoot},
    session::{
        SessionId, Store, left,
        status::{self, Status},
    },
    units::{Process, Tgid, Ticks},
    watch::{collect::LeftBy, decide::Who, notify::Say},
};

/// What has become of sessions, as `tracer sessions list` calls it.
const STATUSES: [&str; 4] = ["corrupt", "ended", "interrupted", "running"];

/// Whom the sessions of one store have left.
pub(super) struct LeftBehind<'a> {
    store: &'a Store,
    /// Sessions that have been read, or cannot be, and their status.
    done: HashMap<SessionId, &'static str>,
    left: HashMap<Who, LeftBy>,
    /// Sessions at the last look, by status.
    counts: BTreeMap<String, u64>,
}

impl<'a> LeftBehind<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self {
            store,
            done: HashMap::new(),
            left: HashMap::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Sessions at the last look, by status.
    pub(super) fn sessions(&self) -> &BTreeMap<String, u64> {
        &self.counts
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
        self.counts = STATUSES.map(|status| (status.to_owned(), 0)).into();
        for id in &ids {
            let status = match self.done.get(id) {
                Some(status) => status,
                None => self.first_look(id, proc, say),
            };
            *self.counts.entry(status.to_owned()).or_default() += 1;
        }
        if !ids.is_empty() {
            let there: HashSet<SessionId> = ids.into_iter().collect();
            self.done.retain(|id, _| there.contains(id));
        }
        self.left.retain(|who, _| may_live(proc, *who));
    }

    /// Reads a session that had not ended yet; what has become of it.
    fn first_look(&mut self, id: &SessionId, proc: &ProcRoot, say: &Say) -> &'static str {
        match left::left(self.store, id) {
            Ok(None) => self.status(id),
            Ok(Some(left)) => {
                self.done.insert(*id, "ended");
                self.take(*id, left, proc);
                "ended"
            }
            Err(error) => {
                self.done.insert(*id, "corrupt");
                say(&format!("what {id} left is not known: {}", chain(&error)));
                "corrupt"
            }
        }
    }

    fn status(&self, id: &SessionId) -> &'static str {
        let Ok(dir) = self.store.existing_session(id) else {
            return "corrupt";
        };
        match status::examine(&dir).status {
            Status::Running => "running",
            Status::Interrupted => "interrupted",
            Status::Ended(_) => "ended",
            Status::Corrupt(_) => "corrupt",
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
            if self.done.contains_key(&id) {
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

/// The process, unless it has ended: its number may be another's by the time its event is read.
pub(super) fn same(proc: &ProcRoot, process: Process) -> Option<ProcDir> {
    let dir = proc.process(process.tgid).ok()?;
    let start = process.key.start.to_ticks(proc.host().clk_tck);
    (dir.identity().ok()?.start == start).then_some(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{BootNs, ProcKey};

    #[test]
    fn what_has_the_number_of_one_that_ended_is_not_taken_for_it() {
        let proc = ProcRoot::open("/proc").unwrap();
        let pid = std::process::id();
        let own = proc.process(Tgid(pid)).unwrap();
        let clk_tck = proc.host().clk_tck;
        let ns = own.identity().unwrap().start.0 * (1_000_000_000 / clk_tck);
        let process = |ns| Process {
            key: ProcKey {
                init: pid,
                start: BootNs(ns),
            },
            tgid: Tgid(pid),
            inner: pid,
        };
        assert!(same(&proc, process(ns)).is_some());
        // Anywhere in the same tick; not in another.
        assert!(same(&proc, process(ns + 1_000_000_000 / clk_tck - 1)).is_some());
        assert!(same(&proc, process(ns + 1_000_000_000 / clk_tck)).is_none());
        assert!(same(&proc, process(ns - 1)).is_none());
        assert!(same(&proc, Process::default()).is_none());
    }
}
