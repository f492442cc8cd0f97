//! A probe that runs: whom it tracks, what it lost, and the way to its ring.

mod pinning;

use std::{fs::File, io, os::fd::AsFd as _};

use aya::{
    Ebpf,
    programs::{Program, ProgramError, links::FdLink},
};
use tracer_common::control::Observer;

pub use super::maps::Counters;
use super::{
    control::SharedControl,
    loader::StartTimes,
    maps::Maps,
    missed::recursion_misses,
    offsets::Degraded,
    pin::Pins,
    ring_map::RingMap,
    snapshot::{self, Snapshots},
    support::ProbeError,
};
use crate::units::{BootNs, Process};

pub use super::adopt::{Adoption, Doubts};

/// What loading and attaching made.
pub(super) struct InKernel {
    pub(super) ebpf: Ebpf,
    pub(super) maps: Maps,
    pub(super) control: SharedControl,
    pub(super) snapshots: Snapshots,
    /// By the name of the program that each keeps attached.
    pub(super) links: Vec<(&'static str, FdLink)>,
    /// Programs whose skips are losses.
    pub(super) alone: Vec<&'static str>,
}

/// A running probe. Dropping it detaches everything, pinned or not, unless it was told to leave its
/// pins.
#[derive(Debug)]
pub struct Attached {
    /// `None` after taking over: the programs are there and nothing more can be loaded.
    pub(super) ebpf: Option<Ebpf>,
    pub(super) maps: Maps,
    /// Of hooks that are not pinned; each keeps its program attached.
    links: Vec<(&'static str, FdLink)>,
    pub(super) pins: Option<Pins>,
    /// The ring of another observer, as far as it was read.
    ring: Option<RingMap>,
    pub(super) control: SharedControl,
    pub(super) snapshots: Snapshots,
    observer: Observer,
    degraded: Vec<Degraded>,
    times: StartTimes,
    /// Programs whose skips are losses.
    alone: Vec<&'static str>,
    #[cfg(feature = "log")]
    log: Option<super::kernel_log::KernelLog>,
}

impl Attached {
    pub(super) fn new(
        loaded: InKernel,
        observer: Observer,
        degraded: Vec<Degraded>,
        times: StartTimes,
        #[cfg(feature = "log")] log: super::kernel_log::KernelLog,
    ) -> Self {
        let InKernel {
            ebpf,
            maps,
            control,
            snapshots,
            links,
            alone,
        } = loaded;
        Self {
            ebpf: Some(ebpf),
            maps,
            links,
            pins: None,
            ring: None,
            control,
            snapshots,
            observer,
            degraded,
            times,
            alone,
            #[cfg(feature = "log")]
            log: Some(log),
        }
    }

    /// A probe that another observer has loaded, from the same build of the kernel side or another one.
    pub(super) fn taken_over(
        maps: Maps,
        ring: RingMap,
        control: SharedControl,
        observer: Observer,
        pins: Pins,
        is_same_build: bool,
    ) -> Self {
        Self {
            ebpf: None,
            maps,
            links: Vec::new(),
            pins: Some(pins),
            ring: Some(ring),
            control,
            snapshots: Snapshots::around(is_same_build),
            observer,
            degraded: snapshot::lost_around(is_same_build),
            times: StartTimes::default(),
            alone: Vec::new(),
            #[cfg(feature = "log")]
            log: None,
        }
    }

    /// Prints what the kernel side has logged since the last time.
    #[cfg(feature = "log")]
    pub fn print_log(&mut self) {
        if let Some(log) = &mut self.log {
            log.print();
        }
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

    /// What was sent and lost so far.
    ///
    /// # Errors
    /// When the counters cannot be read.
    pub fn losses(&self) -> Result<Counters, ProbeError> {
        let mut skipped = 0;
        for program in &self.alone {
            skipped += self.skips_of(program)?;
        }
        Ok(Counters {
            skipped,
            ..self.maps.counters()?
        })
    }

    /// Whether this program is loaded.
    pub(super) fn has(&self, name: &str) -> bool {
        let program = self.ebpf.as_ref().and_then(|ebpf| ebpf.program(name));
        matches!(program, Some(Program::BtfTracePoint(program)) if program.fd().is_ok())
    }

    /// How often the kernel skipped this program.
    pub(super) fn skips_of(&self, name: &str) -> Result<u64, ProbeError> {
        let failed =
            |source| ProbeError::step(format!("asking how often {name} was skipped"), source);
        let program = self.ebpf.as_ref().and_then(|ebpf| ebpf.program(name));
        let Some(Program::BtfTracePoint(program)) = program else {
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
        self.maps.tracked()
    }

    /// When the process started that is tracked under this tgid of the initial namespace; `None` when
    /// none is, or that cannot be read.
    #[must_use]
    pub fn start_of(&self, init: u32) -> Option<BootNs> {
        self.maps.start_of(init)
    }

    /// Takes the ring buffer out, once; `None` the second time.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn take_ring(&mut self) -> Result<Option<RingMap>, ProbeError> {
        match self.ring.take() {
            Some(ring) => Ok(Some(ring)),
            None => self.maps.take_ring(),
        }
    }
}

/// Starts an iterator; it runs as its file is read.
pub(super) fn open_iterator(ebpf: &mut Ebpf, name: &str) -> Result<File, ProgramError> {
    let Some(Program::Iter(program)) = ebpf.program_mut(name) else {
        return Err(ProgramError::UnexpectedProgramType);
    };
    let link = program.attach().and_then(|id| program.take_link(id))?;
    link.into_file().map_err(|error| match error {
        aya::programs::links::LinkError::SyscallError(error) => error.into(),
        _ => ProgramError::UnexpectedProgramType,
    })
}
