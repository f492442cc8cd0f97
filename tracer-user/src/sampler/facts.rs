//! A reading from what the kernel side wrote down, and what has to be added to it.
//!
//! Nearly all of a row is in the [`KernelRow`] itself. The rest is learned from `/proc` rarely, and used
//! for many rows: the names of the functions that processes wait in ([`WaitNames`]), the cgroup that many
//! share, whether the kernel's badness is what we make of it ([`OomScores`]). A file is only ever read of a
//! process that has been shown, after its directory was opened, to be the one that the row is of.

use std::{cell::OnceCell, collections::HashMap};

use super::{
    badness::{Machine, Weight},
    disk_sleep::{AWAKE, DISK_SLEEP_NAMED, DiskSleep, named},
    reading::{Counted, Field, Living, Masks, Reader, Reading, no_value},
    switches::Switches,
};
use crate::{
    procfs::{ProcDir, ProcRoot, ReadEnd, limits::LimitValue, stat::State},
    snapshot::kernel::{KernelRow, OomFacts, STACK_DEPTH},
    units::{Tgid, Ticks},
};

/// Where rows come from that are not read from `/proc`.
pub trait KernelRows {
    /// Replaces `rows` by one for each tracked process that is well alive. False when there are none
    /// today, so that all is to be read from `/proc`.
    fn read(&mut self, rows: &mut Vec<KernelRow>) -> bool;

    /// Called now and then while many processes are read from `/proc`, which takes long.
    fn breathe(&mut self) {}
}

/// There is no kernel side: all is read from `/proc`.
pub(super) struct FilesOnly;

impl KernelRows for FilesOnly {
    fn read(&mut self, _rows: &mut Vec<KernelRow>) -> bool {
        false
    }
}

/// Remembers what rows have in common.
#[derive(Debug, Default)]
pub(super) struct Completer {
    names: WaitNames,
    scores: OomScores,
}

impl Completer {
    /// Begins a tick.
    pub(super) fn begin(&mut self) {
        self.scores.is_audit_due = true;
    }

    /// Makes a reading of a row; `start` is its start time in ticks.
    pub(super) fn complete<'reader>(
        &mut self,
        row: &KernelRow,
        start: Ticks,
        reader: &mut Reader,
    ) -> Reading<'reader> {
        let page_kb = reader.root().host().page_size / 1024;
        let state = State::from_letter(row.state);
        let files = Files::of(row.tgid, start);
        let mut oom_score_adj = Ok(row.oom.adj.into());
        let oom_score = self.oom_score(row, &files, reader, &mut oom_score_adj);
        let living = Living {
            vm_rss_kb: Ok(row.rss_pages * page_kb),
            vm_hwm_kb: Ok(row.hwm_pages * page_kb),
            fd_count: match row.fd_count {
                Some(count) => Ok(count),
                None => files.with(reader, Reader::read_fd_count),
            },
            oom_score,
            wchan: match (state, self.names.of(row)) {
                (State::Running, _) => Ok(String::new()),
                (_, Some(name)) => Ok(name.to_owned()),
                (_, None) => files.with(reader, |reader, dir| {
                    reader.if_slow(|_| self.names.learn(row, dir))
                }),
            },
            net_established: match row.net_established {
                Some(count) => Ok(count),
                None => files.with(reader, Reader::read_established),
            },
            cgroup: reader.cgroups_of(row.cgroups, |root| files.open(root)?.cgroup()),
        };
        Reading {
            start,
            ppid: row.ppid,
            comm: row.comm,
            state,
            threads: row.threads.into(),
            cpu_ns: row.cpu_ns,
            masks: Masks {
                pending: Some(row.pending),
                blocked: Some(row.blocked),
                caught: Some(row.caught),
            },
            living,
            fd_soft_limit: Ok(LimitValue::from_rlim(row.fd_soft_limit).or_minus_one()),
            switches: Ok(Counted::Whole(Switches {
                voluntary: row.voluntary,
                involuntary: row.involuntary,
            })),
            disk_sleep: Ok(self.disk_sleep(row, state, &files, reader)),
            oom_score_adj,
            io: row.io.ok_or_else(|| {
                no_value("this kernel does not count it (CONFIG_TASK_IO_ACCOUNTING)")
            }),
        }
    }

    fn oom_score(
        &mut self,
        row: &KernelRow,
        files: &Files,
        reader: &mut Reader,
        adj: &mut Field<i64>,
    ) -> Field<i64> {
        let machine = reader.machine();
        if let Some(score) = self.scores.of(&machine, &row.oom) {
            return Ok(score);
        }
        // What the file says is of another moment than the row.
        self.scores.learn(&machine, &row.oom, || {
            files.with(reader, |reader, dir| {
                let score = reader.if_slow(|_| dir.oom_score())?;
                reader.of_one_moment(dir, weight(&row.oom), score, adj)
            })
        })
    }

    fn disk_sleep(
        &self,
        row: &KernelRow,
        state: State,
        files: &Files,
        reader: &mut Reader,
    ) -> DiskSleep {
        let threads = row.disk_sleep.len() as u64;
        if threads == 0 {
            let wchan = Ok(Vec::new());
            return DiskSleep { threads, wchan };
        }
        if let (1, State::DiskSleep, Some(name)) = (threads, state, self.names.of(row)) {
            let wchan = Ok(vec![name.to_owned()]);
            return DiskSleep { threads, wchan };
        }
        let asleep = row.disk_sleep.iter().take(DISK_SLEEP_NAMED).copied();
        let wchan = files.with(reader, |reader, dir| {
            named(asleep, dir, reader.is_slow_turn).wchan
        });
        DiskSleep { threads, wchan }
    }
}

