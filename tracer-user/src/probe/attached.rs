//! A probe that runs: whom it tracks, what it lost, and the way to its ring.

mod pinning;

use std::{
    fs::File,
    io::{self, Read},
    os::fd::AsFd as _,
};

use aya::{
    Ebpf,
    programs::{Program, ProgramError, iter::IterLink, links::FdLink, tp_btf::BtfTracePointLinkId},
};
use tracer_common::{control::Observer, loss, names::PROG_ADOPT};

pub use super::maps::Counters;
use super::{
    control::SharedControl,
    hooks::{ADOPTING, Hook},
    loader::StartTimes,
    maps::Maps,
    missed::recursion_misses,
    offsets::Degraded,
    pin::Pins,
    ring_map::RingMap,
    support::ProbeError,
};
use crate::units::{Process, Tgid};

/// Most passes of the task iterator for one adoption. Two are the usual number: one that finds all there
/// are, one that finds nothing more.
const PASSES_MAX: u32 = 64;

/// What an adoption found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Adoption {
    /// Times the processes of the system were gone through.
    pub passes: u32,
    /// The last pass found nothing new, and whoever was born meanwhile was tracked before it ran:
    /// everything alive below the root is tracked.
    pub converged: bool,
    /// Processes taken in, the root included.
    pub adopted: u32,
}

/// What loading and attaching made.
pub(super) struct InKernel {
    pub(super) ebpf: Ebpf,
    pub(super) maps: Maps,
    pub(super) control: SharedControl,
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
    ebpf: Option<Ebpf>,
    maps: Maps,
    /// Of hooks that are not pinned; each keeps its program attached.
    links: Vec<(&'static str, FdLink)>,
    pins: Option<Pins>,
    /// The ring of another observer, as far as it was read.
    ring: Option<RingMap>,
    control: SharedControl,
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
            observer,
            degraded,
            times,
            alone,
            #[cfg(feature = "log")]
            log: Some(log),
        }
    }

    /// A probe that another observer has loaded.
    pub(super) fn taken_over(
        maps: Maps,
        ring: RingMap,
        control: SharedControl,
        observer: Observer,
        pins: Pins,
    ) -> Self {
        Self {
            ebpf: None,
            maps,
            links: Vec::new(),
            pins: Some(pins),
            ring: Some(ring),
            control,
            observer,
            degraded: Vec::new(),
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

    /// Starts tracking the process `root`, a tgid in this process's pid namespace, and everything that
    /// lives below it. Who is born meanwhile is tracked before it runs, so the passes come to an end
    /// when one finds nothing new. Every process taken in is reported as a fork event.
    ///
    /// # Errors
    /// When the task iterator cannot be run.
    pub fn adopt(&mut self, root: Tgid) -> Result<Adoption, ProbeError> {
        if self.ebpf.is_none() {
            // All below the root is tracked since the first observer began.
            return Ok(Adoption {
                converged: true,
                ..Adoption::default()
            });
        }
        let watching = self.watch_adoption()?;
        self.control.set_adopt(root.0);
        let result = self.adopt_passes();
        self.control.set_adopt(0);
        let is_watched = watching.len() == ADOPTING.len();
        let skipped = self.end_watching(watching)?;
        let mut adoption = result?;
        adoption.converged &= is_watched && skipped == 0;
        Ok(adoption)
    }

    /// Attaches the programs that see who is born and who is left alone below the root. One that this
    /// kernel refused has been named as lacking.
    fn watch_adoption(&mut self) -> Result<Vec<(&'static str, BtfTracePointLinkId)>, ProbeError> {
        let mut links = Vec::new();
        for Hook { program: name, .. } in ADOPTING {
            let ebpf = self.ebpf.as_mut();
            if let Some(Program::BtfTracePoint(program)) =
                ebpf.and_then(|ebpf| ebpf.program_mut(name))
                && program.fd().is_ok()
            {
                let link = program.attach();
                let link =
                    link.map_err(|source| ProbeError::step(format!("attaching {name}"), source))?;
                links.push((name, link));
            }
        }
        Ok(links)
    }

    /// Detaches them, and says how often the kernel skipped one.
    fn end_watching(
        &mut self,
        links: Vec<(&'static str, BtfTracePointLinkId)>,
    ) -> Result<u64, ProbeError> {
        let mut skipped = 0;
        for (name, link) in links {
            skipped += self.skips_of(name)?;
            let ebpf = self.ebpf.as_mut();
            if let Some(Program::BtfTracePoint(program)) =
                ebpf.and_then(|ebpf| ebpf.program_mut(name))
            {
                program
                    .detach(link)
                    .map_err(|source| ProbeError::step(format!("detaching {name}"), source))?;
            }
        }
        Ok(skipped)
    }

    fn adopt_passes(&mut self) -> Result<Adoption, ProbeError> {
        let mut adoption = Adoption::default();
        let mut buffer = vec![0; 64 << 10];
        let mut again = self.maps.counter(loss::ADOPT_AGAIN)?;
        let unsure = self.maps.counter(loss::ADOPT_UNSURE)?;
        while adoption.passes < PASSES_MAX && !adoption.converged {
            let Some(ebpf) = &mut self.ebpf else { break };
            let found = run_iterator(ebpf, PROG_ADOPT, &mut buffer)
                .map_err(|source| ProbeError::step("going through the processes", source))?;
            adoption.passes += 1;
            adoption.adopted += u32::try_from(found / size_of::<u32>()).unwrap_or(u32::MAX);
            let before = std::mem::replace(&mut again, self.maps.counter(loss::ADOPT_AGAIN)?);
            adoption.converged = found == 0 && again == before;
        }
        adoption.converged &= self.maps.counter(loss::ADOPT_UNSURE)? == unsure;
        Ok(adoption)
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

    /// How often the kernel skipped this program.
    fn skips_of(&self, name: &str) -> Result<u64, ProbeError> {
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

/// Runs an iterator to its end and returns how many bytes it wrote.
fn run_iterator(ebpf: &mut Ebpf, name: &str, buffer: &mut [u8]) -> io::Result<usize> {
    let mut file = open_iterator(ebpf, name).map_err(io::Error::other)?;
    let mut total = 0;
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok(total),
            Ok(len) => total += len,
            // The kernel pauses after a million tasks without output, and wants to be asked again.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn attach_iterator(ebpf: &mut Ebpf, name: &str) -> Result<IterLink, ProgramError> {
    let Some(Program::Iter(program)) = ebpf.program_mut(name) else {
        return Err(ProgramError::UnexpectedProgramType);
    };
    let link = program.attach()?;
    program.take_link(link)
}

fn open_iterator(ebpf: &mut Ebpf, name: &str) -> Result<File, ProgramError> {
    let link = attach_iterator(ebpf, name)?;
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
