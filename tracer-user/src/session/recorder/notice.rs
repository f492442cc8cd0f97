//! What a user should hear about the record, once.

use std::{fmt, path::PathBuf};

/// Something went wrong with the record, or is right again. The target never notices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The journal cannot be written; it will be tried again.
    WriteFailed {
        /// What the system said.
        error: String,
        /// The session's directory.
        path: PathBuf,
    },
    /// The journal is written again.
    WriteResumed {
        /// Records left out meanwhile; a `gap` record says so too.
        dropped: u64,
    },
    /// A call on the disk does not return.
    Stuck {
        /// The session's directory.
        path: PathBuf,
    },
    /// Written records may not survive a power failure.
    SyncFailed {
        /// What the system said.
        error: String,
    },
    /// `enrollment.json` could not be written.
    EnrollmentFailed {
        /// What the system said.
        error: String,
    },
    /// Making the summary failed by a mistake of tracer's own.
    FoldFailed {
        /// What the panic said.
        said: String,
    },
    /// Writing the record failed by a mistake of tracer's own.
    Panicked {
        /// What the panic said.
        said: String,
    },
    /// The journal's directory was removed under us.
    Removed {
        /// Where it was.
        path: PathBuf,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WriteFailed { error, path } => write!(
                f,
                "cannot write the record in {}: {error}; the command goes on, and so does the record \
                 when there is room again",
                path.display()
            ),
            Self::WriteResumed { dropped: 0 } => {
                f.write_str("the record goes on, nothing was lost")
            }
            Self::WriteResumed { dropped } => {
                write!(
                    f,
                    "the record goes on; {dropped} records were lost meanwhile"
                )
            }
            Self::Stuck { path } => write!(
                f,
                "the disk of {} does not answer; the command goes on, its record may have a gap",
                path.display()
            ),
            Self::SyncFailed { error } => write!(
                f,
                "the disk could not confirm the record ({error}); a power failure may lose part of it"
            ),
            Self::EnrollmentFailed { error } => {
                write!(
                    f,
                    "cannot write the session's enrollment: {error}; it is tried again"
                )
            }
            Self::FoldFailed { said } => write!(
                f,
                "a mistake in tracer: there will be no summary, the record itself is whole ({said})"
            ),
            Self::Panicked { said } => write!(
                f,
                "a mistake in tracer: the record ends here, as crashed ({said})"
            ),
            Self::Removed { path } => write!(
                f,
                "{} was removed: the record of this session will be gone when it ends",
                path.display()
            ),
        }
    }
}
