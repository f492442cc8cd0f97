//! Records to journal lines.
//!
//! Events are written by hand into a buffer that is used again: one line costs well under a microsecond.
//! Kinds that come a few times a second go through serde. The way back is `decode`. Pure.

#![expect(
    clippy::inline_always,
    reason = "for the keys: a copy of known length is a few instructions, any other is a call, and a line has forty"
)]

mod account;
mod session;

use serde::Serialize;

use crate::{
    event::{EventKind, Exec, Exit, Fork, Oom, Signal},
    session::journal::{
        end_line,
        escape::put_json,
        info::TickRule,
        record::{Body, TargetBody},
        text::{
            key, put_argv, put_bytes, put_cmdline, put_hex, put_i64, put_list, put_opt_u64,
            put_str, put_u64,
        },
    },
    units::{BootNs, Comm, Process},
    verdict::signals,
};

/// The constant bytes of a line's last key and end: `,"crc":"xxxxxxxx"}`.
pub const TAIL_BYTES: usize = 18;

/// Writes lines. Holds what a line needs and the record itself does not know.
#[derive(Debug, Clone, Copy, Default)]
pub struct Encoder {
    /// For the `starttime_ticks` beside every `start_boottime_ns`.
    pub tick_rule: TickRule,
}

impl Encoder {
    /// Appends one line, newline included.
    pub fn line(&self, out: &mut Vec<u8>, seq: u64, t: BootNs, body: &Body) {
        let start = out.len();
        out.extend_from_slice(b"{\"seq\":");
        put_u64(out, seq);
        out.extend_from_slice(key!("t_boot_ns"));
        put_u64(out, t.0);
        out.extend_from_slice(b",\"kind\":\"");
        put_kind(out, body);
        out.push(b'"');
        self.body(out, start, body);
        put_tail(out, start);
    }

    fn body(&self, out: &mut Vec<u8>, start: usize, body: &Body) {
        match body {
            Body::Event(EventKind::Fork(fork)) => self.fork(out, fork),
            Body::Event(EventKind::Exec(exec)) => self.exec(out, exec),
            Body::Event(EventKind::Exit(exit)) => self.exit(out, exit),
            Body::Event(EventKind::Signal(signal)) => self.signal(out, signal),
            Body::Event(EventKind::Oom(oom)) => self.oom(out, oom),
            Body::Event(EventKind::Account(account)) => self.account(out, account),
            Body::Session(info) => session::put(out, info),
            Body::Target(target) => self.target(out, target),
            Body::Snapshot { row, event } => {
                out.extend_from_slice(key!("event"));
                put_str(out, event.as_str());
                put_serde(out, row);
            }
            Body::Tick(totals) => put_serde(out, totals),
            Body::Anomaly(anomaly) => {
                put_field(out, key!("event"), "anomaly");
                put_serde(out, anomaly);
            }
            Body::Loss { reason, count } => {
                put_field(out, key!("reason"), reason);
                put_number(out, key!("count"), *count);
            }
            Body::Gap(gap) => {
                put_field(out, key!("reason"), &gap.reason);
                put_number(out, key!("dropped"), gap.dropped);
                put_number(out, key!("first_t_boot_ns"), gap.first_t.0);
                put_number(out, key!("last_t_boot_ns"), gap.last_t.0);
            }
            Body::Note(note) => {
                put_field(out, key!("topic"), &note.topic);
                put_field(out, key!("text"), &note.text);
                if !note.data.is_empty() {
                    put_value(out, key!("data"), &note.data);
                }
            }
            Body::Crash(crash) => {
                put_field(out, key!("cause"), &crash.cause);
                put_field(out, key!("detail"), &crash.detail);
            }
            Body::End(end) => end_line::put(out, start, end),
            Body::Unknown { value, .. } => put_serde(out, value),
        }
    }

