//! The first record of an epoch: who observes what, where, and since when.

use std::{collections::BTreeMap, os::unix::ffi::OsStrExt, time::Duration};

use jiff::Timestamp;

use crate::{
    config::AttachFile,
    session::id::SessionId,
    units::{BootNs, Comm, Ticks},
};

/// Version of the journal's format, the key `format`.
pub const FORMAT: u32 = 1;

/// Whose observation this is. Written, and on disk, before the command's first instruction.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionInfo {
    /// The session.
    pub session_id: SessionId,
    /// Which observer's stretch of it; 0 is the first.
    pub epoch: u32,
    /// `/proc/sys/kernel/random/boot_id`, trimmed.
    pub boot_id: String,
    /// One instant on both clocks.
    pub clock: ClockPair,
    /// How start times become the ticks of `/proc/<pid>/stat`.
    pub tick_rule: TickRule,
    /// Who observes.
    pub observer: ObserverInfo,
    /// The process the user named.
    pub root: RootInfo,
    /// How the observation began.
    pub mode: Mode,
    /// The command to run; for an attached target, what it was started with.
    pub command: Vec<Vec<u8>>,
    /// Working directory of the command.
    pub cwd: Vec<u8>,
    /// Time between snapshots.
    pub interval: Duration,
    /// From `--label`.
    pub labels: BTreeMap<String, String>,
    /// What delivers events.
    pub backend: Backend,
    /// Names of capabilities this machine does not give us.
    pub degraded: Vec<String>,
    /// Host name.
    pub hostname: String,
    /// User the command runs as.
    pub uid: u32,
    /// What the loaded eBPF object was built from and with; empty without one.
    pub object: BTreeMap<String, String>,
    /// What looks like a secret in command lines is replaced in this record.
    pub redact: bool,
    /// Secrets that were replaced in `command`, and in `root.cmdline`, which has the same words.
    pub redacted: u32,
    /// The caller's files to keep beside the record: here, so that recovery knows of them.
    pub attachments: Vec<Attachment>,
}

/// A file of the caller's, to be copied into the session at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// What the copy is called. From a journal it is any text: checked again before it becomes a path.
    pub name: String,
    /// The file, absolute.
    pub path: Vec<u8>,
}

impl From<&AttachFile> for Attachment {
    fn from(file: &AttachFile) -> Self {
        Self {
            name: file.name.clone(),
            path: file.path.as_os_str().as_bytes().to_vec(),
        }
    }
}

/// What built the kernel side, from the JSON object of strings that lies beside it; empty when it is
/// none.
#[must_use]
pub fn parse_object(text: &str) -> BTreeMap<String, String> {
    serde_json::from_str(text).unwrap_or_default()
}

/// The same instant on the wall clock and on `CLOCK_BOOTTIME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockPair {
    /// On the boot clock.
    pub boot: BootNs,
    /// On the wall clock.
    pub wall: Timestamp,
}

impl ClockPair {
    /// The wall time of `t`, by this pair. Saturates where the calendar ends.
    #[must_use]
    pub fn wall_of(&self, t: BootNs) -> Timestamp {
        let delta = i128::from(t.0) - i128::from(self.boot.0);
        let limit = if delta < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        };
        Timestamp::from_nanosecond(self.wall.as_nanosecond() + delta).unwrap_or(limit)
    }
}

/// How the kernel turns a start time into field 22 of `/proc/<pid>/stat` for this observer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TickRule {
    /// `sysconf(_SC_CLK_TCK)`.
    pub clk_tck: u64,
    /// Boot-clock offset of the observer's time namespace, ns (`time_namespaces(7)`).
    pub boottime_offset_ns: i64,
}

impl TickRule {
    /// The ticks `/proc` shows for a process started at `start`.
    #[must_use]
    pub fn ticks(&self, start: BootNs) -> Ticks {
        let seen = BootNs(start.0.saturating_add_signed(self.boottime_offset_ns));
        match self.clk_tck {
            // As nearly everywhere: a multiplication instead of a 128-bit division.
            100 => Ticks(seen.0 / 10_000_000),
            other => seen.to_ticks(other),
        }
    }
}

impl Default for TickRule {
    /// 100 ticks a second, which is what every Linux architecture but Alpha shows to user space.
    fn default() -> Self {
        Self {
            clk_tck: 100,
            boottime_offset_ns: 0,
        }
    }
}

/// The tracer process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObserverInfo {
    /// Its pid.
    pub pid: u32,
    /// Its start; `None` when it could not be read.
    pub starttime_ticks: Option<Ticks>,
    /// Version of tracer.
    pub version: String,
    /// Inode of its pid namespace.
    pub pid_ns: Option<u64>,
    /// Version of the rules by which it derives files; 1 where it does not say.
    pub rules: u32,
}

/// The process the user named, before it could do anything of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootInfo {
    /// Pid in the observer's namespace.
    pub pid: u32,
    /// Its start; `None` when it could not be read.
    pub starttime_ticks: Option<Ticks>,
    /// Its start to the ns, where the kernel side gave it.
    pub start: Option<BootNs>,
    /// Name. Of a command that has not begun yet it is tracer's own.
    pub comm: Comm,
    /// Command line, NUL-separated as `/proc/<pid>/cmdline`.
    pub cmdline: Vec<u8>,
}

/// How an observation began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// We started the command.
    Run,
    /// It was there.
    Attach,
}

/// What delivers events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// The kernel side.
    Ebpf,
    /// Nothing: snapshots and the root's wait status only.
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_times_follow_the_pair_both_ways() {
        let wall: Timestamp = "2026-11-21T05:45:12Z".parse().expect("a time");
        let pair = ClockPair {
            boot: BootNs(5_000_000_000),
            wall,
        };
        assert_eq!(
            pair.wall_of(BootNs(5_000_001_000)).to_string(),
            "2026-11-21T05:45:12.000001Z"
        );
        assert_eq!(
            pair.wall_of(BootNs(4_000_000_000)).to_string(),
            "2026-11-21T05:45:11Z"
        );
        assert!(pair.wall_of(BootNs(u64::MAX)) > wall);
    }

    #[test]
    fn ticks_agree_with_the_kernels_rule_also_in_a_time_namespace() {
        for ns in [0, 9_999_999, 10_000_000, u64::MAX] {
            assert_eq!(
                TickRule::default().ticks(BootNs(ns)),
                BootNs(ns).to_ticks(100)
            );
        }
        let odd = TickRule {
            clk_tck: 1024,
            boottime_offset_ns: 0,
        };
        assert_eq!(
            odd.ticks(BootNs(1_000_000_001)),
            BootNs(1_000_000_001).to_ticks(1024)
        );
        let shifted = TickRule {
            clk_tck: 100,
            boottime_offset_ns: -1_000_000_000,
        };
        assert_eq!(shifted.ticks(BootNs(3_000_000_000)), Ticks(200));
        assert_eq!(shifted.ticks(BootNs(5)), Ticks(0));
    }
}
