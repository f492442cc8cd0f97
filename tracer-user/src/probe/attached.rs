//! A probe that runs: whom it tracks, what it lost, and the way to its ring.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::AsFd as _,
    path::Path,
};

use aya::{
    Ebpf,
    programs::{
        Program, ProgramError,
        iter::IterLink,
        links::{FdLink, PinnedLink},
    },
};
use tracer_common::{
    control::Observer,
    names::{PROG_ADOPT, PROG_WHO_AM_I},
};

pub use super::maps::Counters;
use super::{
    control::SharedControl,
    hooks,
    loader::StartTimes,
    maps::Maps,
    missed::recursion_misses,
    offsets::Degraded,
    pin::{self, PinDir, PinError, Pins},
    ring_map::RingMap,
    support::ProbeError,
};
use crate::units::{Process, Tgid};

/// Most passes of the task iterator for one adoption. Each pass finds at least one more generation;
/// real trees are far from this deep, and two passes are the usual number.
const PASSES_MAX: u32 = 64;

/// Passes in a row that must find nothing. One is not proof: a process can be looked at while its
/// parent is not tracked, and that parent end, giving it to one that is, before the pass comes to it.
/// Each further pass needs the same accident anew, among the few that were forked meanwhile.
const EMPTY_PASSES: u32 = 3;

/// What an adoption found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Adoption {
    /// Times the processes of the system were gone through.
    pub passes: u32,
    /// The last passes found nothing new: everything alive below the root is tracked.
    pub converged: bool,
    /// Processes taken in, the root included.
    pub adopted: u32,
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
    #[cfg(feature = "log")]
    log: Option<super::kernel_log::KernelLog>,
}

impl Attached {
    pub(super) fn new(
        ebpf: Ebpf,
        maps: Maps,
        links: Vec<(&'static str, FdLink)>,
        control: SharedControl,
        observer: Observer,
        degraded: Vec<Degraded>,
        times: StartTimes,
        #[cfg(feature = "log")] log: super::kernel_log::KernelLog,
    ) -> Self {
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
    /// lives below it. What is forked meanwhile is tracked by the fork hook, so the passes come to an
    /// end when one finds nothing new. Every process taken in is reported as a fork event.
    ///
    /// # Errors
    /// When the task iterator cannot be run.
    pub fn adopt(&mut self, root: Tgid) -> Result<Adoption, ProbeError> {
        self.control.set_adopt(root.0);
        let result = self.adopt_passes();
        self.control.set_adopt(0);
        result
    }

    fn adopt_passes(&mut self) -> Result<Adoption, ProbeError> {
        let mut adoption = Adoption::default();
        let mut empty = 0;
        let mut buffer = vec![0; 64 << 10];
        let Some(ebpf) = &mut self.ebpf else {
            // All below the root is tracked since the first observer began.
            adoption.converged = true;
            return Ok(adoption);
        };
        while adoption.passes < PASSES_MAX {
            let found = run_iterator(ebpf, PROG_ADOPT, &mut buffer)
                .map_err(|source| ProbeError::step("going through the processes", source))?;
            adoption.passes += 1;
            adoption.adopted += u32::try_from(found / size_of::<u32>()).unwrap_or(u32::MAX);
            empty = if found == 0 { empty + 1 } else { 0 };
            if empty == EMPTY_PASSES {
                adoption.converged = true;
                break;
            }
        }
        Ok(adoption)
    }

    /// What was sent and lost so far.
    ///
    /// # Errors
    /// When the counters cannot be read.
    pub fn losses(&self) -> Result<Counters, ProbeError> {
        let mut skipped = 0;
        for program in hooks::ALONE {
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

    /// Pins everything for the session `session` in the directory `bpffs`, so that it goes on when
    /// this process is killed. `state` is where the session will be found. To be called before
    /// anything is tracked.
    ///
    /// # Errors
    /// [`PinError`]: nothing is pinned then, and everything else is as before.
    pub fn pin(&mut self, bpffs: &Path, session: &str, state: &Path) -> Result<(), PinError> {
        let dir = pin::make(bpffs, session)?;
        match dir.say_whose(state).and_then(|()| self.pin_into(&dir)) {
            Ok(links) => {
                self.pins = Some(Pins::new(dir, links));
                Ok(())
            }
            Err(error) => {
                let _kept = dir.remove();
                Err(error)
            }
        }
    }

    fn pin_into(&mut self, dir: &PinDir) -> Result<Vec<PinnedLink>, PinError> {
        for (name, map) in self.maps.named() {
            map.pin(dir.file(name))
                .map_err(|source| dir.refused(name, source))?;
        }
        if let Some(ebpf) = &mut self.ebpf {
            pin_iterator(ebpf, dir)?;
        }
        let mut pinned = Vec::new();
        let mut failed = None;
        for (program, link) in std::mem::take(&mut self.links) {
            match link.pin(dir.file(program)) {
                Ok(link) => pinned.push((program, link)),
                // The link is gone with the attempt. Nothing is tracked yet, so another is as good.
                Err(source) => {
                    failed.get_or_insert(dir.refused(program, source));
                    self.attach_again(program);
                }
            }
        }
        let Some(error) = failed else {
            return Ok(pinned.into_iter().map(|(_, link)| link).collect());
        };
        let kept = pinned
            .into_iter()
            .map(|(program, link)| (program, link.into()));
        self.links.extend(kept);
        Err(error)
    }

    fn attach_again(&mut self, program: &'static str) {
        let Some(ebpf) = &mut self.ebpf else { return };
        match hooks::attach(ebpf, program) {
            Ok(link) => self.links.push((program, link)),
            Err(error) => self.degraded.push(Degraded {
                name: program.to_owned(),
                why: error.to_string(),
            }),
        }
    }

    /// Whether it goes on without this process.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.pins.is_some()
    }

    /// Leaves the pins where they are when this is dropped: the session has no end yet, and whoever
    /// recovers it will want them.
    pub fn leave_pins(&mut self) {
        if let Some(pins) = &mut self.pins {
            pins.leave();
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

/// Pins an iterator that says who reads it.
fn pin_iterator(ebpf: &mut Ebpf, dir: &PinDir) -> Result<(), PinError> {
    let name = PROG_WHO_AM_I;
    let link = attach_iterator(ebpf, name).map_err(|source| dir.refused(name, source))?;
    let link = FdLink::try_from(link).map_err(|source| dir.refused(name, source))?;
    link.pin(dir.file(name))
        .map_err(|source| dir.refused(name, source))?;
    Ok(())
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
