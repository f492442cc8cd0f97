//! The records that say something about the others, read back.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Text, bytes, cmdline, comm, process};
use crate::{
    session::journal::record::{Counts, End, Gap, ObserverEnding, Pinned, Skipped, TargetBody},
    units::BootNs,
};

#[derive(Deserialize)]
pub(super) struct SkippedKeys<'a> {
    pid: u32,
    start_boottime_ns: u64,
    pid_init: Option<u32>,
    pid_inner: Option<u32>,
    #[serde(borrow)]
    comm: Text<'a>,
    comm_hex: Option<Text<'a>>,
    reason: String,
}

#[derive(Deserialize)]
pub(super) struct TargetKeys<'a> {
    unresolved: Option<String>,
    pid: Option<u32>,
    start_boottime_ns: Option<u64>,
    pid_init: Option<u32>,
    pid_inner: Option<u32>,
    comm: Option<Text<'a>>,
    comm_hex: Option<Text<'a>>,
    cmdline: Option<Text<'a>>,
    cmdline_hex: Option<Text<'a>>,
    exe: Option<Text<'a>>,
    exe_hex: Option<Text<'a>>,
    rule: Option<String>,
    pin_latency_ns: Option<u64>,
    #[serde(default)]
    redacted: u32,
    #[serde(borrow, default)]
    skipped: Vec<SkippedKeys<'a>>,
}

impl TargetKeys<'_> {
    pub(super) fn target(self) -> Option<TargetBody> {
        if let Some(reason) = self.unresolved {
            return Some(TargetBody::Unresolved { reason });
        }
        let skipped = self.skipped.into_iter().map(|keys| {
            Some(Skipped {
                process: process(
                    keys.pid,
                    keys.pid_init,
                    keys.pid_inner,
                    keys.start_boottime_ns,
                ),
                comm: comm(&keys.comm, keys.comm_hex.as_deref())?,
                reason: keys.reason,
            })
        });
        Some(TargetBody::Pinned(Pinned {
            process: process(
                self.pid?,
                self.pid_init,
                self.pid_inner,
                self.start_boottime_ns?,
            ),
            rule: self.rule?,
            skipped: skipped.collect::<Option<_>>()?,
            comm: comm(&self.comm?, self.comm_hex.as_deref())?,
            cmdline: cmdline(&self.cmdline?, self.cmdline_hex.as_deref())?,
            exe: bytes(&self.exe?, self.exe_hex.as_deref())?,
            pin_latency_ns: self.pin_latency_ns,
            redacted: self.redacted,
        }))
    }
}

#[derive(Deserialize)]
pub(super) struct EventKey<'a> {
    #[serde(borrow)]
    pub(super) event: Text<'a>,
}

#[derive(Deserialize)]
pub(super) struct LossKeys {
    pub(super) reason: String,
    pub(super) count: u64,
}

#[derive(Deserialize)]
pub(super) struct GapKeys {
    reason: String,
    dropped: u64,
    first_t_boot_ns: BootNs,
    last_t_boot_ns: BootNs,
}

impl GapKeys {
    pub(super) fn gap(self) -> Gap {
        Gap {
            reason: self.reason,
            dropped: self.dropped,
            first_t: self.first_t_boot_ns,
            last_t: self.last_t_boot_ns,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct NoteKeys {
    pub(super) topic: String,
    pub(super) text: String,
    #[serde(default)]
    pub(super) data: Map<String, Value>,
}

#[derive(Deserialize)]
pub(super) struct CrashKeys {
    pub(super) cause: String,
    #[serde(default)]
    pub(super) detail: String,
}

#[derive(Deserialize)]
pub(super) struct EndKeys<'a> {
    #[serde(borrow)]
    observer_ending: Text<'a>,
    cause: String,
    counts: Counts,
}

impl EndKeys<'_> {
    pub(super) fn end(self) -> End {
        End {
            ending: ObserverEnding::from(self.observer_ending.as_ref()),
            cause: self.cause,
            counts: self.counts,
        }
    }
}
