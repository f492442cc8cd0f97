//! All that one row needs of one process, read from `/proc`.
//!
//! The order of the reads is the proof that they are worth something. The directory is opened once, so
//! all of them are of one process; `stat` comes last, so it shows that the process was still there,
//! still the one that was asked for, and had not begun to exit when the others were read: an exiting
//! process shows zeros for memory and descriptors that are no fact about it.
//!
//! What is remembered between rows is elsewhere. Nothing of another process is read, but the TCP tables
//! of its network namespace, each once a tick and only for a process that has sockets.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
};

use super::Subject;
use crate::procfs::{
    ProcDir, ProcRoot, ReadEnd, TaskSwitches,
    io::ProcIo,
    stat::{ProcStat, State},
    status::ProcStatus,
};

/// A value, or why there is none.
pub(super) type Field<T> = Result<T, ReadEnd>;

/// What was read of one process; a value for one row.
#[derive(Debug)]
pub(super) struct Reading<'reader> {
    pub(super) clk_tck: u64,
    pub(super) stat: ProcStat,
    pub(super) status: ProcStatus,
    pub(super) living: Living,
    pub(super) fd_soft_limit: Field<i64>,
    pub(super) switches: Field<&'reader [TaskSwitches]>,
    pub(super) oom_score_adj: Field<i64>,
    pub(super) io: Field<ProcIo>,
}

/// What the kernel releases as a task exits, long before the process is reaped.
#[derive(Debug)]
pub(super) struct Living {
    pub(super) vm_rss_kb: Field<u64>,
    pub(super) vm_hwm_kb: Field<u64>,
    pub(super) fd_count: Field<u64>,
    pub(super) oom_score: Field<i64>,
    pub(super) wchan: Field<String>,
    pub(super) net_established: Field<u64>,
}

impl Living {
    /// Nothing of it, for a reason.
    fn released(why: impl Fn() -> ReadEnd) -> Self {
        Self {
            vm_rss_kb: Err(why()),
            vm_hwm_kb: Err(why()),
            fd_count: Err(why()),
            oom_score: Err(why()),
            wchan: Err(why()),
            net_established: Err(why()),
        }
    }
}

/// Reads processes one after the other, with buffers that serve them all.
#[derive(Debug)]
pub(super) struct Reader {
    root: ProcRoot,
    tasks: Vec<TaskSwitches>,
    sockets: Vec<u64>,
    tables: NetTables,
}

impl Reader {
    pub(super) fn new(root: ProcRoot) -> Self {
        Self {
            root,
            tasks: Vec::new(),
            sockets: Vec::new(),
            tables: NetTables::default(),
        }
    }

    pub(super) fn root(&self) -> &ProcRoot {
        &self.root
    }

    /// Drops the TCP tables: they are those of another tick.
    pub(super) fn forget_tables(&mut self) {
        self.tables.forget();
    }

    /// Reads one process, if it is still the one that `subject` names.
    pub(super) fn read(&mut self, subject: &Subject) -> Result<Reading<'_>, ReadEnd> {
        let Some(expected) = subject.starttime_ticks else {
            return Err(no_value(
                "its start time is unknown, so it cannot be told from another one",
            ));
        };
        let dir = self.root.process(subject.tgid)?;
        let status = dir.status()?;
        let several = status.threads.is_some_and(|threads| threads > 1);
        // Memory, descriptors and waiting are those of the leader's task; when that has ended before
        // the other threads, any of them can say as much.
        let deputy = match status.state {
            Some(state) if state.has_ended() && several => dir.living_thread()?,
            _ => None,
        };
        let living = match &deputy {
            None => self.read_living(&dir, &status),
            Some(thread) => match thread.status() {
                Ok(status) => self.read_living(thread, &status),
                Err(_) => Living::released(exiting),
            },
        };
        let io = dir.io();
        let fd_soft_limit = dir
            .limits_by_number()
            .map(|limit| limit.soft.or_minus_one());
        let oom_score_adj = dir.oom_score_adj();
        let switches = self.read_switches(&dir, subject, &status, several);

        let stat = dir.stat()?;
        if stat.start_time != expected {
            return Err(ReadEnd::Gone);
        }
        let on_its_way_out = match &deputy {
            Some(thread) => thread.stat().map_or(true, |stat| stat.leader_exiting()),
            None => stat.leader_exiting(),
        };
        let living = match (on_its_way_out, stat.state.has_ended()) {
            (false, _) => living,
            (true, true) => Living::released(|| ReadEnd::Zombie),
            (true, false) => Living::released(exiting),
        };
        Ok(Reading {
            clk_tck: self.root.host().clk_tck,
            stat,
            status,
            living,
            fd_soft_limit,
            switches: switches.map(|()| self.tasks.as_slice()),
            oom_score_adj,
            io,
        })
    }

    fn read_living(&mut self, dir: &ProcDir, status: &ProcStatus) -> Living {
        if status.state.is_some_and(State::has_ended) {
            return Living::released(|| ReadEnd::Zombie);
        }
        let memory =
            |kb: Option<u64>| kb.ok_or_else(|| no_value("it has no memory map of its own"));
        Living {
            vm_rss_kb: memory(status.vm_rss_kb),
            vm_hwm_kb: memory(status.vm_hwm_kb),
            fd_count: dir.fd_count(),
            oom_score: dir.oom_score(),
            // A running task waits nowhere, and the kernel says so only after a look at its stack.
            wchan: match status.state {
                Some(State::Running) => Ok(String::new()),
                _ => dir.wchan(),
            },
            net_established: self.read_established(dir),
        }
    }

    /// Counts the established connections among the process's own sockets.
    fn read_established(&mut self, dir: &ProcDir) -> Field<u64> {
        dir.sockets(&mut self.sockets)?;
        if self.sockets.is_empty() {
            return Ok(0);
        }
        let established = self.tables.of(dir)?;
        let own = |inode: &&u64| established.binary_search(inode).is_ok();
        Ok(self.sockets.iter().filter(own).count() as u64)
    }

    fn read_switches(
        &mut self,
        dir: &ProcDir,
        subject: &Subject,
        status: &ProcStatus,
        several: bool,
    ) -> Field<()> {
        if several {
            return dir.tasks(&mut self.tasks);
        }
        // The only thread is the leader, and its file has been read.
        let (Some(voluntary), Some(involuntary)) = (status.voluntary, status.involuntary) else {
            return Err(no_value("no context switches in status"));
        };
        self.tasks.clear();
        self.tasks.push(TaskSwitches {
            tid: subject.tgid.0,
            voluntary,
            involuntary,
        });
        Ok(())
    }
}

/// Inodes of the established TCP sockets of each network namespace, read at most once a tick.
#[derive(Debug, Default)]
struct NetTables {
    established: HashMap<u64, Vec<u64>>,
}

impl NetTables {
    fn forget(&mut self) {
        self.established.clear();
    }

    /// Those of the namespace that `dir` is in, sorted.
    fn of(&mut self, dir: &ProcDir) -> Field<&[u64]> {
        Ok(match self.established.entry(dir.net_ns()?) {
            Entry::Occupied(read) => read.into_mut(),
            Entry::Vacant(unread) => {
                let mut inodes = Vec::new();
                dir.established(&mut inodes)?;
                inodes.sort_unstable();
                unread.insert(inodes)
            }
        })
    }
}

fn exiting() -> ReadEnd {
    no_value("the process is exiting")
}

fn no_value(why: &'static str) -> ReadEnd {
    ReadEnd::Failed(io::Error::other(why))
}
