//! Watchers that follow, what they tell, and somebody to be told of.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    http::get,
    launch::{Launch, Running},
    room::Room,
    wait::{PATIENCE, wait_for},
};

/// A watcher that tells of whoever is a second old, or more.
///
/// # Errors
/// It cannot be started, ends, or does not do so in time.
pub fn watcher(room: &Room) -> Result<Launch> {
    watcher_every(room, "1")
}

/// As [`watcher`], with so long between two looks.
///
/// # Errors
/// It cannot be started, ends, or does not do so in time.
pub fn watcher_every(room: &Room, seconds: &str) -> Result<Launch> {
    let watch = room.tracer("watch")?.args(["--enable", "--age-min", "0"]);
    let watch = watch.args(["--interval-s", seconds, "--pattern", "no-such-[c]ommand"]);
    Ok(watch.arg("--bpffs").arg(room.path("no-bpffs")))
}

/// Starts it; it follows when this returns.
///
/// # Errors
/// It cannot be started, ends, or does not do so in time.
pub fn following(watch: Launch) -> Result<Running> {
    let running = watch.spawn()?;
    wait_for("a watcher that follows", PATIENCE, || {
        ensure!(!running.has_ended()?, "{}", running.stderr());
        Ok(running.stderr().contains("following ").then_some(()))
    })?;
    Ok(running)
}

/// Ends it; all that it told.
///
/// # Errors
/// It cannot be started, ends, or does not do so in time.
pub fn end(running: Running) -> Result<Vec<Value>> {
    running.signal(Signal::TERM)?;
    let finished = running.finish(PATIENCE)?.expect_code(0)?;
    let lines = std::str::from_utf8(&finished.stdout)?.lines();
    Ok(lines.map(serde_json::from_str).collect::<Result<_, _>>()?)
}

/// Whether it is of this process.
#[must_use]
pub fn is_of(alert: &Value, pid: i32) -> bool {
    alert["labels"]["pid"].as_str() == Some(&pid.to_string())
}

/// The decisions about a process, in their order.
#[must_use]
pub fn decisions(alerts: &[Value], pid: i32) -> Vec<&str> {
    let mine = alerts.iter().filter(|alert| is_of(alert, pid));
    mine.filter_map(|alert| alert["decision"].as_str())
        .collect()
}

/// Waits for the news of a process.
///
/// # Errors
/// It cannot be started, ends, or does not do so in time.
pub fn news(running: &Running, pid: i32, decision: &str) -> Result<Value> {
    wait_for("the news", PATIENCE, || {
        let out = running.stdout();
        let whole = out
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let mut mine = whole.filter(|alert: &Value| is_of(alert, pid));
        Ok(mine.find(|alert| alert["decision"] == decision))
    })
    .with_context(|| format!("{}{}", running.stdout(), running.stderr()))
}

/// Waits for the number that somebody writes.
///
/// # Errors
/// It cannot be started, ends, or does not do so in time.
pub fn number_in(path: &Path) -> Result<i32> {
    wait_for("a number in a file", PATIENCE, || {
        let text = fs::read_to_string(path).unwrap_or_default();
        Ok(text.ends_with('\n').then(|| text.trim().parse()))
    })?
    .context("a number")
}

/// A metric's value; `None` when there is none.
///
/// # Errors
/// Nobody listens, or it is no number.
pub fn metric(addr: SocketAddr, line: &str) -> Result<Option<u64>> {
    let (_, page) = get(addr, "/metrics")?;
    let value = page.lines().find_map(|found| found.strip_prefix(line));
    Ok(value.map(|value| value.trim().parse()).transpose()?)
}

/// An address of this machine where nobody listens.
///
/// # Errors
/// There is none.
pub fn port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A daemon: it writes its pid to `$LIST` and sleeps, and its parent ends at once.
pub const DAEMON: &str =
    "sh -c '(setsid sleep 300 >/dev/null 2>&1 & echo $! > \"$LIST\"); kill -KILL $$'";

/// Ends when dropped.
#[derive(Debug)]
pub struct Daemon(pub i32);

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.0) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}
