//! A process held by a pidfd, to be signalled: the number can pass to another process, this cannot.
//!
//! Source: `pidfd_open(2)`. Whoever the number named when it was opened is held, so check who that is
//! after opening and before the first signal.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};

use crate::units::Tgid;

/// A process that can be signalled.
#[derive(Debug)]
pub struct Handle(OwnedFd);

impl Handle {
    /// Holds whoever has this number now.
    ///
    /// # Errors
    /// What the system said; `ESRCH` when nobody has it.
    pub fn open(tgid: Tgid) -> io::Result<Self> {
        let pid = i32::try_from(tgid.0).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or(Errno::SRCH)?;
        Ok(Self(pidfd_open(pid, PidfdFlags::empty())?))
    }

    /// Sends it a signal by number, real-time ones included.
    ///
    /// # Errors
    /// What the system said.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        send(self.0.as_fd(), signal)
    }
}

/// Sends a signal by number: rustix has no name for real-time ones.
pub(super) fn send(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: the descriptor is borrowed and so open; no siginfo is given; flags are 0.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if sent == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_was_reaped_gets_nothing() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let handle = Handle::open(Tgid(child.id())).unwrap();
        child.wait().unwrap();
        let error = handle.signal(libc::SIGKILL).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
        assert!(Handle::open(Tgid(0)).is_err());
    }
}