    /// `pid`, what makes it unique, and the other names it has where they differ.
    fn process(&self, out: &mut Vec<u8>, process: &Process) {
        put_number(out, key!("pid"), process.tgid.0.into());
        put_number(
            out,
            key!("starttime_ticks"),
            self.tick_rule.ticks(process.key.start).0,
        );
        put_number(out, key!("start_boottime_ns"), process.key.start.0);
        put_other_pids(out, process, key!("pid_init"), key!("pid_inner"));
    }

    /// `ppid` and what makes the parent unique.
    fn parent(out: &mut Vec<u8>, parent: &Process) {
        put_number(out, key!("ppid"), parent.tgid.0.into());
        put_number(out, key!("parent_start_boottime_ns"), parent.key.start.0);
        put_other_pids(
            out,
            parent,
            key!("parent_pid_init"),
            key!("parent_pid_inner"),
        );
    }

    fn fork(&self, out: &mut Vec<u8>, fork: &Fork) {
        self.process(out, &fork.child);
        Self::parent(out, &fork.parent);
        put_number(out, key!("creator_pid"), fork.creator.tgid.0.into());
        // Only CLONE_PARENT and adoption make the two differ.
        if fork.creator != fork.parent {
            put_number(
                out,
                key!("creator_start_boottime_ns"),
                fork.creator.key.start.0,
            );
            put_other_pids(
                out,
                &fork.creator,
                key!("creator_pid_init"),
                key!("creator_pid_inner"),
            );
        }
        put_comm(out, &fork.comm);
        put_number(out, key!("depth"), fork.depth.into());
        put_number(out, key!("uid"), fork.uid.into());
        put_flag(out, key!("adopted"), fork.adopted);
    }

    fn exec(&self, out: &mut Vec<u8>, exec: &Exec) {
        self.process(out, &exec.process);
        put_number(out, key!("exec_no"), exec.exec_no.into());
        put_comm(out, &exec.comm);
        put_bytes(out, key!("filename"), key!("filename_hex"), &exec.filename);
        put_flag(out, key!("filename_truncated"), exec.filename_truncated);
        put_argv(out, key!("argv"), key!("argv_hex"), &exec.argv);
        put_bool(out, key!("argv_truncated"), exec.argv_truncated);
        put_flag(out, key!("argv_unreadable"), exec.argv_unreadable);
        put_number(out, key!("argc"), exec.argc.into());
        put_number(out, key!("argv_bytes"), exec.argv_bytes);
        put_number(out, key!("euid"), exec.euid.into());
        put_number(out, key!("caller_tid"), exec.caller_tid.into());
        put_count(out, key!("redacted"), exec.redacted);
    }

    fn exit(&self, out: &mut Vec<u8>, exit: &Exit) {
        self.process(out, &exit.process);
        Self::parent(out, &exit.parent);
        put_number(out, key!("status"), exit.status.into());
        out.extend_from_slice(key!("exit_code"));
        match exit.status & 0x7f {
            0 => {
                put_u64(out, u64::from(exit.status >> 8 & 0xff));
                out.extend_from_slice(b",\"signal\":null");
            }
            signal => {
                out.extend_from_slice(b"null,\"signal\":");
                put_str(out, &signals::name(i32::try_from(signal).unwrap_or(0)));
            }
        }
        put_bool(out, key!("core_dumped"), exit.status & 0x80 != 0);
        put_comm(out, &exit.comm);
        let totals = &exit.totals;
        put_number(out, key!("wall_us"), totals.wall_ns / 1_000);
        put_number(out, key!("wall_ns"), totals.wall_ns);
        put_number(out, key!("cpu_user_us"), totals.cpu_user_us);
        put_number(out, key!("cpu_system_us"), totals.cpu_system_us);
        if let Some((user, system)) = totals.children_cpu_us {
            put_number(out, key!("children_cpu_user_us"), user);
            put_number(out, key!("children_cpu_system_us"), system);
        }
        put_number(out, key!("peak_rss_kb"), totals.peak_rss_kb);
        let is_bound = totals.peak_rss_upper_bound;
        put_flag(out, key!("peak_rss_upper_bound"), is_bound);
        put_number(out, key!("faults_major"), totals.faults_major);
        put_number(out, key!("faults_minor"), totals.faults_minor);
        put_number(
            out,
            key!("ctx_switches_voluntary"),
            totals.ctx_switches_voluntary,
        );
        put_number(
            out,
            key!("ctx_switches_involuntary"),
            totals.ctx_switches_involuntary,
        );
        out.extend_from_slice(key!("io_read_bytes"));
        put_opt_u64(out, totals.io_read_bytes);
        out.extend_from_slice(key!("io_write_bytes"));
        put_opt_u64(out, totals.io_write_bytes);
        put_flag(out, key!("totals_partial"), totals.partial);
        put_number(out, key!("execs"), exit.execs.into());
        put_number(out, key!("threads"), exit.threads.into());
    }

