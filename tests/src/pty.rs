//! A terminal of the test's own: it holds the master, the program under test gets the slave as its
//! controlling terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcgetwinsize, tcsetwinsize};

use crate::launch::{Launch, Running};
use crate::{sys, wait};

/// The test's end of a terminal. The slave stays open so that its settings can be read at any time.
#[derive(Debug)]
pub struct Pty {
    master: File,
    slave: OwnedFd,
    seen: Vec<u8>,
}

impl Pty {
    /// A new terminal of this size.
    ///
    /// # Errors
    /// As `openpt(3)` and what follows it.
    pub fn new(rows: u16, columns: u16) -> Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(name, flags, Mode::empty())?;
        let pty = Self {
            master: master.into(),
            slave,
            seen: Vec::new(),
        };
        pty.resize(rows, columns)?;
        Ok(pty)
    }

    /// Starts a program on the terminal: stdin, stdout, stderr, controlling terminal, own session.
    ///
    /// # Errors
    /// As [`Launch::spawn`].
    pub fn spawn(&self, launch: Launch) -> Result<Running> {
        let terminal = self.slave.as_raw_fd();
        let stdio = || -> Result<Stdio> { Ok(self.slave.try_clone()?.into()) };
        launch
            .stdio(0, stdio()?)
            .stdio(1, stdio()?)
            .stdio(2, stdio()?)
            .before_exec(move || sys::take_terminal(terminal))
            .spawn()
    }

    /// The path of the slave.
    ///
    /// # Errors
    /// As `ptsname(3)`.
    pub fn slave_name(&self) -> Result<String> {
        Ok(ptsname(&self.master, Vec::new())?.into_string()?)
    }

    /// Changes the size; the kernel sends SIGWINCH to the foreground group.
    ///
    /// # Errors
    /// As `TIOCSWINSZ`.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        Ok(tcsetwinsize(&self.master, size)?)
    }

    /// Rows and columns.
    ///
    /// # Errors
    /// As `TIOCGWINSZ`.
    pub fn size(&self) -> Result<(u16, u16)> {
        let size = tcgetwinsize(&self.slave)?;
        Ok((size.ws_row, size.ws_col))
    }

    /// The terminal's settings.
    ///
    /// # Errors
    /// As `tcgetattr(3)`.
    pub fn settings(&self) -> Result<Termios> {
        Ok(tcgetattr(self.slave.as_fd())?)
    }

    /// Types on the keyboard.
    ///
    /// # Errors
    /// As `write(2)`.
    pub fn type_in(&mut self, keys: &[u8]) -> Result<()> {
        Ok(self.master.write_all(keys)?)
    }

    /// Reads what the screen shows until it shows `text`. Gives all of it so far.
    ///
    /// # Errors
    /// Not in time; the message has what was shown.
    pub fn wait_for_text(&mut self, text: &str, deadline: Duration) -> Result<String> {
        let end = Instant::now() + wait::stretched(deadline);
        loop {
            let shown = String::from_utf8_lossy(&self.seen).into_owned();
            if shown.contains(text) {
                return Ok(shown);
            }
            let left = end.saturating_duration_since(Instant::now());
            if !wait::readable(&self.master, left)? {
                bail!("the terminal does not show {text:?} within {deadline:?}: {shown:?}");
            }
            self.read_some()?;
        }
    }

    /// Reads until `program` has ended and nothing is left, so that it never waits for the screen.
    ///
    /// # Errors
    /// Not in time.
    pub fn watch_to_end(&mut self, program: &Running, deadline: Duration) -> Result<String> {
        let end = Instant::now() + wait::stretched(deadline);
        loop {
            let ended = program.has_ended()?;
            if wait::readable(&self.master, Duration::from_millis(20))? {
                self.read_some()?;
            } else if ended {
                return Ok(String::from_utf8_lossy(&self.seen).into_owned());
            }
            if Instant::now() > end {
                bail!(
                    "still running after {deadline:?}: {:?}",
                    String::from_utf8_lossy(&self.seen)
                );
            }
        }
    }

    fn read_some(&mut self) -> Result<()> {
        let mut some = [0; 4096];
        let count = self.master.read(&mut some)?;
        self.seen.extend_from_slice(&some[..count]);
        Ok(())
    }
}
