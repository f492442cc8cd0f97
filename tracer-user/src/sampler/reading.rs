//! All that one row needs of one process, read from `/proc`.
//!
//! The order of the reads is the proof that they are worth something. The directory is opened once, so
//! all of them are of one process; `stat` comes last, so it shows that the process was still there,
//! still the one that was asked for, and had not begun to exit when the others were read: an exiting
//! process shows zeros for memory and descriptors that are no fact about it.
//!
//! What is remembered between rows is elsewhere. Nothing of another process is read, but the TCP tables
//! of its network namespace, each once a tick and only for a process that has sockets.

use std::io;

use super::{
    Subject,
    badness::{Look, Machine, Weight},
    cgroups::{CgroupFacts, Cgroups},
    disk_sleep::{AWAKE, DiskSleep, named},
    sockets::NetTables,
    switches::Switches,
};
use crate::{
    procfs::{ProcDir, ProcRoot, ReadEnd, TaskSwitches, stat::State, status::ProcStatus},
    units::{Comm, Tgid, Ticks},
};

/// A value, or why there is none.
pub(super) type Field<T> = Result<T, ReadEnd>;

/// What was found out about one process, by whatever way; a value for one row.
#[derive(Debug)]
pub(super) struct Reading<'reader> {
    pub(super) start: Ticks,
    pub(super) ppid: Tgid,
    pub(super) comm: Comm,
    pub(super) state: State,
    pub(super) threads: u64,
    pub(super) cpu_ns: u64,
    pub(super) masks: Masks,
    pub(super) living: Living,
    pub(super) fd_soft_limit: Field<i64>,
    pub(super) switches: Field<Counted<'reader>>,
    pub(super) disk_sleep: Field<DiskSleep>,
    pub(super) oom_score_adj: Field<i64>,
    /// Read and written.
    pub(super) io: Field<(u64, u64)>,
}

/// Signals: bit n - 1 for signal n.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Masks {
    pub(super) pending: Option<u64>,
    pub(super) blocked: Option<u64>,
    pub(super) caught: Option<u64>,
}

/// Context switches.
#[derive(Debug)]
pub(super) enum Counted<'reader> {
    /// Of each living thread.
    Threads(&'reader [TaskSwitches]),
    /// Of the whole process, its ended threads included.
    Whole(Switches),
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
    pub(super) cgroup: Field<CgroupFacts>,
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
            cgroup: Err(why()),
        }
    }

    /// Of a leader in disk sleep: where it waits is known if it slept the same sleep when that was read.
    fn asleep(mut self, dir: &ProcDir, before: &ProcStatus) -> Self {
        if self.wchan.is_ok() && !dir.status().is_ok_and(|now| before.sleeps_until(&now)) {
            self.wchan = Err(no_value(AWAKE));
        }
        self
    }
}

/// Reads processes one after the other, with buffers that serve them all.
#[derive(Debug)]
pub(super) struct Reader {
    root: ProcRoot,
    tasks: Vec<TaskSwitches>,
    sockets: Vec<u64>,
    tables: NetTables,
    cgroups: Cgroups,
    machine: Machine,
    /// Whether what costs much is read as well.
    pub(super) is_slow_turn: bool,
}

impl Reader {
    pub(super) fn new(root: ProcRoot) -> Self {
        Self {
            machine: Machine::new(&root),
            root,
            tasks: Vec::new(),
            sockets: Vec::new(),
            tables: NetTables::default(),
            cgroups: Cgroups::default(),
            is_slow_turn: true,
        }
    }

    pub(super) fn root(&self) -> &ProcRoot {
        &self.root
    }

    /// Drops what holds for one tick only: it is that of another one.
    pub(super) fn begin(&mut self, now_ns: u64) {
        self.machine.look();
        self.tables.forget();
        self.cgroups.begin(now_ns);
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
        let mut oom_score_adj = dir.oom_score_adj();
        let living = match &deputy {
            None => self.read_living(&dir, &status, &mut oom_score_adj),
            Some(thread) => match thread.status() {
                Ok(status) => self.read_living(thread, &status, &mut oom_score_adj),
                Err(_) => Living::released(exiting),
            },
        };
        let io = dir.io().map(|io| (io.read_bytes, io.write_bytes));
        let fd_soft_limit = dir
            .limits_by_number()
            .map(|limit| limit.soft.or_minus_one());
        let switches = self.read_switches(&dir, subject, &status, several);
        let disk_sleep = match &switches {
            Ok(()) => Ok(self.disk_sleep(&dir)),
            Err(ReadEnd::NotThisTick) => Err(ReadEnd::NotThisTick),
            Err(_) => Err(no_value("its threads could not be read")),
        };

        let stat = dir.stat()?;
        if stat.start_time != expected {
            return Err(ReadEnd::Gone);
        }
        let on_its_way_out = match &deputy {
            Some(thread) => thread.stat().map_or(true, |stat| stat.leader_exiting()),
            None => stat.leader_exiting(),
        };
        let living = match (on_its_way_out, stat.state.has_ended()) {
            (false, _) if stat.state == State::DiskSleep => living.asleep(&dir, &status),
            (false, _) => living,
            (true, true) => Living::released(|| ReadEnd::Zombie),
            (true, false) => Living::released(exiting),
        };
        Ok(Reading {
            start: stat.start_time,
            ppid: stat.ppid,
            comm: stat.comm,
            state: stat.state,
            threads: stat.num_threads,
            cpu_ns: ticks_to_ns(stat.cpu(), self.root.host().clk_tck),
            masks: Masks {
                pending: status.pending(),
                blocked: status.sig_blk,
                caught: status.sig_cgt,
            },
            living,
            fd_soft_limit,
            switches: switches.map(|()| Counted::Threads(&self.tasks)),
            disk_sleep,
            oom_score_adj,
            io,
        })
    }

