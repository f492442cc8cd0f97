//! Why an observation could not be made, and the exit code that means.

use std::{io, path::PathBuf};

use thiserror::Error;

use crate::{
    probe::support::ProbeError,
    procfs::ProcError,
    session::{crash::panics::Panicked, recorder::SessionError},
    target::pty::PtyError,
    target::{LaunchError, UserError, attach::AttachError, signals::SignalError},
};

/// Why there is no observation.
#[derive(Debug, Error)]
pub enum ObserveError {
    /// The command could not be started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// `--user` names nobody.
    #[error(transparent)]
    User(#[from] UserError),
    /// The process to attach to is not there, or not one that can be followed.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The workload was not found behind the attached root.
    #[error("{0}")]
    Unresolved(String),
    /// The kernel side could not be started, and the user asked for nothing less.
    #[error("cannot trace")]
    Probe(#[from] ProbeError),
    /// `/proc` cannot be used.
    #[error(transparent)]
    Proc(#[from] ProcError),
    /// The record cannot be kept.
    #[error("cannot keep a record")]
    Record(#[from] SessionError),
    /// `--pty` cannot have a terminal.
    #[error(transparent)]
    Terminal(#[from] PtyError),
    /// Signals cannot be taken as events.
    #[error(transparent)]
    Signals(#[from] SignalError),
    /// The command was released and did not start.
    #[error("{why}")]
    NotStarted {
        /// What the system said.
        why: String,
        /// What to exit with.
        code: u8,
    },
    /// The file of `--json` cannot be opened.
    #[error("cannot write to {}, the file of --json", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A directory of another recorder's files cannot be looked through.
    #[error("cannot look through {}, given by --foreign-dir", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A mistake of tracer's own.
    #[error("a mistake in tracer, please report it: {0}")]
    Panicked(#[from] Panicked),
    /// tracer could not go on.
    #[error("{0}")]
    Failed(String),
    /// The kernel side did not find the process to track.
    #[error(
        "the kernel side does not find process {pid}: it may just have ended; if it is there, follow one \
         of its children"
    )]
    NotTracked {
        /// The root.
        pid: u32,
    },
    /// A system call of tracer's own failed.
    #[error("cannot {step}")]
    System {
        /// What was to be done.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl ObserveError {
    /// The exit code it means: 125 is a failure of tracer's own, as in `env(1)`; 126 and 127 say that the
    /// command cannot be executed or found; 3 that there is no workload; 1 that there is nothing to
    /// attach to.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Launch(error) => error.exit_code(),
            Self::NotStarted { code, .. } => *code,
            Self::Unresolved(_) => 3,
            Self::Attach(_) => 1,
            _ => 125,
        }
    }
}

/// An error and its causes in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_text = next.to_string();
        // Transparent errors say what their source says.
        if !text.ends_with(&next_text) {
            text.push_str(": ");
            text.push_str(&next_text);
        }
        cause = next.source();
    }
    text
}
