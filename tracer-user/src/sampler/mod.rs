//! Snapshots of every tracked process at an interval.
//!
//! [`Sampler::tick`] reads each subject it is given, and nothing else: one tick costs what the target
//! costs, however many other processes the host has. Time is an argument ([`Clock`]), and what turns
//! readings into rows ([`row`], [`rate`], [`switches`], [`wall`], [`schedule`]) is pure.
//!
//! What one process costs is in [`reading`]: a faster source of readings (descriptors kept open, a task
//! iterator in the kernel) replaces that module and changes nothing else.

pub mod aftermath;
mod clock;
pub mod rate;
mod reading;
mod row;
pub mod schedule;
pub mod switches;
pub mod wall;

use std::collections::HashMap;

pub use self::clock::{Clock, SystemClock, TickTime};
use self::{
    rate::CpuRate,
    reading::Reader,
    switches::SwitchLedger,
    wall::{WallClock, WallUs},
};
use crate::{
    procfs::{ProcRoot, ReadEnd},
    snapshot::{Role, SnapshotRow, TreeTotals},
    units::{BootNs, Tgid, Ticks},
};

/// A process to read, as the tree knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// Its number in the observer's pid namespace.
    pub tgid: Tgid,
    /// When it started. A process whose start is unknown is not read: nothing could show that the
    /// values are its own.
    pub starttime_ticks: Option<Ticks>,
    /// Part it plays in the tree; only passed on.
    pub role: Role,
}

/// One row, and when its reads began.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Same instant as the row's `captured_at`, on the boot clock.
    pub t: BootNs,
    /// What was read.
    pub row: SnapshotRow,
}

/// What one round over the tree gave.
#[derive(Debug, Default)]
pub struct Tick {
    /// When the round began.
    pub t: BootNs,
    /// A row for each subject that is still the process it was.
    pub rows: Vec<Sample>,
    /// Sums over the rows. `missed_ticks` is left 0: the caller's [`schedule::Schedule`] knows it.
    pub totals: TreeTotals,
    /// Why the others have no row. `Gone` is normal: the exit event may be on its way.
    pub ends: Vec<(Tgid, ReadEnd)>,
}

/// Reads processes and remembers what the next row of each needs from this one.
///
/// It keeps state only for the subjects of the last tick, so its memory does not grow with the number
/// of processes that ever were.
#[derive(Debug)]
pub struct Sampler {
    reader: Reader,
    wall: WallClock,
    known: HashMap<Tgid, Known>,
    generation: u64,
}

/// What is remembered of one process between two rows.
#[derive(Debug)]
struct Known {
    start: Ticks,
    generation: u64,
    rate: CpuRate,
    switches: SwitchLedger,
}

impl Sampler {
    /// A sampler that has seen nothing yet.
    #[must_use]
    pub fn new(root: ProcRoot) -> Self {
        Self {
            reader: Reader::new(root),
            wall: WallClock::default(),
            known: HashMap::new(),
            generation: 0,
        }
    }

    /// The procfs it reads.
    #[must_use]
    pub fn root(&self) -> &ProcRoot {
        self.reader.root()
    }

    /// Makes every later row come after `last`: for a session that goes on after its observer changed.
    pub fn continue_after(&mut self, last: WallUs) {
        self.wall.continue_after(last);
    }

    /// Reads all subjects once, each at its own instant of `clock`; a [`TickTime`] serves as a clock
    /// that stands still.
    pub fn tick(
        &mut self,
        mut clock: impl Clock,
        subjects: impl IntoIterator<Item = Subject>,
    ) -> Tick {
        let begin = clock.now();
        self.generation += 1;
        self.reader.forget_tables();
        let mut tick = Tick {
            t: begin.boot,
            totals: TreeTotals {
                captured_at: self.wall.stamp(begin.wall).to_rfc3339(),
                ..TreeTotals::default()
            },
            ..Tick::default()
        };
        for subject in subjects {
            match self.sample(clock.now(), &subject) {
                Ok(sample) => {
                    row::add(&mut tick.totals, &sample.row);
                    tick.rows.push(sample);
                }
                Err(end) => tick.ends.push((subject.tgid, end)),
            }
        }
        tick.totals.cpu_percent = rate::one_decimal(tick.totals.cpu_percent);
        let generation = self.generation;
        self.known.retain(|_, known| known.generation == generation);
        // A burst must not leave its room behind for the rest of the session.
        if self.known.capacity() > 64 && self.known.len() < self.known.capacity() / 8 {
            self.known.shrink_to(self.known.len() * 2);
        }
        tick
    }

    /// Reads one process outside the round, such as a workload that has just ended.
    ///
    /// # Errors
    /// [`ReadEnd`] says why there is no row.
    pub fn one(&mut self, mut clock: impl Clock, subject: &Subject) -> Result<Sample, ReadEnd> {
        self.reader.forget_tables();
        self.sample(clock.now(), subject)
    }

    /// Processes it remembers something of.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.known.len()
    }

    fn sample(&mut self, now: TickTime, subject: &Subject) -> Result<Sample, ReadEnd> {
        if let Some(known) = self.known.get_mut(&subject.tgid) {
            known.generation = self.generation;
        }
        let reading = self.reader.read(subject).inspect_err(|end| {
            if matches!(end, ReadEnd::Gone) {
                self.known.remove(&subject.tgid);
            }
        })?;
        let start = reading.stat.start_time;
        let fresh = || Known {
            start,
            generation: self.generation,
            rate: CpuRate::default(),
            switches: SwitchLedger::default(),
        };
        let known = self.known.entry(subject.tgid).or_insert_with(fresh);
        if known.start != start {
            *known = fresh();
        }
        let derived = row::Derived {
            is_first: known.rate.is_new(),
            captured_at: self.wall.stamp(now.wall).to_rfc3339(),
            cpu_percent: known
                .rate
                .sample(now.mono_ns, reading.stat.cpu(), reading.clk_tck),
            switches: match &reading.switches {
                Ok(tasks) => Some(known.switches.update(subject.tgid, tasks)),
                Err(_) => None,
            },
        };
        Ok(Sample {
            t: now.boot,
            row: row::assemble(subject, &reading, derived),
        })
    }
}
