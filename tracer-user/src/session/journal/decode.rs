//! Journal lines to records: what `encode` wrote, read back exactly.
//!
//! Keys this version does not know are ignored and kinds it does not know become
//! [`Body::Unknown`]; so does a known kind whose keys no longer fit. Pure, and total: there are no
//! bytes that make it panic.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    event::{EventKind, Exec, Exit, ExitTotals, Fork, Oom, OomFigures, Signal},
    session::journal::{
        record::{
            Body, Counts, Crash, End, Gap, Note, ObserverEnding, Pinned, Skipped, SnapshotEvent,
            TargetBody,
        },
        text::{cmdline_from_text, parse_hex},
    },
    snapshot::{SnapshotRow, TreeTotals},
    units::{BootNs, Comm, ProcKey, Process, Tgid},
};

mod session;

/// Reads the body of a line, given whole and without its newline, of this `kind`. `None` when the
/// line is not a JSON object.
#[must_use]
pub fn decode_body(kind: &str, line: &[u8]) -> Option<Body> {
    decode_known(kind, line).or_else(|| decode_unknown(kind, line))
}

fn decode_known(kind: &str, line: &[u8]) -> Option<Body> {
    Some(match kind {
        "fork" => Body::Event(EventKind::Fork(parse::<ForkKeys<'_>>(line)?.fork()?)),
        "exec" => Body::Event(EventKind::Exec(Box::new(
            parse::<ExecKeys<'_>>(line)?.exec()?,
        ))),
        "exit" => Body::Event(EventKind::Exit(Box::new(
            parse::<ExitKeys<'_>>(line)?.exit()?,
        ))),
        "signal" => Body::Event(EventKind::Signal(Box::new(
            parse::<SignalKeys<'_>>(line)?.signal()?,
        ))),
        "oom" => Body::Event(EventKind::Oom(Box::new(parse::<OomKeys<'_>>(line)?.oom()?))),
        "session" => Body::Session(Box::new(session::decode(line)?)),
        "target" => Body::Target(Box::new(parse::<TargetKeys<'_>>(line)?.target()?)),
        "snapshot" => {
            let event = match parse::<EventKey<'_>>(line)?.event.as_ref() {
                "snapshot" => SnapshotEvent::Snapshot,
                "exit_snapshot" => SnapshotEvent::ExitSnapshot,
                _ => return None,
            };
            Body::Snapshot {
                row: Box::new(parse::<SnapshotRow>(line)?),
                event,
            }
        }
        "tick" => Body::Tick(Box::new(parse::<TreeTotals>(line)?)),
        "anomaly" => Body::Anomaly(Box::new(parse::<AnomalyKeys>(line)?.anomaly)),
        "loss" => {
            let keys = parse::<LossKeys>(line)?;
            Body::Loss {
                reason: keys.reason,
                count: keys.count,
            }
        }
        "gap" => Body::Gap(Box::new(parse::<GapKeys>(line)?.gap())),
        "note" => {
            let keys = parse::<NoteKeys>(line)?;
            Body::Note(Box::new(Note {
                topic: keys.topic,
                text: keys.text,
                data: keys.data,
            }))
        }
        "crash" => {
            let keys = parse::<CrashKeys>(line)?;
            Body::Crash(Box::new(Crash {
                cause: keys.cause,
                detail: keys.detail,
            }))
        }
        "end" => Body::End(Box::new(parse::<EndKeys<'_>>(line)?.end())),
        _ => return None,
    })
}

fn decode_unknown(kind: &str, line: &[u8]) -> Option<Body> {
    let mut value: Map<String, Value> = parse(line)?;
    for key in ["seq", "t_boot_ns", "kind", "crc"] {
        value.remove(key);
    }
    Some(Body::Unknown {
        kind: kind.to_owned(),
        value,
    })
}

fn parse<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Option<T> {
    serde_json::from_slice(line).ok()
}

type Text<'a> = Cow<'a, str>;

/// The bytes of a text and its hex key.
fn bytes(text: &str, hex: Option<&str>) -> Option<Vec<u8>> {
    hex.map_or_else(|| Some(text.as_bytes().to_vec()), parse_hex)
}

fn comm(text: &str, hex: Option<&str>) -> Option<Comm> {
    Some(match hex {
        None => Comm::from_bytes(text.as_bytes()),
        Some(hex) => Comm::from_bytes(&parse_hex(hex)?),
    })
}

fn cmdline(text: &str, hex: Option<&str>) -> Option<Vec<u8>> {
    hex.map_or_else(|| Some(cmdline_from_text(text)), parse_hex)
}

fn argv(texts: &[Text<'_>], hex: Option<&[Option<Text<'_>>]>) -> Option<Vec<Vec<u8>>> {
    let hex_of = |at: usize| hex.and_then(|list| list.get(at)?.as_deref());
    texts
        .iter()
        .enumerate()
        .map(|(at, text)| bytes(text, hex_of(at)))
        .collect()
}

/// A process from its keys; an absent pid is the same as `pid`.
fn process(pid: u32, init: Option<u32>, inner: Option<u32>, start: u64) -> Process {
    Process {
        key: ProcKey {
            init: init.unwrap_or(pid),
            start: BootNs(start),
        },
        tgid: Tgid(pid),
        inner: inner.unwrap_or(pid),
    }
}

#[derive(Deserialize)]
struct ProcessKeys {
    pid: u32,
    start_boottime_ns: u64,
    pid_init: Option<u32>,
    pid_inner: Option<u32>,
}

impl ProcessKeys {
    fn process(&self) -> Process {
        process(
            self.pid,
            self.pid_init,
            self.pid_inner,
            self.start_boottime_ns,
        )
    }
}

#[derive(Deserialize)]
struct ForkKeys<'a> {
    pid: u32,
    start_boottime_ns: u64,
    pid_init: Option<u32>,
    pid_inner: Option<u32>,
    ppid: u32,
    parent_start_boottime_ns: u64,
    parent_pid_init: Option<u32>,
    parent_pid_inner: Option<u32>,
    creator_pid: u32,
    creator_start_boottime_ns: Option<u64>,
    creator_pid_init: Option<u32>,
    creator_pid_inner: Option<u32>,
    #[serde(borrow)]
    comm: Text<'a>,
    comm_hex: Option<Text<'a>>,
    depth: u32,
    uid: u32,
    #[serde(default)]
    adopted: bool,
}

impl ForkKeys<'_> {
    fn fork(&self) -> Option<Fork> {
        let parent = process(
            self.ppid,
            self.parent_pid_init,
            self.parent_pid_inner,
            self.parent_start_boottime_ns,
        );
        let creator = self.creator_start_boottime_ns.map_or(parent, |start| {
            process(
                self.creator_pid,
                self.creator_pid_init,
                self.creator_pid_inner,
                start,
            )
        });
        Some(Fork {
            child: process(
                self.pid,
                self.pid_init,
                self.pid_inner,
                self.start_boottime_ns,
            ),
            creator,
            parent,
            comm: comm(&self.comm, self.comm_hex.as_deref())?,
            depth: self.depth,
            uid: self.uid,
            adopted: self.adopted,
        })
    }
}

#[derive(Deserialize)]
struct ExecKeys<'a> {
    pid: u32,
    start_boottime_ns: u64,
    pid_init: Option<u32>,
    pid_inner: Option<u32>,
    exec_no: u32,
    #[serde(borrow)]
    comm: Text<'a>,
    comm_hex: Option<Text<'a>>,
    #[serde(borrow)]
    filename: Text<'a>,
    filename_hex: Option<Text<'a>>,
    #[serde(default)]
    filename_truncated: bool,
    argv: Vec<Text<'a>>,
    argv_hex: Option<Vec<Option<Text<'a>>>>,
    argv_truncated: bool,
    #[serde(default)]
    argv_unreadable: bool,
    argc: u32,
    argv_bytes: u64,
    euid: u32,
    caller_tid: u32,
}

impl ExecKeys<'_> {
    fn exec(&self) -> Option<Exec> {
        Some(Exec {
            process: process(
                self.pid,
                self.pid_init,
                self.pid_inner,
                self.start_boottime_ns,
            ),
            comm: comm(&self.comm, self.comm_hex.as_deref())?,
            filename: bytes(&self.filename, self.filename_hex.as_deref())?,
            filename_truncated: self.filename_truncated,
            argv: argv(&self.argv, self.argv_hex.as_deref())?,
            argc: self.argc,
            argv_bytes: self.argv_bytes,
            argv_truncated: self.argv_truncated,
            argv_unreadable: self.argv_unreadable,
            exec_no: self.exec_no,
            euid: self.euid,
            caller_tid: self.caller_tid,
        })
    }
}

#[derive(Deserialize)]
struct ExitKeys<'a> {
    pid: u32,
    start_boottime_ns: u64,
    pid_init: Option<u32>,
    pid_inner: Option<u32>,
    ppid: u32,
    parent_start_boottime_ns: u64,
    parent_pid_init: Option<u32>,
    parent_pid_inner: Option<u32>,
    #[serde(borrow)]
    comm: Text<'a>,
    comm_hex: Option<Text<'a>>,
    status: u32,
    wall_ns: u64,
    cpu_user_us: u64,
    cpu_system_us: u64,
    peak_rss_kb: u64,
    #[serde(default)]
    peak_rss_upper_bound: bool,
    faults_minor: u64,
    faults_major: u64,
    ctx_switches_voluntary: u64,
    ctx_switches_involuntary: u64,
    io_read_bytes: Option<u64>,
    io_write_bytes: Option<u64>,
    #[serde(default)]
    totals_partial: bool,
    execs: u32,
    threads: u32,
}

impl ExitKeys<'_> {
    fn exit(&self) -> Option<Exit> {
        Some(Exit {
            process: process(
                self.pid,
                self.pid_init,
                self.pid_inner,
                self.start_boottime_ns,
            ),
            parent: process(
                self.ppid,
                self.parent_pid_init,
                self.parent_pid_inner,
                self.parent_start_boottime_ns,
            ),
            comm: comm(&self.comm, self.comm_hex.as_deref())?,
            status: self.status,
            totals: ExitTotals {
                wall_ns: self.wall_ns,
                cpu_user_us: self.cpu_user_us,
                cpu_system_us: self.cpu_system_us,
                peak_rss_kb: self.peak_rss_kb,
                peak_rss_upper_bound: self.peak_rss_upper_bound,
                faults_minor: self.faults_minor,
                faults_major: self.faults_major,
                ctx_switches_voluntary: self.ctx_switches_voluntary,
                ctx_switches_involuntary: self.ctx_switches_involuntary,
                io_read_bytes: self.io_read_bytes,
                io_write_bytes: self.io_write_bytes,
                partial: self.totals_partial,
            },
            execs: self.execs,
            threads: self.threads,
        })
    }
}

#[derive(Deserialize)]
struct SenderKeys<'a> {
    pid: u32,
    start_boottime_ns: u64,
    pid_init: Option<u32>,
    pid_inner: Option<u32>,
    #[serde(borrow)]
    comm: Text<'a>,
    comm_hex: Option<Text<'a>>,
    #[serde(borrow)]
    cmdline: Text<'a>,
    cmdline_hex: Option<Text<'a>>,
    uid: u32,
}

#[derive(Deserialize)]
struct SignalKeys<'a> {
    pid: u32,
    start_boottime_ns: u64,
    pid_init: Option<u32>,
    pid_inner: Option<u32>,
    signal: i32,
    code: i32,
    result: i32,
    group: bool,
    #[serde(default)]
    from_kernel: bool,
    #[serde(borrow)]
    sender: Option<SenderKeys<'a>>,
    #[serde(borrow)]
    running: Option<SenderKeys<'a>>,
}