    fn signal(&self, out: &mut Vec<u8>, signal: &Signal) {
        self.process(out, &signal.target);
        out.extend_from_slice(key!("signal"));
        put_i64(out, signal.signal.into());
        put_field(out, key!("signal_name"), &signals::name(signal.signal));
        out.extend_from_slice(key!("code"));
        put_i64(out, signal.code.into());
        out.extend_from_slice(key!("result"));
        put_i64(out, signal.result.into());
        put_bool(out, key!("group"), signal.group);
        let scene = &signal.scene;
        put_flag(out, key!("no_info"), scene.no_info);
        put_flag(out, key!("privileged"), scene.privileged);
        put_flag(out, key!("blocked"), scene.blocked);
        put_flag(out, key!("handled"), scene.handled);
        if let Some(limit) = scene.cpu_limit_s {
            put_number(out, key!("cpu_limit_s"), limit);
        }
        // Who merely ran when the kernel sent a signal must not be read as its sender.
        out.extend_from_slice(if signal.from_kernel {
            b",\"sender\":null,\"from_kernel\":true,\"running\":".as_slice()
        } else {
            key!("sender")
        });
        put_object(out, |out| {
            self.process(out, &signal.sender);
            put_comm(out, &signal.sender_comm);
            put_cmdline(
                out,
                key!("cmdline"),
                key!("cmdline_hex"),
                &signal.sender_cmdline,
            );
            put_number(out, key!("uid"), signal.sender_uid.into());
            put_flag(out, key!("exiting"), scene.sender_exiting);
            if let Some((parent, comm)) = &scene.sender_parent {
                out.extend_from_slice(key!("parent"));
                put_object(out, |out| {
                    self.process(out, parent);
                    put_comm(out, comm);
                });
            }
            put_count(out, key!("redacted"), signal.sender_redacted);
        });
    }

    fn oom(&self, out: &mut Vec<u8>, oom: &Oom) {
        self.process(out, &oom.victim);
        put_comm(out, &oom.comm);
        // The tracepoint does not say which limit was hit.
        out.extend_from_slice(b",\"scope\":null,\"trigger\":");
        put_object(out, |out| self.process(out, &oom.trigger));
        if let Some(figures) = &oom.figures {
            put_number(out, key!("total_vm_kb"), figures.total_vm_kb);
            put_number(out, key!("anon_rss_kb"), figures.anon_rss_kb);
            put_number(out, key!("file_rss_kb"), figures.file_rss_kb);
            put_number(out, key!("shmem_rss_kb"), figures.shmem_rss_kb);
        }
        out.extend_from_slice(key!("oom_score_adj"));
        put_i64(out, oom.oom_score_adj.into());
    }