/// The files of a process, opened when the first is needed.
struct Files {
    tgid: Tgid,
    start: Ticks,
    dir: OnceCell<ProcDir>,
}

impl Files {
    fn of(tgid: Tgid, start: Ticks) -> Self {
        let dir = OnceCell::new();
        Self { tgid, start, dir }
    }

    fn open(&self, root: &ProcRoot) -> Field<&ProcDir> {
        if let Some(dir) = self.dir.get() {
            return Ok(dir);
        }
        let dir = root.process(self.tgid)?;
        // From here on the directory stands for this process alone.
        if dir.stat()?.start_time != self.start {
            return Err(ReadEnd::Gone);
        }
        Ok(self.dir.get_or_init(|| dir))
    }

    fn with<T>(
        &self,
        reader: &mut Reader,
        read: impl FnOnce(&mut Reader, &ProcDir) -> Field<T>,
    ) -> Field<T> {
        self.open(reader.root())?;
        match self.dir.get() {
            Some(dir) => read(reader, dir),
            None => Err(ReadEnd::Gone),
        }
    }
}

/// Names of the functions that processes wait in, by the stacks that led there.
///
/// A name is learned from the file of a process whose stack is known, and only if the process has not
/// switched since that was taken: then it is the same sleep. Stacks are of the kernel's own code, which
/// does not move while it runs.
#[derive(Debug, Default)]
struct WaitNames(HashMap<[u64; STACK_DEPTH], String>);

/// Stacks remembered: far more than a tree has places to wait in.
const NAMES_MAX: usize = 4096;

impl WaitNames {
    fn of(&self, row: &KernelRow) -> Option<&str> {
        self.0.get(&row.stack).map(String::as_str)
    }

    fn learn(&mut self, row: &KernelRow, dir: &ProcDir) -> Field<String> {
        let name = dir.wchan()?;
        let is_known = row.stack[0] != 0 && !name.is_empty();
        let in_disk_sleep = State::from_letter(row.state) == State::DiskSleep;
        let is_same =
            (is_known || in_disk_sleep) && dir.status()?.voluntary == Some(row.leader_voluntary);
        if in_disk_sleep && !is_same {
            return Err(no_value(AWAKE));
        }
        if is_known && is_same {
            if self.0.len() >= NAMES_MAX {
                self.0.clear();
            }
            self.0.insert(row.stack, name.clone());
        }
        Ok(name)
    }
}

/// The kernel's badness of a process, computed as `proc_oom_score` of fs/proc/base.c does since 5.9, as
/// long as that agrees with what the kernel itself says: of the first processes of a session both are
/// looked at, and later of one a tick.
#[derive(Debug, Default)]
struct OomScores {
    agreed: u32,
    disagreed: u32,
    is_audit_due: bool,
}

/// Agreements before the formula is used.
const TRIALS: u32 = 4;
/// Disagreements before it is given up: a process may change between two looks.
const DOUBTS: u32 = 8;

impl OomScores {
    /// By the formula, if it is to be believed.
    fn of(&self, machine: &Machine, facts: &OomFacts) -> Option<i64> {
        let is_believed = self.agreed >= TRIALS && !self.is_audit_due;
        is_believed.then(|| compute(machine, facts))
    }

    /// As the kernel says it, which shows whether the formula is right.
    fn learn(
        &mut self,
        machine: &Machine,
        facts: &OomFacts,
        read: impl FnOnce() -> Field<i64>,
    ) -> Field<i64> {
        self.is_audit_due = false;
        let score = read()?;
        if score == compute(machine, facts) {
            self.agreed = self.agreed.saturating_add(1);
        } else {
            // Memory that has changed a little since is no doubt about the formula.
            let is_near = machine.explains(weight(facts), facts.adj.into(), score);
            self.disagreed += u32::from(!is_near);
            self.agreed = 0;
        }
        if self.disagreed >= DOUBTS {
            // Never to be believed again.
            self.is_audit_due = true;
            self.agreed = 0;
        }
        Ok(score)
    }
}

fn compute(machine: &Machine, facts: &OomFacts) -> i64 {
    if facts.is_spared {
        return 0;
    }
    machine.score(weight(facts), facts.adj.into())
}

fn weight(facts: &OomFacts) -> Weight {
    Weight {
        pages: facts.pages,
        page_tables: facts.page_tables,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anomaly::oom::Scale;

    #[test]
    fn it_is_believed_after_it_agreed_and_given_up_when_it_does_not() {
        let facts = OomFacts::default();
        let machine = Machine::of_pages(6_000_000, Scale::Shifted);
        let mut good = OomScores::default();
        for _ in 0..TRIALS {
            assert_eq!(good.of(&machine, &facts), None);
            assert_eq!(good.learn(&machine, &facts, || Ok(666)).unwrap(), 666);
        }
        assert_eq!(good.of(&machine, &facts), Some(666));
        good.is_audit_due = true;
        assert_eq!(good.of(&machine, &facts), None);
        good.learn(&machine, &facts, || Ok(700)).unwrap();
        assert_eq!(
            good.of(&machine, &facts),
            None,
            "one disagreement costs all trust"
        );
        for _ in 0..100 {
            good.learn(&machine, &facts, || Ok(667)).unwrap();
        }
        for _ in 0..TRIALS {
            good.learn(&machine, &facts, || Ok(666)).unwrap();
        }
        assert_eq!(good.of(&machine, &facts), Some(666), "growth is no doubt");
        let mut bad = OomScores::default();
        for _ in 0..100 {
            assert_eq!(bad.of(&machine, &facts), None);
            assert_eq!(bad.learn(&machine, &facts, || Ok(3)).unwrap(), 3);
        }
    }
}
