//! The `session` record.

use super::{put_bool, put_comm, put_count, put_field, put_number, put_object, put_value};
use crate::{
    session::journal::{
        info::{Backend, FORMAT, Mode, SessionInfo},
        text::{key, put_argv, put_bytes, put_cmdline, put_i64, put_list, put_opt_u64, put_str},
    },
    units::Ticks,
};

fn put_ticks(out: &mut Vec<u8>, key: &[u8], ticks: Option<Ticks>) {
    out.extend_from_slice(key);
    put_opt_u64(out, ticks.map(|ticks| ticks.0));
}

/// Appends its members.
pub(super) fn put(out: &mut Vec<u8>, info: &SessionInfo) {
    put_number(out, key!("format"), FORMAT.into());
    put_field(out, key!("session_id"), info.session_id.as_str());
    put_number(out, key!("epoch"), info.epoch.into());
    put_field(out, key!("boot_id"), &info.boot_id);
    out.extend_from_slice(key!("clock"));
    put_object(out, |out| {
        put_number(out, key!("boot_ns"), info.clock.boot.0);
        put_field(out, key!("wall"), &info.clock.wall.to_string());
        put_number(out, key!("clk_tck"), info.tick_rule.clk_tck);
        out.extend_from_slice(key!("boottime_offset_ns"));
        put_i64(out, info.tick_rule.boottime_offset_ns);
    });
    out.extend_from_slice(key!("observer"));
    put_object(out, |out| {
        put_number(out, key!("pid"), info.observer.pid.into());
        put_ticks(out, key!("starttime_ticks"), info.observer.starttime_ticks);
        put_field(out, key!("version"), &info.observer.version);
        out.extend_from_slice(key!("pid_ns"));
        put_opt_u64(out, info.observer.pid_ns);
        put_number(out, key!("rules"), info.observer.rules.into());
    });
    out.extend_from_slice(key!("root"));
    put_object(out, |out| {
        put_number(out, key!("pid"), info.root.pid.into());
        put_ticks(out, key!("starttime_ticks"), info.root.starttime_ticks);
        out.extend_from_slice(key!("start_boottime_ns"));
        put_opt_u64(out, info.root.start.map(|start| start.0));
        put_comm(out, &info.root.comm);
        put_cmdline(
            out,
            key!("cmdline"),
            key!("cmdline_hex"),
            &info.root.cmdline,
        );
    });
    let mode = match info.mode {
        Mode::Run => "run",
        Mode::Attach => "attach",
    };
    put_field(out, key!("mode"), mode);
    put_argv(out, key!("command"), key!("command_hex"), &info.command);
    put_bytes(out, key!("cwd"), key!("cwd_hex"), &info.cwd);
    let interval = u64::try_from(info.interval.as_nanos()).unwrap_or(u64::MAX);
    put_number(out, key!("interval_ns"), interval);
    put_value(out, key!("labels"), &info.labels);
    let backend = match info.backend {
        Backend::Ebpf => "ebpf",
        Backend::None => "none",
    };
    put_field(out, key!("backend"), backend);
    put_list(out, key!("degraded"), &info.degraded, |out, name| {
        put_str(out, name);
    });
    put_field(out, key!("hostname"), &info.hostname);
    put_number(out, key!("uid"), info.uid.into());
    put_value(out, key!("object"), &info.object);
    put_bool(out, key!("redact"), info.redact);
    put_count(out, key!("redacted"), info.redacted);
    if !info.attachments.is_empty() {
        put_list(out, key!("attachments"), &info.attachments, |out, file| {
            put_object(out, |out| {
                put_field(out, key!("name"), &file.name);
                put_bytes(out, key!("path"), key!("path_hex"), &file.path);
            });
        });
    }
}
