//! `--pty`: a terminal of ours for the command.
//!
//! Sources: pty(7), termios(3), `ioctl_tty(2)`, setsid(2). The command leads a session on the slave side;
//! [`RawTerminal`] hands the real terminal's keys over unread and gives the terminal back, and
//! [`pump`](super::pump) copies both ways. Size and settings start as the real terminal's.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::{Pid, Signal};
use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, Termios, Winsize};
use thiserror::Error;

use super::signals;
use crate::procfs::FileId;

/// A terminal without a real one behind it has the size of a VT100.
const DEFAULT_SIZE: Winsize = Winsize {
    ws_row: 24,
    ws_col: 80,
    ws_xpixel: 0,
    ws_ypixel: 0,
};

/// A terminal could not be had or kept.
#[derive(Debug, Error)]
#[error("cannot {step}")]
pub struct PtyError {
    step: &'static str,
    source: io::Error,
}

fn failed(step: &'static str) -> impl Fn(rustix::io::Errno) -> PtyError {
    move |errno| PtyError {
        step,
        source: errno.into(),
    }
}

/// Both ends of a terminal of ours.
#[derive(Debug)]
pub struct Pty {
    master: OwnedFd,
    slave: Option<OwnedFd>,
    other_side: Option<FileId>,
}

impl Pty {
    /// Opens one, with size and settings of `real` where that is a terminal.
    ///
    /// # Errors
    /// [`PtyError`] names the step.
    pub fn open(real: Option<BorrowedFd<'_>>) -> Result<Self, PtyError> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags).map_err(failed("open a terminal (/dev/ptmx)"))?;
        rustix::pty::unlockpt(&master).map_err(failed("unlock the new terminal"))?;
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)
            .map_err(failed("open the new terminal's other side"))?;
        let real = real.filter(|real| rustix::termios::isatty(real));
        let size = real.and_then(|real| rustix::termios::tcgetwinsize(real).ok());
        rustix::termios::tcsetwinsize(&slave, size.unwrap_or(DEFAULT_SIZE))
            .map_err(failed("set the new terminal's size"))?;
        if let Some(settings) = real.and_then(|real| rustix::termios::tcgetattr(real).ok()) {
            rustix::termios::tcsetattr(&slave, OptionalActions::Now, &settings)
                .map_err(failed("set up the new terminal"))?;
        }
        // Ours alone, unlike standard input: nobody else sees the flag.
        rustix::io::ioctl_fionbio(&master, true).map_err(failed("set up the new terminal"))?;
        Ok(Self {
            master,
            other_side: FileId::of(&slave),
            slave: Some(slave),
        })
    }

    /// The side the command gets, for [`super::LaunchSpec::pty`].
    #[must_use]
    pub fn slave(&self) -> Option<BorrowedFd<'_>> {
        self.slave.as_ref().map(AsFd::as_fd)
    }

    /// Closes our copy of the command's side. To be called once it was forked: while we hold it,
    /// the command's last output has no end.
    pub fn close_slave(&mut self) {
        self.slave = None;
    }

    /// What the command's side is known by, also when our copy is closed.
    #[must_use]
    pub fn other_side(&self) -> Option<FileId> {
        self.other_side
    }

    /// Our side; does not block.
    #[must_use]
    pub fn master(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }

    /// Takes over the real terminal's size; the kernel tells the command with `SIGWINCH`.
    ///
    /// # Errors
    /// [`PtyError`] names the step.
    pub fn resize(&self, real: BorrowedFd<'_>) -> Result<(), PtyError> {
        let size =
            rustix::termios::tcgetwinsize(real).map_err(failed("read the terminal's size"))?;
        rustix::termios::tcsetwinsize(&self.master, size)
            .map_err(failed("set the command's terminal size"))
    }

    /// The group of the command's session that reads keys now.
    #[must_use]
    pub fn foreground(&self) -> Option<Pid> {
        rustix::termios::tcgetpgrp(&self.master).ok()
    }

    /// The command has stopped: gives the real terminal back, stops us, and when our shell continues
    /// us takes it again and continues the command's foreground group.
    ///
    /// # Errors
    /// [`PtyError`] names the step; the terminal has been given back by then.
    pub fn suspend(&self, terminal: &mut RawTerminal) -> Result<(), PtyError> {
        terminal.restore();
        signals::stop_self().map_err(|source| PtyError {
            step: "stop with the command",
            source,
        })?;
        terminal.make_raw()?;
        self.resize(terminal.fd.as_fd())?;
        if let Some(group) = self.foreground() {
            rustix::process::kill_process_group(group, Signal::CONT)
                .map_err(failed("continue the command"))?;
        }
        Ok(())
    }
}

