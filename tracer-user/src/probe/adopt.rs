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
    ask,
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
    /// Processes taken in, the root included.
    pub adopted: u32,
    /// Why somebody may have been missed.
    pub doubts: Doubts,
}

impl Adoption {
    /// The last pass found nobody new, and whoever was born or left alone meanwhile is known:
    /// everything alive below the root is tracked.
    #[must_use]
    pub fn converged(&self) -> bool {
        self.doubts == Doubts::default()
    }
}

/// What happened during an adoption after which one cannot be sure that it found everybody.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Doubts {
    /// This kernel has refused a program that sees who is born or left alone meanwhile, or the probe was
    /// loaded without.
    pub unwatched: bool,
    /// Times the kernel skipped such a program, for whatever process.
    pub skipped: u64,
    /// Children of dying processes that could not be written down: too many at once or in all, or this
    /// kernel does not say where they are. Of those beyond the most at once, one is counted a process.
    pub unwritten: u64,
    /// Processes found, or born, for which there was no room.
    pub untracked: u64,
    /// After so many passes there was still reason for another.
    pub unfinished: bool,
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
            return Ok(Adoption::default());
        }
        self.adopt_below(root.0, &[PROG_ADOPT])
    }

    /// Takes in everybody who is to be followed, and everything that lives below them.
    pub(super) fn adopt_followed(&mut self) -> Result<Adoption, ProbeError> {
        self.adopt_below(ADOPT_BELOW, &[PROG_FOLLOW_LOOK, PROG_ADOPT])
    }

    /// As [`Attached::adopt`], for a process that its maker holds: it has done nothing yet, so there is
    /// nobody else to find. Where no trees are adopted ([`Settings::adopts_trees`]), the maker is the thread
    /// that calls this.
    ///
    /// # Errors
    /// When the kernel does not let it be looked for.
    pub fn adopt_held(&mut self, root: Tgid) -> Result<Adoption, ProbeError> {
        let mut adoption = Adoption::default();
        self.control.set_adopt(root.0);
        let result = match self.ebpf.as_mut().and_then(ask::adopt_held) {
            Some(result) => result.map(|is_tracked| adoption.adopted = u32::from(is_tracked)),
            None => self.adopt_pass(&mut adoption, &[PROG_ADOPT]).map(drop),
        };
        self.control.set_adopt(0);
        result?;
        Ok(adoption)
    }

    /// `asked`: what the kernel side is told to take in.
    fn adopt_below(&mut self, asked: u32, by: &[&str]) -> Result<Adoption, ProbeError> {
        let unwatched = !self.watch_adoptions()?;
        let before = self.doubtful()?;
        let mut adoption = Adoption::default();
        self.control.set_adopt(asked);
        let result = self.adopt_all(&mut adoption, by);
        self.control.set_adopt(0);
        let unfinished = !result?;
        let now = self.doubtful()?;
        adoption.doubts = Doubts {
            unwatched,
            skipped: now.skipped.saturating_sub(before.skipped),
            unwritten: now.unwritten.saturating_sub(before.unwritten),
            untracked: now.untracked.saturating_sub(before.untracked),
            unfinished,
        };
        Ok(adoption)
    }

    /// Pass after pass, until one is enough. False when there were too many.
    fn adopt_all(&mut self, adoption: &mut Adoption, by: &[&str]) -> Result<bool, ProbeError> {
        let mut asked = self.maps.counter(loss::ADOPT_AGAIN)?;
        while adoption.passes < PASSES_MAX {
            let found_any = self.adopt_pass(adoption, by)?;
            let before = std::mem::replace(&mut asked, self.maps.counter(loss::ADOPT_AGAIN)?);
            if !found_any && asked == before {
                return Ok(true);
            }
        }
        Ok(false)
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

    /// How often, since the beginning, happened what makes an adoption doubtful.
    fn doubtful(&self) -> Result<Doubts, ProbeError> {
        let mut doubts = Doubts {
            unwritten: self.maps.counter(loss::ADOPT_UNSURE)?,
            untracked: self.maps.counter(loss::MAP_FULL)?,
            ..Doubts::default()
        };
        for hook in ADOPTING {
            if self.has(hook.program) {
                doubts.skipped += self.skips_of(hook.program)?;
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