    fn target(&self, out: &mut Vec<u8>, target: &TargetBody) {
        let pinned = match target {
            TargetBody::Pinned(pinned) => pinned,
            TargetBody::Unresolved { reason } => return put_field(out, key!("unresolved"), reason),
        };
        self.process(out, &pinned.process);
        put_comm(out, &pinned.comm);
        put_cmdline(out, key!("cmdline"), key!("cmdline_hex"), &pinned.cmdline);
        put_bytes(out, key!("exe"), key!("exe_hex"), &pinned.exe);
        put_field(out, key!("rule"), &pinned.rule);
        if let Some(latency) = pinned.pin_latency_ns {
            put_number(out, key!("pin_latency_ns"), latency);
        }
        put_count(out, key!("redacted"), pinned.redacted);
        put_list(out, key!("skipped"), &pinned.skipped, |out, skipped| {
            put_object(out, |out| {
                self.process(out, &skipped.process);
                put_comm(out, &skipped.comm);
                put_field(out, key!("reason"), &skipped.reason);
            });
        });
    }
}

/// Appends the checksum of everything from `start`, and the line's end.
pub(crate) fn put_tail(out: &mut Vec<u8>, start: usize) {
    let crc = crc32fast::hash(&out[start..]);
    out.extend_from_slice(b",\"crc\":");
    put_hex(out, &crc.to_be_bytes());
    out.extend_from_slice(b"}\n");
}

/// A kind is part of the line's fixed head and never needs escapes: what could, is left out.
fn put_kind(out: &mut Vec<u8>, body: &Body) {
    let harmless = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    match body {
        Body::Unknown { kind, .. } => out.extend(kind.bytes().filter(harmless)),
        known => out.extend_from_slice(known.kind().as_bytes()),
    }
}

#[inline(always)]
pub(crate) fn put_number(out: &mut Vec<u8>, key: &[u8], n: u64) {
    out.extend_from_slice(key);
    put_u64(out, n);
}

#[inline(always)]
pub(crate) fn put_field(out: &mut Vec<u8>, key: &[u8], text: &str) {
    out.extend_from_slice(key);
    put_str(out, text);
}

#[inline(always)]
fn put_bool(out: &mut Vec<u8>, key: &[u8], yes: bool) {
    out.extend_from_slice(key);
    out.extend_from_slice(if yes { b"true" } else { b"false" });
}

/// A flag whose absence means no.
#[inline(always)]
fn put_flag(out: &mut Vec<u8>, key: &[u8], yes: bool) {
    if yes {
        put_bool(out, key, true);
    }
}

/// A number whose absence means 0.
#[inline(always)]
pub(crate) fn put_count(out: &mut Vec<u8>, key: &[u8], n: impl Into<u64>) {
    let n = n.into();
    if n > 0 {
        put_number(out, key, n);
    }
}

fn put_comm(out: &mut Vec<u8>, comm: &Comm) {
    put_bytes(out, key!("comm"), key!("comm_hex"), comm.as_bytes());
}

#[inline(always)]
fn put_other_pids(out: &mut Vec<u8>, process: &Process, init_key: &[u8], inner_key: &[u8]) {
    if process.key.init != process.tgid.0 {
        put_number(out, init_key, process.key.init.into());
    }
    if process.inner != process.tgid.0 {
        put_number(out, inner_key, process.inner.into());
    }
}

/// Appends an object whose members `put` writes, each with its comma in front.
pub(crate) fn put_object(out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    put(out);
    match out.get_mut(start) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
}

/// Appends the members of what serialises as an object.
pub(crate) fn put_serde<T: Serialize>(out: &mut Vec<u8>, value: &T) {
    let start = out.len();
    // All of our types: serialising to memory fails only on map keys that are no text.
    let is_object = put_json(out, value).is_some() && out.get(start) == Some(&b'{');
    if !is_object || out.len() == start + 2 {
        out.truncate(start);
    } else {
        out[start] = b',';
        out.pop();
    }
}

/// Appends `,"key":value`.
fn put_value<T: Serialize>(out: &mut Vec<u8>, key: &[u8], value: &T) {
    out.extend_from_slice(key);
    if put_json(out, value).is_none() {
        out.extend_from_slice(b"null");
    }
}
