//! A probe that runs: whom it tracks, what it lost, and the way to its ring.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::AsFd as _,
};

use aya::{
    Ebpf,
    maps::{HashMap, MapData, PerCpuArray, RingBuf},
    programs::{Program, ProgramError},
};
use tracer_common::{
    control::{Observer, Tracked},
    event::KIND_MAX,
    loss,
    names::{MAP_COUNTERS, MAP_EVENTS, MAP_TRACKED},
};

use super::{
    control::SharedControl, loader::StartTimes, missed::recursion_misses, offsets::Degraded,
    support::ProbeError,
};
use crate::units::{BootNs, ProcKey, Process, Tgid};

pub use super::adopt::Adoption;

/// What the kernel side counted since it was loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events written to the ring, by `KIND_` number.
    pub sent: [u64; KIND_MAX as usize],
    /// Events lost because the ring was full, by `KIND_` number.
    pub ring_full: [u64; KIND_MAX as usize],
    /// Processes not tracked, and so their descendants neither, because the map was full.
    pub map_full: u64,
    /// Execs whose arguments could not be read.
    pub argv_unreadable: u64,
    /// Exits whose totals lack a thread.
    pub totals_partial: u64,
    /// Threads made by tracked processes.
    pub threads: u64,
    /// Execs that no program saw.
    pub execs_missed: u64,
    /// Times the kernel skipped a program that has no stand-in, for whatever process.
    pub skipped: u64,
}

impl Counters {
    fn from_indexed(counters: &[u64; loss::COUNTERS as usize]) -> Self {
        let at = |index: u32| counters[index as usize];
        let kinds = |first: u32| std::array::from_fn(|kind| counters[first as usize + kind]);
        Self {
            sent: kinds(loss::SENT),
            ring_full: kinds(loss::RING_FULL),
            map_full: at(loss::MAP_FULL),
            argv_unreadable: at(loss::ARGV_UNREADABLE),
            totals_partial: at(loss::TOTALS_PARTIAL),
            threads: at(loss::THREADS),
            execs_missed: at(loss::EXECS_MISSED),
            skipped: 0,
        }
    }

    /// Events that did not reach the ring, as far as is known.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.ring_full.iter().sum::<u64>() + self.map_full + self.execs_missed + self.skipped
    }
}

/// A running probe. Dropping it detaches everything.
#[derive(Debug)]
pub struct Attached {
    pub(super) ebpf: Ebpf,
    pub(super) control: SharedControl,
    observer: Observer,
    degraded: Vec<Degraded>,
    times: StartTimes,
    /// Programs whose skips are losses.
    alone: Vec<&'static str>,
    #[cfg(feature = "log")]
    log: super::kernel_log::KernelLog,
}

impl Attached {
    pub(super) fn new(
        ebpf: Ebpf,
        control: SharedControl,
        observer: Observer,
        degraded: Vec<Degraded>,
        times: StartTimes,
        alone: Vec<&'static str>,
        #[cfg(feature = "log")] log: super::kernel_log::KernelLog,
    ) -> Self {
        Self {
            ebpf,
            control,
            observer,
            degraded,
            times,
            alone,
            #[cfg(feature = "log")]
            log,
        }
    }

    /// Prints what the kernel side has logged since the last time.
    #[cfg(feature = "log")]
    pub fn print_log(&mut self) {
        self.log.print();
    }

    /// This process as the kernel sees it.
    #[must_use]
    pub fn observer(&self) -> Observer {
        self.observer
    }

    /// What this kernel cannot tell.
    #[must_use]
    pub fn degraded(&self) -> &[Degraded] {
        &self.degraded
    }

    /// How long starting took.
    #[must_use]
    pub fn start_times(&self) -> StartTimes {
        self.times
    }

    /// The switches that the kernel side reads, for the ring reader and whoever waits for events.
    #[must_use]
    pub fn control(&self) -> SharedControl {
        self.control.clone()
    }

    /// One counter, summed over all processors.
    pub(super) fn counter(&self, index: u32) -> Result<u64, ProbeError> {
        let map = self.counters()?;
        let values = map
            .get(&index, 0)
            .map_err(|source| ProbeError::step("reading the counters", source))?;
        Ok(values.iter().sum())
    }

