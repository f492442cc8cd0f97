//! Rows of all tracked processes from the task iterator `snapshot`.
//!
//! The program is verified when it is wanted for the first time: most sessions are over before, and
//! nobody's command waits for it. A kernel that does not take it is read by way of `/proc`, for the rest
//! of the session.

mod merge;

use std::io::{ErrorKind, Read as _};

use aya::{
    Ebpf,
    programs::{Program, ProgramError},
};
use tracer_common::names::PROG_SNAPSHOT;

use self::merge::Merger;
use super::{
    attached::{Attached, open_iterator},
    hook_types::{HookKind, hook_types},
    loader::release_memory,
    support::ProbeError,
};
use crate::snapshot::kernel::KernelRow;

/// What the kernel hands out at once is eight pages.
const BUFFER: usize = 64 << 10;

/// Whether snapshots can be taken, and what is kept from one to the next.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    state: State,
    buffer: Vec<u8>,
    merger: Merger,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// This kernel, or a probe taken over from another observer, has none.
    #[default]
    Absent,
    /// Not loaded yet; the id of the iterator's type.
    Wanted(u32),
    Loaded,
}

impl Snapshots {
    /// `iterator`: the id of the kernel's type of task iterators, if rows can be had.
    pub(super) fn new(iterator: Option<u32>) -> Self {
        Self {
            state: iterator.map_or(State::Absent, State::Wanted),
            ..Self::default()
        }
    }
}

impl Attached {
    /// Replaces `rows` by one for each tracked process that is well alive, in the order in which they
    /// were looked at. False when this kernel has no such rows.
    ///
    /// # Errors
    /// When the kernel refuses the program, or its output makes no sense; from then on there are none.
    pub fn snapshot(&mut self, rows: &mut Vec<KernelRow>) -> Result<bool, ProbeError> {
        rows.clear();
        let Some(ebpf) = &mut self.ebpf else {
            return Ok(false);
        };
        let result = match self.snapshots.state {
            State::Absent => return Ok(false),
            State::Wanted(id) => load(ebpf, id),
            State::Loaded => Ok(()),
        };
        let result = result.and_then(|()| {
            self.snapshots.state = State::Loaded;
            read(ebpf, &mut self.snapshots)
        });
        match result {
            Ok(()) => {
                self.snapshots.merger.rows(rows);
                Ok(true)
            }
            Err(error) => {
                self.snapshots = Snapshots::default();
                Err(error)
            }
        }
    }
}

fn load(ebpf: &mut Ebpf, id: u32) -> Result<(), ProbeError> {
    let step = |source: ProgramError| ProbeError::step("loading the program for snapshots", source);
    let types = hook_types(&[(id, "bpf_iter_task", HookKind::Iterator)])
        .map_err(|source| ProbeError::step("describing the task iterator to aya", source))?;
    let loaded = match ebpf.program_mut(PROG_SNAPSHOT) {
        Some(Program::Iter(program)) => program.load("task", &types).map_err(step),
        _ => Err(step(ProgramError::UnexpectedProgramType)),
    };
    drop(types);
    release_memory();
    loaded
}

/// Runs the iterator to its end.
fn read(ebpf: &mut Ebpf, snapshots: &mut Snapshots) -> Result<(), ProbeError> {
    const STEP: &str = "taking a snapshot";
    let Snapshots { buffer, merger, .. } = snapshots;
    let mut file =
        open_iterator(ebpf, PROG_SNAPSHOT).map_err(|source| ProbeError::step(STEP, source))?;
    buffer.resize(BUFFER, 0);
    merger.begin();
    loop {
        match file.read(buffer) {
            // Whole records only: the kernel gives what one task wrote in one piece or not at all, but
            // a read may end between two.
            Ok(0) => {
                return merger
                    .end()
                    .map_err(|source| ProbeError::step(STEP, source));
            }
            Ok(len) => merger
                .take(&buffer[..len])
                .map_err(|source| ProbeError::step(STEP, source))?,
            // The kernel pauses after a million tasks without output, and wants to be asked again.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(ProbeError::step(STEP, error)),
        }
    }
}
