//! Why an observation could not be made, and the exit code that means.

use std::io;

use thiserror::Error;

use crate::{
    probe::ProbeError,
    procfs::ProcError,
    session::recorder::SessionError,
    target::{attach::AttachError, launch::LaunchError, resolve::Unresolved, user::UserError},
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
    #[error("cannot trace: {0}")]
    Probe(#[from] ProbeError),
    /// `/proc` cannot be used.
    #[error(transparent)]
    Proc(#[from] ProcError),
    /// The record cannot be kept.
    #[error("cannot keep a record: {0}")]
    Record(#[from] SessionError),
    /// A system call of tracer's own failed.
    #[error("cannot {step}: {source}")]
    System {
        /// What was to be done.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
}
