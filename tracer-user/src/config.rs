//! What the user asked for, checked: the arguments of [`crate::observe`].
//!
//! Made by `cli` from arguments before any work starts; nothing here reads the system.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf, time::Duration};

/// `tracer run`.
#[derive(Debug, Clone)]
pub struct RunConfig {
    /// The command and its arguments; never empty.
    pub command: Vec<OsString>,
    /// Give it a terminal of its own.
    pub pty: bool,
    /// Run it as this user.
    pub user: Option<String>,
    /// Whose end decides the exit code.
    pub exit_from: ExitFrom,
    /// Fail rather than run untraced.
    pub require_trace: bool,
    /// When tracer ends what runs, and how.
    pub ending: EndingConfig,
    /// What both subcommands have.
    pub observe: ObserveConfig,
}

/// When `tracer run` ends what it started, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndingConfig {
    /// The command may take so long.
    pub timeout: Option<Duration>,
    /// Nothing may happen for so long.
    pub idle: Option<Duration>,
    /// Nothing may come out for so long.
    pub stale: Option<Duration>,
    /// What to do when one of those two is over.
    pub on_stall: OnStall,
    /// End what outlives the command.
    pub end_leftovers: bool,
    /// The first signal.
    pub signal: i32,
    /// From it to SIGKILL.
    pub kill_after: Duration,
}

impl EndingConfig {
    /// From the first signal to SIGKILL, unless the user says otherwise.
    pub const KILL_AFTER: Duration = Duration::from_secs(10);
    /// SIGTERM, which `signal(7)` has on every architecture as 15.
    pub const SIGNAL: i32 = 15;
}

impl Default for EndingConfig {
    /// Nothing is ended.
    fn default() -> Self {
        Self {
            timeout: None,
            idle: None,
            stale: None,
            on_stall: OnStall::End,
            end_leftovers: false,
            signal: Self::SIGNAL,
            kill_after: Self::KILL_AFTER,
        }
    }
}

/// What to do when the command stalls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStall {
    /// Say so, once a stall.
    Report,
    /// End it.
    End,
}

/// `tracer attach`.
#[derive(Debug, Clone)]
pub struct AttachConfig {
    /// The root, in the observer's pid namespace.
    pub pid: u32,
    /// Whose end ends the session.
    pub follow: Follow,
    /// How long to wait for the workload to show.
    pub timeout: Duration,
    /// What both subcommands have.
    pub observe: ObserveConfig,
}

/// What every observation needs to know.
#[derive(Debug, Clone)]
pub struct ObserveConfig {
    /// Name of the workload, where the user gave one.
    pub expect: Option<Vec<u8>>,
    /// Time between snapshots.
    pub interval: Duration,
    /// What is dear to read from `/proc` is read at every so many snapshots; at least 1.
    pub slow_every: u32,
    /// The user's labels.
    pub labels: BTreeMap<String, String>,
    /// Where sessions go, where the user said so.
    pub state_dir: Option<PathBuf>,
    /// Where links and maps are pinned, where the user said so.
    pub bpffs: Option<PathBuf>,
    /// Live JSON lines.
    pub json: Option<JsonSink>,
    /// Replace what looks like a secret in command lines before they are recorded.
    pub redact: bool,
    /// What people see.
    pub show: Show,
    /// When written records are made safe from a power failure.
    pub durability: Durability,
    /// Size of the ring buffer, bytes: a power of two and whole pages.
    pub ring_bytes: u32,
    /// The caller's own files to keep beside the record, names unique.
    pub attach_files: Vec<AttachFile>,
    /// Finished sessions to keep, the newest by their end; 0 keeps all.
    pub keep: u32,
    /// Thresholds of anomalies that are not the defaults, by name; names and ranges are checked.
    pub thresholds: BTreeMap<String, f64>,
}

/// A file of the caller's that is copied into the session at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachFile {
    /// What the copy is called: one plain file name.
    pub name: String,
    /// The file; absolute, so that recovery finds it from anywhere.
    pub path: PathBuf,
}

/// When written records are made durable. A killed observer loses none of them either way; this is
/// about power failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// At the start, when someone asks for it, and at the end.
    None,
    /// Also whenever something was written and this much time has passed.
    Interval(Duration),
    /// After every write.
    Always,
}

impl Default for Durability {
    /// A power failure costs at most five seconds of record.
    fn default() -> Self {
        Self::Interval(Duration::from_secs(5))
    }
}

/// `tracer recover`.
#[derive(Debug, Clone)]
pub struct RecoverConfig {
    /// Where sessions are, where the user said so.
    pub state_dir: Option<PathBuf>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Where links and maps are pinned, where the user said so.
    pub bpffs: Option<PathBuf>,
    /// Directories with files of other recorders.
    pub foreign_dirs: Vec<PathBuf>,
}

/// `tracer recover --resume`.
#[derive(Debug, Clone)]
pub struct ResumeConfig {
    /// Where sessions are, where the user said so.
    pub state_dir: Option<PathBuf>,
    /// Where links and maps are pinned, where the user said so.
    pub bpffs: Option<PathBuf>,
    /// Size of the ring buffer, bytes, where nothing is pinned.
    pub ring_bytes: u32,
    /// What people see.
    pub show: Show,
    /// Finished sessions to keep, the newest by their end; 0 keeps all.
    pub keep: u32,
}

/// Whose end decides the exit code of `tracer run`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitFrom {
    /// The command's, so that running it under tracer changes nothing.
    Command,
    /// The workload's behind its wrappers, also where a wrapper hides it.
    Workload,
}

/// Whose end ends an attached session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// The process named by `--pid`.
    Root,
    /// The workload.
    Workload,
}

/// Where live JSON lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonSink {
    /// Standard output, between what the command prints.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

/// What people see on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Nothing but errors.
    Nothing,
    /// One block at the end.
    Block,
    /// Each event as well.
    Events,
}
