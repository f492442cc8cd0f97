//! The records of what the kernel reported, read back.

use serde::Deserialize;

use super::{Text, argv, bytes, cmdline, comm, process};
use crate::{
    event::{Exec, Exit, ExitTotals, Fork, Oom, OomFigures, Scene, Signal},
    units::{Comm, Process},
};

#[derive(Deserialize)]
pub(super) struct ProcessKeys {
    pid: u32,
    start_boottime_ns: u64,
    pid_init: Option<u32>,
    pid_inner: Option<u32>,
}

impl ProcessKeys {
    pub(super) fn process(&self) -> Process {
        process(
            self.pid,
            self.pid_init,
            self.pid_inner,
            self.start_boottime_ns,
        )
    }
}

#[derive(Deserialize)]
pub(super) struct ForkKeys<'a> {
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
    pub(super) fn fork(&self) -> Option<Fork> {
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
pub(super) struct ExecKeys<'a> {
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
    #[serde(default)]
    redacted: u32,
}

impl ExecKeys<'_> {
    pub(super) fn exec(&self) -> Option<Exec> {
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
            redacted: self.redacted,
        })
    }
}

#[derive(Deserialize)]
pub(super) struct ExitKeys<'a> {
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
    children_cpu_user_us: Option<u64>,
    children_cpu_system_us: Option<u64>,
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
    pub(super) fn exit(&self) -> Option<Exit> {
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
                children_cpu_us: self.children_cpu_user_us.zip(self.children_cpu_system_us),
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
pub(super) struct SenderKeys<'a> {
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
    #[serde(default)]
    redacted: u32,
    #[serde(default)]
    exiting: bool,
    #[serde(borrow)]
    parent: Option<SenderParentKeys<'a>>,
}

#[derive(Deserialize)]
pub(super) struct SenderParentKeys<'a> {
    pid: u32,
    start_boottime_ns: u64,
    pid_init: Option<u32>,
    pid_inner: Option<u32>,
    #[serde(borrow)]
    comm: Text<'a>,
    comm_hex: Option<Text<'a>>,
}

impl SenderParentKeys<'_> {
    fn named(&self) -> Option<(Process, Comm)> {
        let process = process(
            self.pid,
            self.pid_init,
            self.pid_inner,
            self.start_boottime_ns,
        );
        Some((process, comm(&self.comm, self.comm_hex.as_deref())?))
    }
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "the shape of a record in the file"
)]
#[derive(Deserialize)]
pub(super) struct SignalKeys<'a> {
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
    #[serde(default)]
    no_info: bool,
    #[serde(default)]
    privileged: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    handled: bool,
    cpu_limit_s: Option<u64>,
    #[serde(borrow)]
    sender: Option<SenderKeys<'a>>,
    #[serde(borrow)]
    running: Option<SenderKeys<'a>>,
}

impl SignalKeys<'_> {
    pub(super) fn signal(&self) -> Option<Signal> {
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
            scene: Scene {
                no_info: self.no_info,
                privileged: self.privileged,
                sender_exiting: sender.exiting,
                blocked: self.blocked,
                handled: self.handled,
                cpu_limit_s: self.cpu_limit_s,
                sender_parent: match &sender.parent {
                    Some(parent) => Some(parent.named()?),
                    None => None,
                },
            },
            sender_redacted: sender.redacted,
        })
    }
}

#[derive(Deserialize)]
pub(super) struct OomKeys<'a> {
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
    pub(super) fn oom(&self) -> Option<Oom> {
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