impl SignalKeys<'_> {
    fn signal(&self) -> Option<Signal> {
        let sender = if self.from_kernel {
            &self.running
        } else {
            &self.sender
        };
        let sender = sender.as_ref()?;
        Some(Signal {
            target: process(
                self.pid,
                self.pid_init,
                self.pid_inner,
                self.start_boottime_ns,
            ),
            signal: self.signal,
            code: self.code,
            result: self.result,
            group: self.group,
            from_kernel: self.from_kernel,
            sender: process(
                sender.pid,
                sender.pid_init,
                sender.pid_inner,
                sender.start_boottime_ns,
            ),
            sender_comm: comm(&sender.comm, sender.comm_hex.as_deref())?,
            sender_uid: sender.uid,
            sender_cmdline: cmdline(&sender.cmdline, sender.cmdline_hex.as_deref())?,
        })
    }
}

#[derive(Deserialize)]
struct OomKeys<'a> {
    pid: u32,
    start_boottime_ns: u64,
    pid_init: Option<u32>,
    pid_inner: Option<u32>,
    #[serde(borrow)]
    comm: Text<'a>,
    comm_hex: Option<Text<'a>>,
    trigger: ProcessKeys,
    total_vm_kb: Option<u64>,
    anon_rss_kb: Option<u64>,
    file_rss_kb: Option<u64>,
    shmem_rss_kb: Option<u64>,
    oom_score_adj: i32,
}

