//! What is read rather than told: rows of `/proc` at each tick, the counters of the kernel side, and the
//! last look at a workload that has ended.

use std::time::Instant;

use super::Follower;
use crate::{
    event::Event,
    observe::{kernel::Kernel, losses::is_event},
    procfs::host::read_mono_ns,
    sampler::{KernelRows, Subject, Tick, schedule::Schedule},
    session::journal::record::{Body, Note, Record, SnapshotEvent},
    snapshot::{Role, kernel::KernelRow},
    units::{ProcKey, Process},
};

/// Events kept in memory during one tick: some 30 MB, and four rings full.
const BACKLOG_MAX: usize = 65_536;

/// The kernel side as the sampler sees it. Thousands of processes can take as long to read as a storm
/// needs to fill the ring: it is emptied meanwhile, as far as memory may be spent on that.
struct Source<'a> {
    kernel: &'a mut Kernel,
    backlog: &'a mut Vec<Event>,
}

impl KernelRows for Source<'_> {
    fn read(&mut self, rows: &mut Vec<KernelRow>) -> bool {
        self.kernel.snapshot(rows)
    }

    fn breathe(&mut self) {
        if self.backlog.len() < BACKLOG_MAX {
            self.kernel
                .drain(BACKLOG_MAX - self.backlog.len(), self.backlog);
        }
    }
}

impl Follower<'_> {
    /// Reads every living process once, if it is time to, and then events: reading many takes longer
    /// than the interval between two ticks may be.
    pub(in crate::observe) fn tick_if_due(&mut self, schedule: &mut Schedule) {
        if schedule.wait(read_mono_ns()).is_zero() {
            let missed = schedule.begin(read_mono_ns());
            self.tick(missed);
            self.take_events();
        }
    }

    /// Reads every living process once.
    pub(super) fn tick(&mut self, missed: u64) {
        let begun = Instant::now();
        let subjects = self.subjects();
        let tick = self.read_rows(subjects);
        let mut totals = tick.totals;
        totals.missed_ticks = missed;
        // Before its rows, whose times are later.
        self.records.push(Record {
            t: tick.t,
            body: Body::Tick(Box::new(totals)),
        });
        for sample in tick.rows {
            self.record_row(sample);
        }
        self.watch_tick();
        self.count_losses();
        self.hand_over();
        for notice in self.session.recorder.notices() {
            self.audience.notice(&notice.to_string());
        }
        self.expense.ticks.took(begun.elapsed(), missed);
    }

    /// Whoever lives, and of those that have ended who has not been waited for yet.
    fn subjects(&mut self) -> Vec<Subject> {
        let zombies = self.zombies(self.clock_now());
        let living = self.tree.iter().map(|node| node.process);
        living
            .map(|process| self.subject(process, self.role(process.key)))
            .chain(zombies)
            .collect()
    }

    fn read_rows(&mut self, subjects: Vec<Subject>) -> Tick {
        let Some(kernel) = &mut self.kernel else {
            return self.sampler.tick(self.clock, subjects);
        };
        let backlog = &mut self.backlog;
        let mut source = Source { kernel, backlog };
        let tick = self.sampler.tick_from(self.clock, subjects, &mut source);
        if let Some(lost) = kernel.why_no_rows() {
            self.audience.notice(&lost);
            let note = Body::Note(Box::new(Note::degraded(&lost)));
            self.records.push(self.now(note));
        }
        tick
    }

    fn role(&self, key: ProcKey) -> Role {
        if self.target.is_some_and(|target| target.key == key) {
            Role::Workload
        } else if self.wrappers.contains(&key) {
            Role::Wrapper
        } else {
            Role::Descendant
        }
    }

    fn subject(&self, process: Process, role: Role) -> Subject {
        Subject {
            tgid: process.tgid,
            starttime_ticks: Some(self.session.ticks(process.key.start)),
            start: Some(process.key.start),
            role,
        }
    }

    pub(super) fn ended(&mut self, process: Process) {
        let key = process.key;
        if self.root.is_some_and(|root| root.key == key) {
            self.root_ended = true;
        }
        if let Some(target) = self.target.filter(|target| target.key == key) {
            self.target_ended = true;
            // It may still be a zombie, whose row says how much CPU it took and how it is waited for.
            let subject = self.subject(target, Role::Workload);
            if let Ok(sample) = self.sampler.one(self.clock, &subject) {
                self.records.push(Record {
                    t: sample.t,
                    body: Body::Snapshot {
                        row: Box::new(sample.row),
                        event: SnapshotEvent::ExitSnapshot,
                    },
                });
            }
        }
    }

    /// Looks once more at a workload whose end may be among what was lost.
    pub(in crate::observe) fn last_look(&mut self) {
        if !self.scenes.lost_some || self.target_ended {
            return;
        }
        let Some(target) = self.target else { return };
        let subject = self.subject(target, Role::Workload);
        if let Ok(sample) = self.sampler.one(self.clock, &subject) {
            self.records.push(Record {
                t: sample.t,
                body: Body::Snapshot {
                    row: Box::new(sample.row),
                    event: SnapshotEvent::Snapshot,
                },
            });
        }
    }

    /// Puts what the kernel side could not send since the last time into the record.
    pub(in crate::observe) fn count_losses(&mut self) {
        let now = self.clock_now();
        let losses = self
            .kernel
            .as_mut()
            .map(Kernel::new_losses)
            .unwrap_or_default();
        self.scenes.lost_some |= losses.iter().any(|(reason, _)| is_event(reason));
        for (reason, count) in losses {
            self.records.push(Record {
                t: now,
                body: Body::Loss { reason, count },
            });
        }
    }
}
