//! The maps of a kernel side: those of a program just loaded, or of one that was found pinned.

use std::{collections::BTreeMap, io, os::fd::AsFd as _};

use aya::{
    Ebpf,
    maps::{HashMap, Map, MapData, PerCpuArray},
};
use tracer_common::{
    control::Tracked,
    event::{KIND_ACCOUNT, KIND_MAX},
    loss,
    names::{MAP_CONTROL, MAP_COUNTERS, MAP_EVENTS, MAP_TRACKED},
};

use super::{control::SharedControl, ring_map::RingMap, support::ProbeError};
use crate::units::{BootNs, ProcKey, Process, Tgid};

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
    /// Accounts that will not come, because too many processes had ended and not been released.
    pub accounts_full: u64,
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
            accounts_full: at(loss::ACCOUNTS_FULL),
            skipped: 0,
        }
    }

    /// Events that did not reach the ring, as far as is known. An account is none: what it is about has been
    /// told.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let events = &self.ring_full[..usize::from(KIND_ACCOUNT)];
        events.iter().sum::<u64>() + self.map_full + self.execs_missed + self.skipped
    }

    /// Events that reached the ring, without accounts.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.sent[..usize::from(KIND_ACCOUNT)].iter().sum()
    }

    /// Records that reached the ring.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.iter().sum()
    }
}

/// The maps that user space deals with.
#[derive(Debug)]
pub(super) struct Maps {
    /// `None` once taken.
    ring: Option<Map>,
    counters: Map,
    tracked: Map,
    control: Map,
}

impl Maps {
    /// Takes each from where `get` finds it by its name.
    fn gather(mut get: impl FnMut(&str) -> Result<Map, ProbeError>) -> Result<Self, ProbeError> {
        Ok(Self {
            ring: Some(get(MAP_EVENTS)?),
            counters: get(MAP_COUNTERS)?,
            tracked: get(MAP_TRACKED)?,
            control: get(MAP_CONTROL)?,
        })
    }

    /// Takes them out of what was loaded; the programs keep their own hold on them.
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, ProbeError> {
        Self::gather(|name| {
            let missing = || ProbeError::step(format!("finding map {name}"), "no such map");
            ebpf.take_map(name).ok_or_else(missing)
        })
    }

    /// Opens those pinned where `path` says.
    pub(super) fn open(path: impl Fn(&str) -> std::path::PathBuf) -> Result<Self, ProbeError> {
        Self::gather(|name| {
            MapData::from_pin(path(name))
                .and_then(Map::from_map_data)
                .map_err(|source| {
                    ProbeError::step(format!("opening the pinned map {name}"), source)
                })
        })
    }

    /// Names and maps, for pinning.
    pub(super) fn named(&self) -> impl Iterator<Item = (&'static str, &Map)> {
        let ring = self.ring.as_ref().map(|ring| (MAP_EVENTS, ring));
        ring.into_iter().chain([
            (MAP_COUNTERS, &self.counters),
            (MAP_TRACKED, &self.tracked),
            (MAP_CONTROL, &self.control),
        ])
    }

    /// Maps the control block.
    pub(super) fn map_control(&self) -> Result<SharedControl, ProbeError> {
        let step = "mapping the control block";
        let Map::Array(array) = &self.control else {
            return Err(ProbeError::step(step, "the object has no such array"));
        };
        SharedControl::map(array.fd().as_fd()).map_err(|source| ProbeError::step(step, source))
    }

    /// Takes the ring buffer out, once; `None` the second time.
    pub(super) fn take_ring(&mut self) -> Result<Option<RingMap>, ProbeError> {
        let mapped: io::Result<_> = self.ring.take().map(RingMap::new).transpose();
        mapped.map_err(|source| ProbeError::step("mapping the ring buffer", source))
    }

    /// What was counted so far; `skipped` is not known to maps.
    pub(super) fn counters(&self) -> Result<Counters, ProbeError> {
        let mut sums = [0; loss::COUNTERS as usize];
        for (index, sum) in (0..loss::COUNTERS).zip(&mut sums) {
            *sum = self.counter(index)?;
        }
        Ok(Counters::from_indexed(&sums))
    }

    /// One counter, summed over all processors.
    pub(super) fn counter(&self, index: u32) -> Result<u64, ProbeError> {
        let failed = |source| ProbeError::step("reading the counters", source);
        let map: PerCpuArray<&MapData, u64> =
            PerCpuArray::try_from(&self.counters).map_err(failed)?;
        let values = map.get(&index, 0).map_err(failed)?;
        Ok(values.iter().sum())
    }

    /// When the process started that is tracked under this tgid of the initial namespace.
    pub(super) fn start_of(&self, init: u32) -> Option<BootNs> {
        let map: HashMap<&MapData, u32, [u64; size_of::<Tracked>() / 8]> =
            HashMap::try_from(&self.tracked).ok()?;
        let tracked: Tracked = bytemuck::cast(map.get(&init, 0).ok()?);
        Some(BootNs(tracked.start_boottime_ns))
    }

    /// The processes that are tracked now, in the order of their tgids in the initial namespace.
    pub(super) fn tracked(&self) -> Result<Vec<Process>, ProbeError> {
        let failed = |source| ProbeError::step("listing tracked processes", source);
        let map: HashMap<&MapData, u32, [u64; size_of::<Tracked>() / 8]> =
            HashMap::try_from(&self.tracked).map_err(failed)?;
        // A process that ends while the map is gone through can make the walk begin again.
        let mut found = BTreeMap::new();
        for entry in &map {
            let (init, words) = entry.map_err(failed)?;
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
}
