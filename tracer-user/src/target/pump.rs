//! Copies between the real terminal and the command's, both ways, with bounded buffers.
//!
//! [`Pump`] knows what may be read and written now and moves bytes when told that a descriptor is
//! ready; it never blocks on a side that is not, and when one side does not take what it is given the
//! other is no longer read. [`Pump::copy`] drives it with poll(2) on a thread of its own, so that a
//! stopped terminal holds up nothing else. Standard input and output are shared with whoever started
//! us: they are never set to non-blocking, so one read or write follows each readiness.
//!
//! Source for the end of input: termios(3), `VEOF`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::termios::{LocalModes, SpecialCodeIndex};

/// Bytes held in each direction at most: what a Linux pipe holds.
const BUFFER: usize = 64 << 10;
/// `PIPE_BUF`: what poll(2) promises a pipe will take without blocking.
const WRITE: usize = 4096;
/// How much longer than usual a reader of the last output may take, before what it did not take is lost.
pub const SLOW_READER: Duration = Duration::from_secs(5);
/// `_POSIX_VDISABLE` on Linux: no character.
const DISABLED: u8 = 0;

/// The four ends of the copy.
#[derive(Debug, Clone, Copy)]
pub struct Ends<'a> {
    /// Keys, or any other input.
    pub stdin: BorrowedFd<'a>,
    /// Where the command's output goes.
    pub stdout: BorrowedFd<'a>,
    /// Our side of the command's terminal.
    pub master: BorrowedFd<'a>,
    /// Readable once the command has ended.
    pub ended: BorrowedFd<'a>,
}

/// What can be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four independent readiness interests"
)]
pub struct Wants {
    /// There is room for input.
    pub read_stdin: bool,
    /// There is input for the command.
    pub write_master: bool,
    /// There is room for output.
    pub read_master: bool,
    /// There is output to show.
    pub write_stdout: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    Open,
    /// Nothing more to read; the command is still to be told.
    Ended,
    Closed,
}

/// The copy's state. See the module's text.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four facts that change apart from each other"
)]
pub struct Pump {
    to_command: BytesMut,
    to_stdout: BytesMut,
    input: Input,
    input_is_terminal: bool,
    /// The last byte given to the command ended a line, so that one end-of-file character is enough.
    at_line_start: bool,
    output_open: bool,
    stdout_open: bool,
    lost: u64,
    /// Bytes that came from the command, for whoever wants to know how it goes on.
    came: Arc<AtomicU64>,
}

/// How a copy ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Output that could not be shown, because standard output was closed or the deadline passed.
    pub lost_bytes: u64,
    /// Something below the command still holds its terminal.
    pub still_open: bool,
}

impl Pump {
    /// `input_is_terminal`: keys have no end, so neither has input.
    #[must_use]
    pub fn new(input_is_terminal: bool) -> Self {
        Self {
            to_command: BytesMut::new(),
            to_stdout: BytesMut::new(),
            input: Input::Open,
            input_is_terminal,
            at_line_start: true,
            output_open: true,
            stdout_open: true,
            lost: 0,
            came: Arc::default(),
        }
    }

