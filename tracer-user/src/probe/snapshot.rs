//! Rows of all tracked processes from the task iterator `snapshot`.
//!
//! The program is verified when it is wanted for the first time: most sessions are over before, and
//! nobody's command waits for it. A kernel that does not take it is read by way of `/proc`, for the rest
//! of the session. Where another observer has loaded the kernel side, only this program is loaded, around
//! the maps that it has left pinned.

mod merge;

use std::{
    io::{ErrorKind, Read as _},
    thread,
};

use aya::{
    Ebpf,
    programs::{Program, ProgramError},
};
use tracer_common::names::{MAP_CONTROL, MAP_COUNTERS, MAP_EVENTS, MAP_TRACKED, PROG_SNAPSHOT};

use self::merge::Merger;
use super::{
    attached::{Attached, open_iterator},
    hook_types::{HookKind, hook_types},
    hooks::join,
    loader::{Kernel, Loader, Settings, blind_loader, release_memory},
    memlock::RaisedMemlock,
    offsets::Degraded,
    pin::PinDir,
    support::{ProbeError, Situation},
};
use crate::snapshot::kernel::KernelRow;

/// What the list of missing capabilities calls rows from the kernel side,
pub const CAPABILITY: &str = "snapshots";
/// and what follows.
pub const INSTEAD: &str = "rows are read from /proc, which costs more";

/// What the kernel hands out at once is eight pages.
const BUFFER: usize = 64 << 10;

/// Whether snapshots can be taken, and what is kept from one to the next.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    state: State,
    /// What the program was loaded with, where that is not what the others were.
    own: Option<Ebpf>,
    buffer: Vec<u8>,
    merger: Merger,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There are none, or none any more.
    #[default]
    Absent,
    /// Not loaded yet.
    Wanted(TaskIterator),
    /// Not loaded yet; the maps are those that another observer has pinned.
    Around,
    Loaded,
}

/// What the kernel's task iterators are, as far as loading one needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TaskIterator {
    /// The id of their type.
    id: u32,
    /// Programs count against the limit of locked memory.
    is_memlock_charged: bool,
}

impl TaskIterator {
    fn of(kernel: &Kernel) -> Option<Self> {
        let id = kernel.facts.hooks.task_iterator;
        let id = id.filter(|_| kernel.facts.places.is_some())?;
        Some(Self {
            id,
            is_memlock_charged: kernel.is_memlock_charged,
        })
    }
}

impl Snapshots {
    /// To be loaded with the other programs' maps, if this kernel can have rows.
    pub(super) fn wanted(kernel: &Kernel) -> Self {
        Self {
            state: TaskIterator::of(kernel).map_or(State::Absent, State::Wanted),
            ..Self::default()
        }
    }

    /// To be loaded around the maps of another observer, if these are what the program expects.
    pub(super) fn around(is_same_build: bool) -> Self {
        Self {
            state: if is_same_build {
                State::Around
            } else {
                State::Absent
            },
            ..Self::default()
        }
    }
}

/// What is lost by taking over from an observer.
pub(super) fn lost_around(is_same_build: bool) -> Vec<Degraded> {
    let lost = Degraded {
        name: CAPABILITY.to_owned(),
        why: format!("{INSTEAD}: another build of tracer loaded the kernel side"),
    };
    Vec::from_iter((!is_same_build).then_some(lost))
}

impl Attached {
    /// Replaces `rows` by one for each tracked process that is well alive, in the order in which they
    /// were looked at. False when this kernel has no such rows.
    ///
    /// # Errors
    /// When the kernel refuses the program, or its output makes no sense; from then on there are none.
    pub fn snapshot(&mut self, rows: &mut Vec<KernelRow>) -> Result<bool, ProbeError> {
        rows.clear();
        if self.snapshots.state == State::Absent {
            return Ok(false);
        }
        let result = self.load_and_read();
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

    fn load_and_read(&mut self) -> Result<(), ProbeError> {
        let snapshots = &mut self.snapshots;
        match (snapshots.state, &mut self.ebpf, &self.pins) {
            (State::Wanted(iterator), Some(ebpf), _) => load(ebpf, iterator)?,
            (State::Around, _, Some(pins)) => snapshots.own = Some(load_around(pins.dir())?),
            _ => {}
        }
        snapshots.state = State::Loaded;
        let loaded = snapshots.own.as_mut().or(self.ebpf.as_mut());
        let missing = || ProbeError::step("taking a snapshot", "there is no program for it");
        read(
            loaded.ok_or_else(missing)?,
            &mut snapshots.buffer,
            &mut snapshots.merger,
        )
    }
}

/// Loads the program with the maps that are pinned in `dir`. Of the others nothing is loaded.
fn load_around(dir: &PinDir) -> Result<Ebpf, ProbeError> {
    let (mut aya, kernel) = thread::scope(|scope| {
        let aya = scope.spawn(blind_loader);
        let kernel = Kernel::read(Settings::default());
        (join(aya), kernel)
    });
    let kernel = kernel?;
    let elsewhere = || {
        let why = "this kernel keeps what is in them elsewhere";
        ProbeError::step("finding what snapshots read", why)
    };
    let iterator = TaskIterator::of(&kernel).ok_or_else(elsewhere)?;
    for name in [MAP_EVENTS, MAP_COUNTERS, MAP_TRACKED, MAP_CONTROL] {
        aya.map_pin_path(name, dir.file(name));
    }
    let limit = iterator.is_memlock_charged.then(RaisedMemlock::new);
    let loader = Loader::new(Settings::default());
    let mut ebpf = loader.make_maps(&mut aya, &kernel)?;
    drop(limit);
    drop(aya);
    drop(kernel);
    load(&mut ebpf, iterator)?;
    Ok(ebpf)
}

fn load(ebpf: &mut Ebpf, iterator: TaskIterator) -> Result<(), ProbeError> {
    let types = hook_types(&[(iterator.id, "bpf_iter_task", HookKind::Iterator)])
        .map_err(|source| ProbeError::step("describing the task iterator to aya", source))?;
    // As for the other programs, whose loading is long over.
    let limit = iterator.is_memlock_charged.then(RaisedMemlock::new);
    let loaded = match ebpf.program_mut(PROG_SNAPSHOT) {
        Some(Program::Iter(program)) => program.load("task", &types),
        _ => Err(ProgramError::UnexpectedProgramType),
    };
    drop((types, limit));
    release_memory();
    loaded.map_err(|error| ProbeError::from_program(PROG_SNAPSHOT, error, Situation::read))
}

/// Runs the iterator to its end.
fn read(ebpf: &mut Ebpf, buffer: &mut Vec<u8>, merger: &mut Merger) -> Result<(), ProbeError> {
    const STEP: &str = "taking a snapshot";
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