impl OomKeys<'_> {
    fn oom(&self) -> Option<Oom> {
        let figures = || {
            Some(OomFigures {
                total_vm_kb: self.total_vm_kb?,
                anon_rss_kb: self.anon_rss_kb?,
                file_rss_kb: self.file_rss_kb?,
                shmem_rss_kb: self.shmem_rss_kb?,
            })
        };
        Some(Oom {
            victim: process(
                self.pid,
                self.pid_init,
                self.pid_inner,
                self.start_boottime_ns,
            ),
            comm: comm(&self.comm, self.comm_hex.as_deref())?,
            trigger: self.trigger.process(),
            figures: figures(),
            oom_score_adj: self.oom_score_adj,
        })
    }
}

#[derive(Deserialize)]
struct SkippedKeys<'a> {
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
struct TargetKeys<'a> {
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
    #[serde(borrow, default)]
    skipped: Vec<SkippedKeys<'a>>,
}

impl TargetKeys<'_> {
    fn target(self) -> Option<TargetBody> {
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
        }))
    }
}

#[derive(Deserialize)]
struct EventKey<'a> {
    #[serde(borrow)]
    event: Text<'a>,
}

#[derive(Deserialize)]
struct AnomalyKeys {
    anomaly: Value,
}

#[derive(Deserialize)]
struct LossKeys {
    reason: String,
    count: u64,
}

#[derive(Deserialize)]
struct GapKeys {
    reason: String,
    dropped: u64,
    first_t_boot_ns: BootNs,
    last_t_boot_ns: BootNs,
}

impl GapKeys {
    fn gap(self) -> Gap {
        Gap {
            reason: self.reason,
            dropped: self.dropped,
            first_t: self.first_t_boot_ns,
            last_t: self.last_t_boot_ns,
        }
    }
}

#[derive(Deserialize)]
struct NoteKeys {
    topic: String,
    text: String,
    #[serde(default)]
    data: Map<String, Value>,
}

#[derive(Deserialize)]
struct CrashKeys {
    cause: String,
    #[serde(default)]
    detail: String,
}

#[derive(Deserialize)]
struct EndKeys<'a> {
    #[serde(borrow)]
    observer_ending: Text<'a>,
    cause: String,
    counts: Counts,
}

impl EndKeys<'_> {
    fn end(self) -> End {
        End {
            ending: ObserverEnding::from(self.observer_ending.as_ref()),
            cause: self.cause,
            counts: self.counts,
        }
    }
}
