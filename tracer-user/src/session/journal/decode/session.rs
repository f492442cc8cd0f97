//! The `session` record, read back.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use super::{Text, argv, bytes, cmdline, comm, parse};
use crate::{
    session::journal::info::{
        Attachment, Backend, ClockPair, FORMAT, Mode, ObserverInfo, RootInfo, SessionInfo, TickRule,
    },
    units::{BootNs, Ticks},
};

#[derive(Deserialize)]
struct SessionKeys<'a> {
    format: u32,
    #[serde(borrow)]
    session_id: Text<'a>,
    epoch: u32,
    boot_id: String,
    #[serde(borrow)]
    clock: ClockKeys<'a>,
    observer: ObserverKeys,
    #[serde(borrow)]
    root: RootKeys<'a>,
    #[serde(borrow)]
    mode: Text<'a>,
    command: Vec<Text<'a>>,
    command_hex: Option<Vec<Option<Text<'a>>>>,
    #[serde(borrow)]
    cwd: Text<'a>,
    cwd_hex: Option<Text<'a>>,
    interval_ns: u64,
    labels: BTreeMap<String, String>,
    #[serde(borrow)]
    backend: Text<'a>,
    degraded: Vec<String>,
    hostname: String,
    uid: u32,
    #[serde(default)]
    object: BTreeMap<String, String>,
    #[serde(default)]
    redact: bool,
    #[serde(default)]
    redacted: u32,
    #[serde(borrow, default)]
    attachments: Vec<AttachmentKeys<'a>>,
}

#[derive(Deserialize)]
struct AttachmentKeys<'a> {
    name: String,
    #[serde(borrow)]
    path: Text<'a>,
    path_hex: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct ClockKeys<'a> {
    boot_ns: u64,
    #[serde(borrow)]
    wall: Text<'a>,
    clk_tck: u64,
    boottime_offset_ns: i64,
}

#[derive(Deserialize)]
struct ObserverKeys {
    pid: u32,
    starttime_ticks: Option<Ticks>,
    version: String,
    pid_ns: Option<u64>,
    rules: Option<u32>,
}

#[derive(Deserialize)]
struct RootKeys<'a> {
    pid: u32,
    starttime_ticks: Option<Ticks>,
    start_boottime_ns: Option<BootNs>,
    #[serde(borrow)]
    comm: Text<'a>,
    comm_hex: Option<Text<'a>>,
    #[serde(borrow)]
    cmdline: Text<'a>,
    cmdline_hex: Option<Text<'a>>,
}

/// The record, unless it is of a later format or not one at all.
pub(super) fn decode(line: &str) -> Option<SessionInfo> {
    let keys: SessionKeys<'_> = parse(line)?;
    if keys.format > FORMAT {
        return None;
    }
    Some(SessionInfo {
        session_id: keys.session_id.parse().ok()?,
        epoch: keys.epoch,
        boot_id: keys.boot_id,
        clock: ClockPair {
            boot: BootNs(keys.clock.boot_ns),
            wall: keys.clock.wall.parse().ok()?,
        },
        tick_rule: TickRule {
            clk_tck: keys.clock.clk_tck,
            boottime_offset_ns: keys.clock.boottime_offset_ns,
        },
        observer: ObserverInfo {
            pid: keys.observer.pid,
            starttime_ticks: keys.observer.starttime_ticks,
            version: keys.observer.version,
            pid_ns: keys.observer.pid_ns,
            rules: keys.observer.rules.unwrap_or(1),
        },
        root: RootInfo {
            pid: keys.root.pid,
            starttime_ticks: keys.root.starttime_ticks,
            start: keys.root.start_boottime_ns,
            comm: comm(&keys.root.comm, keys.root.comm_hex.as_deref())?,
            cmdline: cmdline(&keys.root.cmdline, keys.root.cmdline_hex.as_deref())?,
        },
        mode: match keys.mode.as_ref() {
            "run" => Mode::Run,
            "attach" => Mode::Attach,
            _ => return None,
        },
        command: argv(&keys.command, keys.command_hex.as_deref())?,
        cwd: bytes(&keys.cwd, keys.cwd_hex.as_deref())?,
        interval: Duration::from_nanos(keys.interval_ns),
        labels: keys.labels,
        backend: match keys.backend.as_ref() {
            "ebpf" => Backend::Ebpf,
            "none" => Backend::None,
            _ => return None,
        },
        degraded: keys.degraded,
        hostname: keys.hostname,
        uid: keys.uid,
        object: keys.object,
        redact: keys.redact,
        redacted: keys.redacted,
        attachments: keys
            .attachments
            .into_iter()
            .map(|file| {
                Some(Attachment {
                    path: bytes(&file.path, file.path_hex.as_deref())?,
                    name: file.name,
                })
            })
            .collect::<Option<_>>()?,
    })
}
