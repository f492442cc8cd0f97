//! Why a read of `/proc` gave no value.
//!
//! Four ends that mean four different things to a reader of the record are kept apart; an errno alone
//! does not tell them apart, see [`super::ProcDir`].

use std::io;

use thiserror::Error;

/// Why there is no value.
#[derive(Debug, Error)]
pub enum ReadEnd {
    /// The process has ended and was reaped, or the number names another process now. A normal end,
    /// also between two files of one snapshot.
    #[error("gone")]
    Gone,
    /// The kernel refuses this reader: `ptrace(2)` access mode, `hidepid`.
    #[error("denied")]
    Denied,
    /// It has ended and waits to be reaped: what the file would say is released.
    #[error("zombie")]
    Zombie,
    /// Not looked for: it costs much and is read at a slower pace.
    #[error("not this tick")]
    NotThisTick,
    /// Anything else, with the file and the cause.
    #[error("read failed: {0}")]
    Failed(#[source] io::Error),
}

impl ReadEnd {
    /// A failure that no errno describes: `path` was read, and held something else than it should.
    pub(crate) fn malformed(
        path: String,
        what: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        let source = io::Error::new(io::ErrorKind::InvalidData, what);
        Self::Failed(io::Error::new(
            io::ErrorKind::InvalidData,
            FileError { path, source },
        ))
    }

    /// A failed system call on `path`.
    pub(crate) fn failed(path: String, errno: rustix::io::Errno) -> Self {
        let source = io::Error::from(errno);
        Self::Failed(io::Error::new(source.kind(), FileError { path, source }))
    }
}

/// A file and what went wrong with it.
#[derive(Debug, Error)]
#[error("{path}: {source}")]
pub struct FileError {
    /// The file.
    pub path: String,
    /// The cause.
    pub source: io::Error,
}
