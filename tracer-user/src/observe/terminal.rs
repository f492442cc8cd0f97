//! The terminal of `tracer run --pty`: given to the command, copied to the real one, taken back.

use std::{
    io::{self, PipeWriter},
    os::fd::{AsFd, IntoRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    time::{Duration, Instant},
};

use rustix::stdio::{stdin, stdout};

use super::ObserveError;
use crate::{
    session::crash::stack::SignalStack,
    target::{
        pty::{Pty, RawTerminal},
        pump::{Copied, Ends, Pump},
    },
};

/// How long output may still come after the command has ended: what a descendant that keeps the
/// terminal says later is not waited for.
const GRACE: Duration = Duration::from_millis(500);

/// The copy ends by itself, [`GRACE`] and at most [`SLOW_READER`] after the command; unless somebody else read the key, or filled
/// the pipe, between its look and its call. Such a thread is left behind: it ends with us.
const GIVE_UP: Duration = Duration::from_secs(7);
/// How often events are taken while the last output is waited for.
const MEANWHILE: Duration = Duration::from_millis(10);

/// A terminal of ours for the command.
pub(super) struct Terminal {
    pty: Pty,
    real: Option<RawTerminal>,
    copier: Option<Receiver<io::Result<Copied>>>,
    /// Closed when no more output is to be waited for than is on its way.
    ended: Option<PipeWriter>,
    came: Arc<AtomicU64>,
}

impl Terminal {
    /// Opens one, like the real terminal where there is one.
    pub(super) fn open() -> Result<Self, ObserveError> {
        Ok(Self {
            pty: Pty::open(Some(stdin()))?,
            real: None,
            copier: None,
            ended: None,
            came: Arc::default(),
        })
    }

    /// The terminal pair, for the launch and for job control.
    pub(super) fn pty(&mut self) -> &mut Pty {
        &mut self.pty
    }

    /// Takes the real terminal and starts copying.
    pub(super) fn connect(&mut self) -> Result<(), ObserveError> {
        let system = |step| move |source: io::Error| ObserveError::System { step, source };
        self.real = RawTerminal::take(stdin())?;
        let copy = "copy the command's terminal";
        let own = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().map_err(system(copy));
        let (ended, not_yet) = io::pipe().map_err(system(copy))?;
        self.ended = Some(not_yet);
        let ends: [OwnedFd; 4] = [
            own(stdin())?,
            own(stdout())?,
            own(self.pty.master())?,
            ended.into(),
        ];
        let pump = Pump::new(rustix::termios::isatty(stdin()));
        self.came = pump.came();
        let (done, copier) = sync_channel(1);
        let work = move || {
            let _stack = SignalStack::for_this_thread();
            let [stdin, stdout, master, ended] = &ends;
            let ends = Ends {
                stdin: stdin.as_fd(),
                stdout: stdout.as_fd(),
                master: master.as_fd(),
                ended: ended.as_fd(),
            };
            // Nobody hears it when the wait for it was given up.
            let _ = done.send(pump.copy(ends, GRACE));
        };
        let thread = std::thread::Builder::new()
            .name("terminal".to_owned())
            .spawn(work);
        thread.map_err(system("start a thread for the terminal"))?;
        self.copier = Some(copier);
        Ok(())
    }

    /// Bytes that have come out of the command's terminal.
    pub(super) fn came(&self) -> u64 {
        self.came.load(Ordering::Relaxed)
    }

    /// Gives the real terminal back while the copy goes on, for as long as this process lives.
    pub(super) fn let_go(mut self) {
        self.real = None;
        // Closed by the end of this process, and not before the command's.
        self.ended.take().map(IntoRawFd::into_raw_fd);
    }

    /// Whether copying has begun.
    pub(super) fn is_connected(&self) -> bool {
        self.copier.is_some()
    }

    /// Whether the real terminal is raw: lines printed on it need a carriage return.
    pub(super) fn is_raw(&self) -> bool {
        self.real.is_some()
    }

    /// Takes over the real terminal's new size.
    pub(super) fn resize(&self) {
        // A size that cannot be read or set leaves the old one, which is what a user then sees.
        let _ = self.pty.resize(stdin());
    }

    /// Stops with the command, and continues with it.
    pub(super) fn suspend(&mut self) {
        if let Some(real) = &mut self.real {
            // The terminal was given back before anything could fail.
            let _ = self.pty.suspend(real);
        }
    }

    /// Waits for the last output, calling `meanwhile` now and then, and gives the real terminal back.
    pub(super) fn disconnect(&mut self, mut meanwhile: impl FnMut()) -> Option<Copied> {
        self.ended = None;
        let deadline = Instant::now() + GIVE_UP;
        let copied = self.copier.take().and_then(|copier| {
            loop {
                match copier.recv_timeout(MEANWHILE) {
                    Ok(copied) => return copied.ok(),
                    Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => meanwhile(),
                    Err(_) => return None,
                }
            }
        });
        self.real = None;
        copied
    }
}