    /// Bytes that have come from the command; counts on while it is copied.
    #[must_use]
    pub fn came(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.came)
    }

    /// What to wait for.
    #[must_use]
    pub fn wants(&self) -> Wants {
        Wants {
            read_stdin: self.input == Input::Open && self.to_command.len() < BUFFER,
            write_master: self.output_open
                && (!self.to_command.is_empty() || self.input == Input::Ended),
            read_master: self.output_open && self.to_stdout.len() < BUFFER,
            write_stdout: self.stdout_open && !self.to_stdout.is_empty(),
        }
    }

    /// Whether the command's terminal has been closed by all who had it, and all was shown.
    #[must_use]
    pub fn is_done(&self) -> bool {
        !self.output_open && (self.to_stdout.is_empty() || !self.stdout_open)
    }

    /// Takes input once.
    pub fn on_stdin_readable(&mut self, stdin: BorrowedFd<'_>) {
        let room = BUFFER - self.to_command.len().min(BUFFER);
        match read_once(stdin, &mut self.to_command, room) {
            Ok(Some(0)) | Err(_) => {
                // A terminal that hangs up is told to us by SIGHUP, not to the command by VEOF.
                self.input = if self.input_is_terminal {
                    Input::Closed
                } else {
                    Input::Ended
                };
            }
            Ok(_) => {}
        }
    }

    /// Takes the command's output once.
    pub fn on_master_readable(&mut self, master: BorrowedFd<'_>) {
        let room = BUFFER - self.to_stdout.len().min(BUFFER);
        // EIO is how a master reads the close of the last slave.
        match read_once(master, &mut self.to_stdout, room) {
            Ok(Some(0)) | Err(_) => self.output_open = false,
            Ok(Some(length)) => {
                self.came.fetch_add(length as u64, Ordering::Relaxed);
            }
            Ok(None) => {}
        }
        if !self.stdout_open {
            self.drop_output();
        }
    }

    /// Gives the command input once, and then its end.
    pub fn on_master_writable(&mut self, master: BorrowedFd<'_>) {
        if !self.to_command.is_empty() {
            match rustix::io::write(master, &self.to_command) {
                Ok(written) => {
                    self.at_line_start = written == 0 || self.to_command[written - 1] == b'\n';
                    self.to_command.advance(written);
                }
                Err(Errno::AGAIN | Errno::INTR) => return,
                Err(_) => {
                    self.to_command.clear();
                    self.input = Input::Closed;
                }
            }
        }
        if self.to_command.is_empty() && self.input == Input::Ended {
            self.end_input(master);
        }
    }

    /// Shows output once.
    pub fn on_stdout_writable(&mut self, stdout: BorrowedFd<'_>) {
        let length = self.to_stdout.len().min(WRITE);
        match rustix::io::write(stdout, &self.to_stdout[..length]) {
            Ok(written) => self.to_stdout.advance(written),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => {
                // A reader that left (`| head`): the command goes on, as `script` has it.
                self.stdout_open = false;
                self.drop_output();
            }
        }
    }

    /// Copies until the command has ended and its output was shown, at most `grace` after its end; where
    /// standard output takes it too slowly, [`SLOW_READER`] longer. Blocks: give it a thread.
    ///
    /// # Errors
    /// What poll(2) said; not to be expected.
    pub fn copy(mut self, ends: Ends<'_>, grace: Duration) -> io::Result<Copied> {
        let mut deadline: Option<Instant> = None;
        while !self.is_done() {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let more = if self.to_stdout.is_empty() {
                Duration::ZERO
            } else {
                SLOW_READER
            };
            let left = left.map(|left| match deadline {
                Some(at) if left.is_zero() => (at + more).saturating_duration_since(Instant::now()),
                _ => left,
            });
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            self.step(ends, left, &mut deadline, grace)?;
        }
        self.lost += self.to_stdout.len() as u64;
        Ok(Copied {
            lost_bytes: self.lost,
            still_open: self.output_open,
        })
    }

    fn step(
        &mut self,
        ends: Ends<'_>,
        left: Option<Duration>,
        deadline: &mut Option<Instant>,
        grace: Duration,
    ) -> io::Result<()> {
        let wants = self.wants();
        let ended = deadline.is_some();
        let flag = |wanted, flag| if wanted { flag } else { PollFlags::empty() };
        // Input for a command that has ended has nowhere to go.
        let read_stdin = wants.read_stdin && !ended;
        let master = flag(wants.read_master, PollFlags::IN)
            | flag(wants.write_master && !ended, PollFlags::OUT);
        // A descriptor asked for nothing still reports hang-ups, without end: leave it out.
        let mut polled = Vec::with_capacity(4);
        let mut who = Vec::with_capacity(4);
        for (end, fd, flags) in [
            (End::Stdin, ends.stdin, flag(read_stdin, PollFlags::IN)),
            (End::Master, ends.master, master),
            (
                End::Stdout,
                ends.stdout,
                flag(wants.write_stdout, PollFlags::OUT),
            ),
            (End::Ended, ends.ended, flag(!ended, PollFlags::IN)),
        ] {
            if !flags.is_empty() {
                polled.push(PollFd::from_borrowed_fd(fd, flags));
                who.push(end);
            }
        }
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match rustix::event::poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        for (end, polled) in who.into_iter().zip(&polled) {
            let ready = polled.revents();
            if ready.is_empty() {
                continue;
            }
            match end {
                End::Stdin => self.on_stdin_readable(ends.stdin),
                End::Stdout => self.on_stdout_writable(ends.stdout),
                End::Ended => *deadline = Some(Instant::now() + grace),
                End::Master => {
                    // A hang-up comes with what is still to be read; only the read says it is all.
                    if wants.read_master
                        && ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR)
                    {
                        self.on_master_readable(ends.master);
                    }
                    if wants.write_master && ready.contains(PollFlags::OUT) {
                        self.on_master_writable(ends.master);
                    }
                }
            }
        }
        Ok(())
    }

    /// Types the end-of-file character. In a line it only ends the line, so there it takes two.
    fn end_input(&mut self, master: BorrowedFd<'_>) {
        self.input = Input::Closed;
        let Ok(settings) = rustix::termios::tcgetattr(master) else {
            return;
        };
        let end = settings.special_codes[SpecialCodeIndex::VEOF];
        // Without line editing there is no such character; the command decides what it reads.
        if end == DISABLED || !settings.local_modes.contains(LocalModes::ICANON) {
            return;
        }
        let count = if self.at_line_start { 1 } else { 2 };
        self.to_command.extend_from_slice(&[end, end][..count]);
        let written = rustix::io::write(master, &self.to_command).unwrap_or(0);
        self.to_command.advance(written);
    }

    fn drop_output(&mut self) {
        self.lost += self.to_stdout.len() as u64;
        self.to_stdout.clear();
    }
}

#[derive(Debug, Clone, Copy)]
enum End {
    Stdin,
    Master,
    Stdout,
    Ended,
}

/// One read of at most `room` bytes; `None` when there was nothing after all.
fn read_once(fd: impl AsFd, into: &mut BytesMut, room: usize) -> rustix::io::Result<Option<usize>> {
    let before = into.len();
    into.resize(before + room, 0);
    let read = rustix::io::read(fd, &mut into[before..]);
    into.truncate(before + read.unwrap_or(0));
    match read {
        Ok(length) => Ok(Some(length)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(errno) => Err(errno),
    }
}