    fn counters(&self) -> Result<PerCpuArray<&MapData, u64>, ProbeError> {
        let step = "reading the counters";
        let map = self.ebpf.map(MAP_COUNTERS);
        let map = map.ok_or_else(|| ProbeError::step(step, "no such map"))?;
        PerCpuArray::try_from(map).map_err(|source| ProbeError::step(step, source))
    }

    /// What was sent and lost so far.
    ///
    /// # Errors
    /// When the counters cannot be read.
    pub fn losses(&self) -> Result<Counters, ProbeError> {
        let failed = |source| ProbeError::step("reading the counters", source);
        let map = self.counters()?;
        let mut sums = [0; loss::COUNTERS as usize];
        for (index, sum) in (0..loss::COUNTERS).zip(&mut sums) {
            *sum = map.get(&index, 0).map_err(failed)?.iter().sum();
        }
        let mut skipped = 0;
        for program in &self.alone {
            skipped += self.skips_of(program)?;
        }
        Ok(Counters {
            skipped,
            ..Counters::from_indexed(&sums)
        })
    }

    /// Whether this program is loaded.
    pub(super) fn has(&self, name: &str) -> bool {
        matches!(self.ebpf.program(name), Some(Program::BtfTracePoint(program)) if program.fd().is_ok())
    }

    /// How often the kernel skipped this program.
    pub(super) fn skips_of(&self, name: &str) -> Result<u64, ProbeError> {
        let failed =
            |source| ProbeError::step(format!("asking how often {name} was skipped"), source);
        let Some(Program::BtfTracePoint(program)) = self.ebpf.program(name) else {
            return Ok(0);
        };
        let fd = program
            .fd()
            .map_err(|error| failed(io::Error::other(error)))?;
        recursion_misses(fd.as_fd()).map_err(failed)
    }

    /// The processes that the kernel side tracks now, by tgid in the initial namespace: for resyncing
    /// after losses, and for checking that nothing stays behind.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn tracked(&self) -> Result<Vec<Process>, ProbeError> {
        let map = self
            .ebpf
            .map(MAP_TRACKED)
            .ok_or_else(|| ProbeError::step("listing tracked processes", "no such map"))?;
        let map: HashMap<&MapData, u32, [u64; size_of::<Tracked>() / 8]> =
            HashMap::try_from(map)
                .map_err(|source| ProbeError::step("listing tracked processes", source))?;
        // A process that ends while the map is gone through can make the walk begin again.
        let mut found = std::collections::BTreeMap::new();
        for entry in &map {
            let (init, words) =
                entry.map_err(|source| ProbeError::step("listing tracked processes", source))?;
            let tracked: Tracked = bytemuck::cast(words);
            found.insert(
                init,
                Process {
                    key: ProcKey {
                        init,
                        start: BootNs(tracked.start_boottime_ns),
                    },
                    tgid: Tgid(tracked.tgid),
                    inner: tracked.tgid_inner,
                },
            );
        }
        Ok(found.into_values().collect())
    }

    /// Takes the ring buffer out, once; `None` the second time.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn take_ring(&mut self) -> Result<Option<RingBuf<MapData>>, ProbeError> {
        self.ebpf
            .take_map(MAP_EVENTS)
            .map(RingBuf::try_from)
            .transpose()
            .map_err(|source| ProbeError::step("mapping the ring buffer", source))
    }
}

/// Starts an iterator; it runs as its file is read.
pub(super) fn open_iterator(ebpf: &mut Ebpf, name: &str) -> Result<File, ProgramError> {
    let Some(Program::Iter(program)) = ebpf.program_mut(name) else {
        return Err(ProgramError::UnexpectedProgramType);
    };
    let link = program.attach()?;
    let link = program.take_link(link)?;
    link.into_file().map_err(|error| match error {
        aya::programs::links::LinkError::SyscallError(error) => error.into(),
        _ => ProgramError::UnexpectedProgramType,
    })
}

/// Asks the kernel who this process is, before anything is attached.
pub(super) fn read_observer(ebpf: &mut Ebpf, name: &str) -> Result<Observer, ProbeError> {
    let failed = |source: io::Error| ProbeError::step("asking the kernel who we are", source);
    let mut file = open_iterator(ebpf, name)
        .map_err(|source| ProbeError::step("asking the kernel who we are", source))?;
    // One answer for each task, all the same: the first is enough.
    let mut bytes = [0; size_of::<Observer>()];
    file.read_exact(&mut bytes).map_err(failed)?;
    Ok(bytemuck::cast(bytes))
}