/// The real terminal in raw mode, given back when this is dropped, by a panic's unwinding too.
#[derive(Debug)]
pub struct RawTerminal {
    fd: OwnedFd,
    before: Termios,
    raw: bool,
}

impl RawTerminal {
    /// Takes the terminal; `None` when `fd` is none, or we are not in its foreground: a background
    /// job that changes the settings is stopped by the kernel, and the terminal is not ours to take.
    ///
    /// # Errors
    /// [`PtyError`] names the step.
    pub fn take(fd: BorrowedFd<'_>) -> Result<Option<Self>, PtyError> {
        if !rustix::termios::isatty(fd) || !in_foreground(fd) {
            return Ok(None);
        }
        let before =
            rustix::termios::tcgetattr(fd).map_err(failed("read the terminal's settings"))?;
        // A copy of our own: the terminal is given back even if the original is closed before.
        let fd = rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(failed("keep the terminal"))?;
        let mut terminal = Self {
            fd,
            before,
            raw: false,
        };
        terminal.make_raw()?;
        Ok(Some(terminal))
    }

    fn make_raw(&mut self) -> Result<(), PtyError> {
        if self.raw || !in_foreground(self.fd.as_fd()) {
            return Ok(());
        }
        let mut raw = self.before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(&self.fd, OptionalActions::Drain, &raw)
            .map_err(failed("set the terminal to raw mode"))?;
        self.raw = true;
        Ok(())
    }

    /// Gives the terminal back; harmless when that was done before.
    pub fn restore(&mut self) {
        // Not Drain: a terminal that is stopped or gone must not keep us from ending.
        if self.raw {
            let _ = rustix::termios::tcsetattr(&self.fd, OptionalActions::Now, &self.before);
        }
        self.raw = false;
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        self.restore();
    }
}

fn in_foreground(terminal: BorrowedFd<'_>) -> bool {
    rustix::termios::tcgetpgrp(terminal).is_ok_and(|group| group == rustix::process::getpgrp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_without_a_real_one_has_24_lines_of_80() {
        let pty = Pty::open(None).unwrap();
        let size = rustix::termios::tcgetwinsize(pty.slave().unwrap()).unwrap();
        assert_eq!((size.ws_row, size.ws_col), (24, 80));
    }

    #[test]
    fn size_and_settings_follow_the_real_terminal() {
        let real = Pty::open(None).unwrap();
        let real = real.slave().unwrap();
        let mut settings = rustix::termios::tcgetattr(real).unwrap();
        settings
            .local_modes
            .remove(rustix::termios::LocalModes::ECHO);
        rustix::termios::tcsetattr(real, OptionalActions::Now, &settings).unwrap();
        let resize = |rows| {
            let size = Winsize {
                ws_row: rows,
                ..DEFAULT_SIZE
            };
            rustix::termios::tcsetwinsize(real, size).unwrap();
        };
        resize(50);
        let pty = Pty::open(Some(real)).unwrap();
        let slave = pty.slave().unwrap();
        let rows = || rustix::termios::tcgetwinsize(slave).unwrap().ws_row;
        assert_eq!(rows(), 50);
        let echo = rustix::termios::tcgetattr(slave).unwrap().local_modes;
        assert!(!echo.contains(rustix::termios::LocalModes::ECHO));
        resize(60);
        pty.resize(real).unwrap();
        assert_eq!(rows(), 60);
    }

    #[test]
    fn a_terminal_we_are_not_in_front_of_is_left_alone() {
        let other = Pty::open(None).unwrap();
        assert!(RawTerminal::take(other.slave().unwrap()).unwrap().is_none());
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(RawTerminal::take(file.as_fd()).unwrap().is_none());
    }
}
