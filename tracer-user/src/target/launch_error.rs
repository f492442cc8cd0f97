//! Why a command was not started, and the exit code a shell would give for it.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a command was not started.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// Nothing to run.
    #[error("no command given")]
    Empty,
    /// The system cannot pass it on.
    #[error("argument {index} holds a NUL byte, which no program can be given")]
    Nul {
        /// 0 is the command.
        index: usize,
    },
    /// Out of processes or descriptors, usually.
    #[error("cannot {step} to start the command")]
    Start {
        /// What was tried.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The child could not become what the command needs.
    #[error("the process for the command cannot {step}")]
    SetUp {
        /// What it tried.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// It is nowhere.
    #[error("command {command:?} not found: {}", Searched(.tried))]
    NotFound {
        /// As it was given.
        command: OsString,
        /// Where it was looked for.
        tried: Vec<PathBuf>,
    },
    /// It is there, and what should run it is not.
    #[error(
        "{} is there, but the interpreter or loader that it names is not; look at its first line",
        path.display()
    )]
    NoInterpreter {
        /// The file.
        path: PathBuf,
    },
    /// It is there and does not run.
    #[error("cannot execute {}", path.display())]
    CannotExecute {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It was killed, or ended, while it waited for us.
    #[error("the process for the command ended before it was released (wait status {status:#x})")]
    EndedEarly {
        /// Raw wait status.
        status: i32,
    },
}

impl LaunchError {
    /// The exit code a shell would give: 127 not found, 126 cannot execute, 125 our own failure.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound { .. } | Self::NoInterpreter { .. } => 127,
            Self::CannotExecute { .. } => 126,
            // As if the command had died of it.
            Self::EndedEarly { status } if status & 0x7f != 0 => {
                128 + u8::try_from(status & 0x7f).unwrap_or(0)
            }
            _ => 125,
        }
    }
}

/// Where a command was looked for: one file, or the folders of `PATH`.
struct Searched<'a>(&'a [PathBuf]);

impl fmt::Display for Searched<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("PATH is empty"),
            [path] => write!(f, "there is no {}", path.display()),
            paths => write!(
                f,
                "it is in none of the {} folders of PATH; give its path",
                paths.len()
            ),
        }
    }
}
