//! Snapshots of every tracked process at an interval.
//!
//! [`Sampler::tick`] reads each subject it is given, and nothing else: one tick costs what the target
//! costs, however many other processes the host has. Time is an argument ([`Clock`]), and what turns
//! readings into rows ([`row`], [`rate`], [`switches`], [`wall`], [`schedule`]) is pure.
//!
//! A process is read in one of two ways. [`reading`] opens its files; it works everywhere and costs tens
//! of µs. [`facts`] takes what a task iterator in the kernel has written down of all processes at once,
//! some µs each; whom that does not tell of is read the first way. Both give the same row.

pub mod aftermath;
mod badness;
mod cgroups;
mod clock;
mod disk_sleep;
mod facts;
mod pressure;
pub mod rate;
mod reading;
mod row;
pub mod schedule;
mod sockets;
pub mod switches;
pub mod wall;

use std::collections::{HashMap, hash_map::Entry};

pub use self::{
    clock::{Clock, SystemClock, TickTime},
    facts::KernelRows,
};
use self::{
    facts::{Completer, FilesOnly},
    pressure::PressureReader,
    rate::CpuRate,
    reading::{Counted, Reader, Reading},
    switches::SwitchLedger,
    wall::{WallClock, WallUs},
};
use crate::{
    procfs::{ProcRoot, ReadEnd},
    snapshot::{Role, SnapshotRow, TreeTotals, kernel::KernelRow},
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
    /// The same to the ns, where it is known: what the kernel side tells must agree with it.
    pub start: Option<BootNs>,
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

/// From so many threads on the kernel side is asked: going through all tasks of the system costs as much
/// as reading the files of a few processes.
const KERNEL_FROM: u64 = 8;

/// Processes read from files between two breaths: some milliseconds.
const BREATHE_EVERY: usize = 64;

/// Reads processes and remembers what the next row of each needs from this one.
///
/// It keeps state only for the subjects of the last tick, so its memory does not grow with the number
/// of processes that ever were.
#[derive(Debug)]
pub struct Sampler {
    reader: Reader,
    completer: Completer,
    pressure: PressureReader,
    wall: WallClock,
    known: HashMap<Tgid, Known>,
    generation: u64,
    slow_every: u64,
    kernel_from: u64,
    /// Threads in the last tick.
    threads: u64,
    /// Room for what the kernel side tells.
    told: Vec<KernelRow>,
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
            completer: Completer::default(),
            pressure: PressureReader::default(),
            wall: WallClock::default(),
            known: HashMap::new(),
            generation: 0,
            slow_every: 1,
            kernel_from: KERNEL_FROM,
            threads: 0,
            told: Vec::new(),
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

    /// Reads what costs much, as long as no faster way tells it, at every `ticks`-th tick only, the first
    /// included.
    pub fn slow_every(&mut self, ticks: u32) {
        self.slow_every = u64::from(ticks.max(1));
    }

    /// Asks the kernel side from so many threads on, for fewer the files are read.
    pub fn ask_kernel_from(&mut self, threads: u64) {
        self.kernel_from = threads;
    }

    /// Reads all subjects once from `/proc`, each at its own instant of `clock`; a [`TickTime`] serves as
    /// a clock that stands still.
    pub fn tick(&mut self, clock: impl Clock, subjects: impl IntoIterator<Item = Subject>) -> Tick {
        self.tick_from(clock, subjects, &mut FilesOnly)
    }

    /// Reads all subjects once, from the kernel side as far as that tells of them.
    pub fn tick_from(
        &mut self,
        mut clock: impl Clock,
        subjects: impl IntoIterator<Item = Subject>,
        source: &mut dyn KernelRows,
    ) -> Tick {
        let subjects: Vec<Subject> = subjects.into_iter().collect();
        let began = clock.now();
        let mut tick = self.begin(began);
        let is_worth_it = self.threads.max(subjects.len() as u64) >= self.kernel_from;
        let mut told = std::mem::take(&mut self.told);
        told.clear();
        if !is_worth_it || !source.read(&mut told) {
            told.clear();
        }
        // By number and start: a number may be that of one who has ended and of one who lives.
        let mut wanted: HashMap<(Tgid, Option<Ticks>), Subject> = subjects
            .iter()
            .map(|subject| ((subject.tgid, subject.starttime_ticks), *subject))
            .collect();
        for row in &told {
            let start = row.start.to_ticks(self.root().host().clk_tck);
            let Entry::Occupied(subject) = wanted.entry((row.tgid, Some(start))) else {
                continue;
            };
            let subject = subject.remove();
            if subject.start.is_some_and(|known| known != row.start) {
                // Its files would be the other's, and show the same tick.
                tick.ends.push((subject.tgid, ReadEnd::Gone));
                continue;
            }
            let at = began.later(row.t.since(began.boot));
            let reading = self.completer.complete(row, start, &mut self.reader);
            let sample = self.finish(at, &subject, &reading);
            tick.totals.rows_from_kernel += 1;
            row::add(&mut tick.totals, &sample.row);
            tick.rows.push(sample);
        }
        // A burst must not leave its room behind for the rest of the session.
        told.shrink_to(2 * told.len().max(64));
        self.told = told;
        // On their way out, or not there at all: their files say what there is to say. In their order.
        let left = subjects
            .iter()
            .filter(|subject| wanted.contains_key(&(subject.tgid, subject.starttime_ticks)));
        for (at, subject) in left.enumerate() {
            if at % BREATHE_EVERY == BREATHE_EVERY - 1 {
                source.breathe();
            }
            self.read_into(&mut tick, clock.now(), subject);
        }
        self.end(&mut tick);
        tick
    }

    /// Reads one process outside the round, such as a workload that has just ended.
    ///
    /// # Errors
    /// [`ReadEnd`] says why there is no row.
    pub fn one(&mut self, mut clock: impl Clock, subject: &Subject) -> Result<Sample, ReadEnd> {
        let now = clock.now();
        self.reader.begin(now.mono_ns);
        self.reader.is_slow_turn = true;
        self.sample(now, subject)
    }

    /// Processes it remembers something of.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.known.len()
    }

    fn begin(&mut self, began: TickTime) -> Tick {
        self.reader.is_slow_turn = self.generation.is_multiple_of(self.slow_every);
        self.generation += 1;
        self.reader.begin(began.mono_ns);
        self.completer.begin();
        Tick {
            t: began.boot,
            totals: TreeTotals {
                captured_at: self.wall.stamp(began.wall).to_rfc3339(),
                ..TreeTotals::default()
            },
            ..Tick::default()
        }
    }

    fn end(&mut self, tick: &mut Tick) {
        let first = tick.rows.first().map(|sample| Tgid(sample.row.pid));
        let first = first.and_then(|tgid| self.root().process(tgid).ok());
        self.pressure
            .fill(&mut tick.totals, self.reader.root(), first);
        tick.totals.cpu_percent = rate::one_decimal(tick.totals.cpu_percent);
        self.threads = tick.totals.threads;
        let generation = self.generation;
        self.known.retain(|_, known| known.generation == generation);
        // A burst must not leave its room behind for the rest of the session.
        if self.known.capacity() > 64 && self.known.len() < self.known.capacity() / 8 {
            self.known.shrink_to(self.known.len() * 2);
        }
    }

    fn read_into(&mut self, tick: &mut Tick, now: TickTime, subject: &Subject) {
        match self.sample(now, subject) {
            Ok(sample) => {
                row::add(&mut tick.totals, &sample.row);
                tick.rows.push(sample);
            }
            Err(end) => tick.ends.push((subject.tgid, end)),
        }
    }

    fn sample(&mut self, now: TickTime, subject: &Subject) -> Result<Sample, ReadEnd> {
        let clk_tck = self.root().host().clk_tck;
        let Self {
            reader,
            wall,
            known,
            generation,
            ..
        } = self;
        if let Some(known) = known.get_mut(&subject.tgid) {
            known.generation = *generation;
        }
        let reading = reader.read(subject).inspect_err(|end| {
            if matches!(end, ReadEnd::Gone) {
                known.remove(&subject.tgid);
            }
        })?;
        let known = Known::of(known, subject.tgid, reading.start, *generation);
        Ok(known.sample(now, wall, clk_tck, subject, &reading))
    }

    fn finish(&mut self, now: TickTime, subject: &Subject, reading: &Reading<'_>) -> Sample {
        let clk_tck = self.root().host().clk_tck;
        let known = Known::of(
            &mut self.known,
            subject.tgid,
            reading.start,
            self.generation,
        );
        known.sample(now, &mut self.wall, clk_tck, subject, reading)
    }
}

