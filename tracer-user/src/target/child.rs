//! One child process: signalled through its pidfd, and reaped here and nowhere else.
//!
//! Sources: `pidfd_open(2)`, `pidfd_send_signal(2)`, `waitid(2)` with `P_PIDFD` (Linux 5.4).

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitIdStatus};

use super::handle::send;

/// A child of ours until it is reaped, which only this does: its pid cannot be reused before.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
    /// Its raw wait status, once it was reaped.
    pub(super) ended: Option<i32>,
    /// It has not been released: dropped, it must go.
    pub(super) suspended: bool,
}

/// What a child did since it was last asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildChange {
    /// It ended and was reaped.
    Exited {
        /// Raw wait status, as `waitpid(2)` gives it.
        status: i32,
    },
    /// It was stopped by this signal.
    Stopped(i32),
    /// It goes on.
    Continued,
}

impl Drop for Child {
    fn drop(&mut self) {
        // Given up before its release: it has run nothing, and nothing of it must stay behind.
        if self.suspended && self.ended.is_none() {
            let _ = self.signal(libc::SIGKILL);
            self.reap();
        }
    }
}

impl Child {
    pub(super) fn signal(&self, signal: i32) -> io::Result<()> {
        send(self.pidfd.as_fd(), signal)
    }

    /// Whether a signal that our terminal sent to us has been sent to the child as well.
    ///
    /// A key goes to the foreground group, which a child such as `timeout(1)` may have left for one of
    /// its own. A terminal that goes away tells only the leader of its session, and continues it
    /// (`tty_signal_session_leader` in `tty_jobctrl.c`).
    pub(super) fn gets_from_terminal(&self, signal: i32) -> bool {
        // Not rustix: it panics where the group is of another pid namespace, which reads 0.
        let own = nix::unistd::getpid();
        if matches!(signal, libc::SIGHUP | libc::SIGCONT) && nix::unistd::getsid(None) == Ok(own) {
            return false;
        }
        let child = nix::unistd::Pid::from_raw(self.pid.as_raw_nonzero().get());
        nix::unistd::getpgid(Some(child)) == Ok(nix::unistd::getpgrp())
    }

    pub(super) fn poll(&mut self) -> io::Result<Option<ChildChange>> {
        if self.ended.is_some() {
            return Ok(None);
        }
        let options = WaitIdOptions::EXITED
            | WaitIdOptions::STOPPED
            | WaitIdOptions::CONTINUED
            | WaitIdOptions::NOHANG;
        let changed = rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), options)?;
        Ok(changed.map(|status| {
            if let Some(signal) = status.stopping_signal().or(status.trapping_signal()) {
                ChildChange::Stopped(signal)
            } else if status.continued() {
                ChildChange::Continued
            } else {
                let status = raw_status(&status);
                self.ended = Some(status);
                ChildChange::Exited { status }
            }
        }))
    }

    /// Waits for the end of a child that has been killed or is about to exit.
    pub(super) fn reap(&mut self) -> i32 {
        if let Some(status) = self.ended {
            return status;
        }
        let status = loop {
            match rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED)
            {
                Err(Errno::INTR) => {}
                other => break other.ok().flatten().map_or(0, |status| raw_status(&status)),
            }
        };
        self.ended = Some(status);
        status
    }
}

/// The status word of wait(2), put together from waitid(2)'s parts.
fn raw_status(status: &WaitIdStatus) -> i32 {
    if let Some(code) = status.exit_status() {
        (code & 0xff) << 8
    } else {
        status.terminating_signal().unwrap_or(0) | if status.dumped() { 0x80 } else { 0 }
    }
}
