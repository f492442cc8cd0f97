//! The closed account of a process, read back.

use serde::Deserialize;

use super::process;
use crate::event::Account;

#[derive(Deserialize)]
pub(super) struct AccountKeys {
    pid: u32,
    start_boottime_ns: u64,
    pid_init: Option<u32>,
    pid_inner: Option<u32>,
    cpu_user_us: u64,
    cpu_system_us: u64,
    #[serde(default)]
    faults_major: u64,
    faults_minor: u64,
    ctx_switches_voluntary: u64,
    #[serde(default)]
    ctx_switches_involuntary: u64,
    #[serde(default = "none")]
    io_read_bytes: Option<u64>,
    #[serde(default = "none")]
    io_write_bytes: Option<u64>,
}

/// No key means none, and null means that nobody counts them.
#[expect(clippy::unnecessary_wraps, reason = "the value of a field")]
fn none() -> Option<u64> {
    Some(0)
}

impl AccountKeys {
    pub(super) fn account(&self) -> Account {
        Account {
            process: process(
                self.pid,
                self.pid_init,
                self.pid_inner,
                self.start_boottime_ns,
            ),
            cpu_user_us: self.cpu_user_us,
            cpu_system_us: self.cpu_system_us,
            faults_minor: self.faults_minor,
            faults_major: self.faults_major,
            ctx_switches_voluntary: self.ctx_switches_voluntary,
            ctx_switches_involuntary: self.ctx_switches_involuntary,
            io_bytes: self.io_read_bytes.zip(self.io_write_bytes),
        }
    }
}
