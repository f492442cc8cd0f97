//! What `tracer reap` is to end.

use std::{path::PathBuf, time::Duration};

/// `tracer reap`.
#[derive(Debug, Clone)]
pub struct ReapConfig {
    /// Whose sessions.
    pub state_dir: Option<PathBuf>,
    /// What these left; all, where none is named.
    pub sessions: Vec<String>,
    /// What sessions with all these labels left.
    pub labels: Vec<(String, String)>,
    /// Of that, only processes whose command line fits one of these.
    pub patterns: Vec<String>,
    /// Only say what would be ended.
    pub dry_run: bool,
    /// From SIGTERM to SIGKILL.
    pub grace: Duration,
}

impl ReapConfig {
    /// From SIGTERM to SIGKILL, unless the user says otherwise.
    pub const GRACE: Duration = Duration::from_secs(2);
}
