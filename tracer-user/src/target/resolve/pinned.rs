//! What the resolver gives: the workload, how it was recognised, and what was passed over.

use std::fmt;

use crate::units::{BootNs, Comm, Process};

/// The pinned workload.
///
/// Only the resolver makes one, from an event or from what was there at an attach, so whoever asks
/// for a `TraceTarget` cannot be handed a wrapper or a number that somebody typed:
///
/// ```compile_fail,E0308
/// fn observe(_: &tracer::target::TraceTarget) {}
/// observe(&4711_u32); // a bare pid is no target
/// ```
///
/// ```compile_fail,E0451
/// use tracer::units::{BootNs, Comm, Process};
/// let target = tracer::target::TraceTarget {
///     process: Process::default(), // private
///     comm: Comm::default(),
///     exe: Vec::new(),
///     argv: Vec::new(),
///     argv_complete: true,
///     exec_no: 1,
///     at: BootNs(0),
/// };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceTarget {
    pub(super) process: Process,
    pub(super) comm: Comm,
    pub(super) exe: Vec<u8>,
    pub(super) argv: Vec<Vec<u8>>,
    pub(super) argv_complete: bool,
    pub(super) exec_no: u32,
    pub(super) at: BootNs,
}

impl TraceTarget {
    /// The process; its key is its identity.
    #[must_use]
    pub fn process(&self) -> Process {
        self.process
    }

    /// When it started.
    #[must_use]
    pub fn start(&self) -> BootNs {
        self.process.key.start
    }

    /// Its name when it was pinned.
    #[must_use]
    pub fn comm(&self) -> Comm {
        self.comm
    }

    /// The path given to execve, or what `/proc/<pid>/exe` named at an attach; empty when unknown.
    #[must_use]
    pub fn exe(&self) -> &[u8] {
        &self.exe
    }

    /// Its arguments, as many as were reported.
    #[must_use]
    pub fn argv(&self) -> &[Vec<u8>] {
        &self.argv
    }

    /// Whether [`Self::argv`] is all of them.
    #[must_use]
    pub fn argv_complete(&self) -> bool {
        self.argv_complete
    }

    /// Which exec of the process made this image; 0 when it was there before tracking began.
    #[must_use]
    pub fn exec_no(&self) -> u32 {
        self.exec_no
    }

    /// When it became this image: the exec's time, or the process's start at an attach.
    #[must_use]
    pub fn at(&self) -> BootNs {
        self.at
    }
}

/// Why a process was recognised as the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Its comm is the expected name, or its first 15 bytes.
    Comm,
    /// The last component of its path is the expected name.
    Exe,
    /// The last component of `argv[0]` is the expected name.
    Argv0,
    /// It interprets a script, module or command of the expected name.
    Script,
    /// The first program that is no wrapper, or was what a wrapper had been asked to run.
    FirstProgram,
    /// A shell whose `-c` text is the program: several commands, or builtins alone.
    ShellText,
    /// Nothing but what the wrapper could not be seen to run was there when waiting ended.
    OnlyCandidate,
    /// A shell with `-c`, or a multi-call binary, that ended with nothing executed below it: it did the
    /// work itself.
    OnlyProcess,
}

impl Rule {
    /// The name in the record.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Comm => "comm",
            Self::Exe => "exe",
            Self::Argv0 => "argv0",
            Self::Script => "script",
            Self::FirstProgram => "first_program",
            Self::ShellText => "shell_text",
            Self::OnlyCandidate => "only_candidate",
            Self::OnlyProcess => "only_process",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One image that was passed over on the way to the workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Whose image.
    pub process: Process,
    /// Which exec of it; 0 when it was there before tracking began.
    pub exec_no: u32,
    /// Its name.
    pub comm: Comm,
    /// Why it is not the workload.
    pub why: &'static str,
    /// It stands between root and workload by what it is, rather than run on the side.
    pub wrapper: bool,
}

/// The workload, found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// The workload.
    pub target: TraceTarget,
    /// How it was recognised.
    pub rule: Rule,
    /// What was passed over, in order; the first [`super::KEPT`] of them.
    pub skipped: Vec<Skipped>,
    /// Passed over beyond those.
    pub skipped_more: u64,
    /// A shell above it runs more commands afterwards, so the root's exit status is that shell's own.
    pub shell_goes_on: bool,
}