impl Known {
    /// What is known of this process, nothing if it is another one than before.
    fn of(known: &mut HashMap<Tgid, Self>, tgid: Tgid, start: Ticks, generation: u64) -> &mut Self {
        let fresh = || Self {
            start,
            generation,
            rate: CpuRate::default(),
            switches: SwitchLedger::default(),
        };
        let known = known.entry(tgid).or_insert_with(fresh);
        if known.start != start {
            *known = fresh();
        }
        known.generation = generation;
        known
    }

    fn sample(
        &mut self,
        now: TickTime,
        wall: &mut WallClock,
        clk_tck: u64,
        subject: &Subject,
        reading: &Reading<'_>,
    ) -> Sample {
        let derived = row::Derived {
            is_first: self.rate.is_new(),
            captured_at: wall.stamp(now.wall).to_rfc3339(),
            cpu_percent: self.rate.sample(now.mono_ns, reading.cpu_ns, clk_tck),
            switches: match &reading.switches {
                Ok(Counted::Threads(tasks)) => Some(self.switches.update(subject.tgid, tasks)),
                Ok(Counted::Whole(sum)) => Some(self.switches.whole(*sum)),
                Err(_) => None,
            },
        };
        Sample {
            t: now.boot,
            row: row::assemble(subject, reading, derived),
        }
    }
}