    /// `oom_score_adj` becomes the one that is in the score.
    fn read_living(
        &mut self,
        dir: &ProcDir,
        status: &ProcStatus,
        oom_score_adj: &mut Field<i64>,
    ) -> Living {
        if status.state.is_some_and(State::has_ended) {
            return Living::released(|| ReadEnd::Zombie);
        }
        let memory =
            |kb: Option<u64>| kb.ok_or_else(|| no_value("it has no memory map of its own"));
        Living {
            vm_rss_kb: memory(status.vm_rss_kb),
            vm_hwm_kb: memory(status.vm_hwm_kb),
            fd_count: self.read_fd_count(dir),
            oom_score: self.read_oom_score(dir, status, oom_score_adj),
            // A running task waits nowhere, and the kernel says so only after a look at its stack.
            wchan: match status.state {
                Some(State::Running) => Ok(String::new()),
                _ => self.if_slow(|_| dir.wchan()),
            },
            net_established: self.read_established(dir),
            cgroup: self.if_slow(|reader| {
                let text = || dir.cgroup();
                reader.cgroups.of(&reader.root, None, text)
            }),
        }
    }

    fn read_oom_score(
        &mut self,
        dir: &ProcDir,
        status: &ProcStatus,
        adj: &mut Field<i64>,
    ) -> Field<i64> {
        let score = self.if_slow(|_| dir.oom_score())?;
        let weight = self.machine.weight(status);
        self.of_one_moment(dir, weight, score, adj)
    }

    /// The score, or another one that goes with the adjustment. `weight` is that of the process when both
    /// were read.
    pub(super) fn of_one_moment(
        &mut self,
        dir: &ProcDir,
        weight: Weight,
        score: i64,
        adj: &mut Field<i64>,
    ) -> Field<i64> {
        let machine = self.machine;
        if adj
            .as_ref()
            .is_ok_and(|&adj| machine.explains(weight, adj, score))
        {
            return Ok(score);
        }
        let look = || Look {
            weight: dir
                .status()
                .map_or(weight, |status| machine.weight(&status)),
            adj: dir.oom_score_adj(),
            score: dir.oom_score(),
        };
        let (score, newer) = machine.together(look);
        *adj = newer;
        score
    }

    pub(super) fn machine(&self) -> Machine {
        self.machine
    }

    /// Reads what costs much, if it is its turn.
    pub(super) fn if_slow<T>(&mut self, read: impl FnOnce(&mut Self) -> Field<T>) -> Field<T> {
        if self.is_slow_turn {
            read(self)
        } else {
            Err(ReadEnd::NotThisTick)
        }
    }

    /// Counts descriptors: by one call, or before Linux 6.2 by listing them.
    pub(super) fn read_fd_count(&mut self, dir: &ProcDir) -> Field<u64> {
        if dir.counts_fds_fast() {
            dir.fd_count()
        } else {
            self.if_slow(|_| dir.fd_count())
        }
    }

    /// Counts the established connections among the process's own sockets.
    pub(super) fn read_established(&mut self, dir: &ProcDir) -> Field<u64> {
        self.if_slow(|reader| {
            dir.sockets(&mut reader.sockets)?;
            if reader.sockets.is_empty() {
                return Ok(0);
            }
            let established = reader.tables.of(dir)?;
            let own = |inode: &&u64| established.binary_search(inode).is_ok();
            Ok(reader.sockets.iter().filter(own).count() as u64)
        })
    }

    /// The cgroup of a process, by what stands for it on the kernel side.
    pub(super) fn cgroups_of(
        &mut self,
        key: u64,
        text: impl FnOnce(&ProcRoot) -> Field<String>,
    ) -> Field<CgroupFacts> {
        let key = (key != 0).then_some(key);
        self.if_slow(|reader| {
            let root = &reader.root;
            reader.cgroups.of(root, key, || text(root))
        })
    }

    fn read_switches(
        &mut self,
        dir: &ProcDir,
        subject: &Subject,
        status: &ProcStatus,
        several: bool,
    ) -> Field<()> {
        if several {
            return self.if_slow(|reader| dir.tasks(&mut reader.tasks));
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
            in_disk_sleep: status.state == Some(State::DiskSleep),
        });
        Ok(())
    }

    /// Of the threads that have just been read.
    fn disk_sleep(&self, dir: &ProcDir) -> DiskSleep {
        let asleep = self.tasks.iter().filter(|task| task.in_disk_sleep);
        named(asleep.map(|task| task.tid), dir, self.is_slow_turn)
    }
}

fn ticks_to_ns(ticks: Ticks, clk_tck: u64) -> u64 {
    let ns = u128::from(ticks.0) * 1_000_000_000 / u128::from(clk_tck.max(1));
    u64::try_from(ns).unwrap_or(u64::MAX)
}

fn exiting() -> ReadEnd {
    no_value("the process is exiting")
}

pub(super) fn no_value(why: &'static str) -> ReadEnd {
    ReadEnd::Failed(io::Error::other(why))
}
