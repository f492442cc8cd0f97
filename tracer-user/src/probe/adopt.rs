//! Taking in processes that were there before tracking began.
//!
//! A pass is one run of the task iterator `adopt` on the kernel side, where is also told why nobody is
//! missed. Here is decided when it is enough: after a pass that found nobody and during which nothing
//! happened that asks for another one.

use std::io::Read as _;

use aya::{
    Ebpf,
    programs::{Program, ProgramError},
};
use tracer_common::{
    control::ADOPT_BELOW,
    loss,
    names::{PROG_ADOPT, PROG_FOLLOW_LOOK},
};

use super::{
    attached::{Attached, open_iterator},
    hooks::ADOPTING,
    support::ProbeError,
};
use crate::units::Tgid;

/// Most passes of the task iterator for one adoption. Two are the usual number: one that finds all there
/// are, one that finds nobody more.
const PASSES_MAX: u32 = 64;

/// What an adoption found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Adoption {
    /// Times the processes of the system were gone through.
    pub passes: u32,
    /// The last pass found nobody new, and whoever was born or left alone meanwhile is known:
    /// everything alive below the root is tracked.
    pub converged: bool,
    /// Processes taken in, the root included.
    pub adopted: u32,
}

impl Attached {
    /// Starts tracking the process `root`, a tgid in this process's pid namespace, and everything that
    /// lives below it. Every process taken in is reported as a fork event.
    ///
    /// # Errors
    /// When the task iterator cannot be run.
    pub fn adopt(&mut self, root: Tgid) -> Result<Adoption, ProbeError> {
        if self.ebpf.is_none() {
            // Taken over: all below the root is tracked since the first observer began.
            return Ok(Adoption {
                converged: true,
                ..Adoption::default()
            });
        }
        let is_watched = self.watch_adoptions()?;
        let unsure = self.adoption_doubts()?;
        let mut adoption = Adoption::default();
        self.control.set_adopt(root.0);
        let result = self.adopt_all(&mut adoption, &[PROG_ADOPT]);
        self.control.set_adopt(0);
        result?;
        adoption.converged &= is_watched && self.adoption_doubts()? == unsure;
        Ok(adoption)
    }

    /// Takes in everybody who is to be followed, and everything that lives below them.
    pub(super) fn adopt_followed(&mut self) -> Result<Adoption, ProbeError> {
        let is_watched = self.watch_adoptions()?;
        let unsure = self.adoption_doubts()?;
        let mut adoption = Adoption::default();
        self.control.set_adopt(ADOPT_BELOW);
        let result = self.adopt_all(&mut adoption, &[PROG_FOLLOW_LOOK, PROG_ADOPT]);
        self.control.set_adopt(0);
        result?;
        adoption.converged &= is_watched && self.adoption_doubts()? == unsure;
        Ok(adoption)
    }

    /// As [`Attached::adopt`], for a process that its maker holds: it has done nothing yet, so there is
    /// nobody else to find.
    ///
    /// # Errors
    /// When the task iterator cannot be run.
    pub fn adopt_held(&mut self, root: Tgid) -> Result<Adoption, ProbeError> {
        let mut adoption = Adoption::default();
        self.control.set_adopt(root.0);
        let result = self.adopt_pass(&mut adoption, &[PROG_ADOPT]);
        self.control.set_adopt(0);
        adoption.converged = result?;
        Ok(adoption)
    }

    fn adopt_all(&mut self, adoption: &mut Adoption, by: &[&str]) -> Result<(), ProbeError> {
        let mut asked = self.maps.counter(loss::ADOPT_AGAIN)?;
        while !adoption.converged && adoption.passes < PASSES_MAX {
            let found_any = self.adopt_pass(adoption, by)?;
            let before = std::mem::replace(&mut asked, self.maps.counter(loss::ADOPT_AGAIN)?);
            adoption.converged = !found_any && asked == before;
        }
        Ok(())
    }

    /// Goes through all tasks once with each of these iterators. Whether that found anybody.
    fn adopt_pass(&mut self, adoption: &mut Adoption, by: &[&str]) -> Result<bool, ProbeError> {
        let failed = |source| ProbeError::step("going through the processes", source);
        let mut found = 0;
        if let Some(ebpf) = &mut self.ebpf {
            for program in by {
                found += run_iterator(ebpf, program).map_err(failed)?;
            }
        }
        adoption.passes += 1;
        adoption.adopted += u32::try_from(found / size_of::<u32>()).unwrap_or(u32::MAX);
        Ok(found > 0)
    }

    /// Attaches the programs that see who is born and who is left alone below the root, at the first
    /// adoption. They stay: between adoptions they do nothing, and to take one away can hold up whoever
    /// attaches next. False when this kernel has refused one, which has been named as lacking.
    fn watch_adoptions(&mut self) -> Result<bool, ProbeError> {
        for hook in ADOPTING {
            let ebpf = self.ebpf.as_mut();
            let program = ebpf.and_then(|ebpf| ebpf.program_mut(hook.program));
            let Some(Program::BtfTracePoint(program)) = program else {
                return Ok(false);
            };
            match program.attach() {
                Ok(_) | Err(ProgramError::AlreadyAttached) => {}
                Err(ProgramError::NotLoaded) => return Ok(false),
                Err(source) => {
                    let step = format!("attaching {}", hook.tracepoint);
                    return Err(ProbeError::step(step, source));
                }
            }
        }
        Ok(true)
    }

    /// How often something happened, since the beginning, after which one cannot be sure of an adoption.
    fn adoption_doubts(&self) -> Result<u64, ProbeError> {
        let mut doubts = self.maps.counter(loss::ADOPT_UNSURE)?;
        for hook in ADOPTING {
            if self.has(hook.program) {
                doubts += self.skips_of(hook.program)?;
            }
        }
        Ok(doubts)
    }
}

/// Runs the iterator to its end and returns how many bytes it wrote.
fn run_iterator(ebpf: &mut Ebpf, program: &str) -> std::io::Result<usize> {
    let mut file = open_iterator(ebpf, program).map_err(std::io::Error::other)?;
    let mut buffer = vec![0; 64 << 10];
    let mut total = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(len) => total += len,
            // The kernel pauses after a million tasks without output, and wants to be asked again.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
