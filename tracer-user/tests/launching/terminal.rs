//! A terminal that plays the real one.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use tracer::target::pty::Pty;

use super::wait_for;

/// A terminal that plays the real one.
pub(crate) struct Terminal {
    pty: Pty,
    slave: OwnedFd,
}

impl Terminal {
    pub(crate) fn open() -> Self {
        let pty = Pty::open(None).unwrap();
        let slave = pty.slave().unwrap().try_clone_to_owned().unwrap();
        Self { pty, slave }
    }

    pub(crate) fn settings(&self) -> String {
        format!("{:?}", rustix::termios::tcgetattr(&self.slave).unwrap())
    }

    /// Starts a session on it.
    pub(crate) fn spawn(&self, mut command: Command) -> Child {
        let slave = self.slave.as_raw_fd();
        let lead = move || {
            // SAFETY: setsid and the ioctl take numbers; the descriptor is open in the child.
            unsafe {
                libc::setsid();
                libc::ioctl(slave, libc::TIOCSCTTY, 0);
            }
            Ok(())
        };
        // SAFETY: between fork and exec, only async-signal-safe functions are called.
        unsafe { command.pre_exec(lead) };
        let stdio = || Stdio::from(self.slave.try_clone().unwrap());
        command
            .stdin(stdio())
            .stdout(stdio())
            .stderr(stdio())
            .spawn()
            .unwrap()
    }

    pub(crate) fn read_until(&self, text: &str) -> String {
        let mut all = Vec::new();
        wait_for(text, || {
            let mut part = [0; 1024];
            let length = rustix::io::read(self.pty.master(), &mut part).unwrap_or(0);
            all.extend_from_slice(&part[..length]);
            String::from_utf8_lossy(&all).contains(text)
        });
        String::from_utf8_lossy(&all).into_owned()
    }

    pub(crate) fn type_keys(&self, keys: &[u8]) {
        rustix::io::write(self.pty.master(), keys).unwrap();
    }
}
