//! Observers that end before their target, and what they leave behind.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal};
use serde_json::Value;

use crate::check::{until_armed, until_noted};
use crate::journal::crc32;
use crate::launch::{Launch, Running};
use crate::proc;
use crate::room::Room;
use crate::session::read_json;
use crate::wait::{PATIENCE, wait_for};

/// tracer that leaves no core behind, whatever it dies of.
#[must_use]
pub fn quiet(launch: Launch) -> Launch {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    launch
        .args(["-q", "--interval", "50ms"])
        .before_exec(move || Ok(rustix::process::setrlimit(Resource::Core, none)?))
}

/// tracer with a target that waits; its pid.
///
/// # Errors
/// It does not begin to observe.
pub fn waiting(room: &Room) -> Result<(Running, i32)> {
    let launch = quiet(room.run()?).arg("--require-trace");
    let tracer = launch.observe("idle", &[])?.spawn()?;
    until_armed(room, &tracer)?;
    let pid = until_noted(room, "ready")?.parse()?;
    Ok((tracer, pid))
}

///
/// # Errors
/// There is no such process.
pub fn kill(pid: i32, signal: Signal) -> Result<()> {
    Ok(rustix::process::kill_process(
        Pid::from_raw(pid).context("pid 0")?,
        signal,
    )?)
}

/// Ends a process whose parent, if it has one left, is tracer or init, and waits until it is gone.
///
/// # Errors
/// It does not go.
pub fn end(pid: i32) -> Result<()> {
    kill(pid, Signal::KILL)?;
    until_gone(pid)
}

/// Waits until a process has ended.
///
/// # Errors
/// It lives on.
pub fn until_gone(pid: i32) -> Result<()> {
    wait_for("the target to be gone", PATIENCE, || {
        Ok(matches!(proc::state(pid), None | Some('Z')).then_some(()))
    })
}

/// The crash lines of a lease that are whole, by a reader of our own.
///
/// # Errors
/// The lease cannot be read, or a checksum is wrong.
pub fn crash_lines(folder: &Path) -> Result<Vec<Value>> {
    let lease = std::fs::read(folder.join("lease"))?;
    let mut found = Vec::new();
    for line in lease.split(|&byte| byte == b'\n') {
        let Ok(value) = serde_json::from_slice::<Value>(line) else {
            continue;
        };
        if value["kind"] == "crash" {
            let tail = br#","crc":"xxxxxxxx"}"#.len();
            let crc = format!("{:08x}", crc32(&line[..line.len() - tail]));
            ensure!(
                value["crc"] == crc.as_str(),
                "{value}: the checksum is {crc}"
            );
            found.push(value);
        }
    }
    Ok(found)
}

/// Recovers what is in the room's store; the summary of its one session.
///
/// # Errors
/// Recovery fails, or leaves no summary.
pub fn recover(room: &Room) -> Result<Value> {
    room.tracer("recover")?.finish(PATIENCE)?.expect_code(0)?;
    read_json(&room.session_folder()?.join("summary.json"))
}

/// Waits until tracer is dead. It is a zombie as long as a thread of it is held.
///
/// # Errors
/// It lives on.
pub fn until_dead(tracer: &Running) -> Result<()> {
    wait_for("tracer to be dead", PATIENCE, || {
        Ok(matches!(proc::state(tracer.pid()), None | Some('Z')).then_some(()))
    })
}
