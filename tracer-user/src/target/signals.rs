//! Signals that reach tracer: taken as data, and passed on to the command or not.
//!
//! Sources: signalfd(2), sigaction(2) for `si_code`, credentials(7) for who a terminal signals. Every
//! signal that can be passed on is blocked and read from a descriptor; faults, `SIGPIPE` and the
//! unblockable ones keep their meaning, and so do `SIGTSTP`, `SIGTTIN` and `SIGTTOU`: with a shared
//! terminal tracer stops with its command. What was ignored when tracer started stays ignored, as
//! `nohup` wants it. The command itself gets the signal state that tracer was started with.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::Signal;
use thiserror::Error;

use super::inherited::{self, bit};

/// `si_code` of a signal the kernel made, a key typed at the terminal included.
const SI_KERNEL: i32 = 0x80;
/// `struct signalfd_siginfo` (signalfd(2)).
const RECORD_BYTES: usize = 128;

const TAKEN: &[i32] = &[
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGTERM,
    libc::SIGCHLD,
    libc::SIGCONT,
    libc::SIGURG,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGWINCH,
    libc::SIGIO,
    libc::SIGPWR,
];

/// A signal, received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub signo: i32,
    /// `si_code`: 0 and below from a process, above from the kernel.
    pub code: i32,
    /// Sender's pid, where a process sent it.
    pub pid: u32,
    /// Sender's real user id, where a process sent it.
    pub uid: u32,
}

/// Signals cannot be taken.
#[derive(Debug, Error)]
#[error("cannot {step}; without it signals would end tracer before its record is complete")]
pub struct SignalError {
    step: &'static str,
    source: io::Error,
}

/// The descriptor that signals are read from.
#[derive(Debug)]
pub struct SignalFd {
    fd: OwnedFd,
}

impl SignalFd {
    /// Blocks what can be passed on, and reads it from now on. Call it in the main thread after the
    /// command was forked and before any other thread is started: threads inherit the mask.
    ///
    /// # Errors
    /// [`SignalError`] names the step.
    pub fn install() -> Result<Self, SignalError> {
        let failed = |step| move |source| SignalError { step, source };
        let was_ignored = inherited::inherited().ignored;
        // With SIGCHLD ignored the kernel reaps children by itself and their status is lost.
        // SAFETY: the default action involves no code of ours.
        if unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) } == libc::SIG_ERR {
            return Err(failed("reset SIGCHLD")(io::Error::last_os_error()));
        }
        // A blocked signal is queued even if it is ignored, so those must not be blocked.
        let taken = TAKEN
            .iter()
            .copied()
            .chain(libc::SIGRTMIN()..=libc::SIGRTMAX())
            .filter(|&signal| signal == libc::SIGCHLD || was_ignored & bit(signal) == 0);
        // SAFETY: a sigset is integers; all zeroes is one.
        let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: `set` is a valid place.
        unsafe { libc::sigemptyset(&raw mut set) };
        for signal in taken {
            // SAFETY: `set` is initialised and the number is a signal's.
            unsafe { libc::sigaddset(&raw mut set, signal) };
        }
        // SAFETY: `set` is initialised; the old mask is not asked for.
        let blocked =
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
        if blocked != 0 {
            return Err(failed("block signals")(io::Error::from_raw_os_error(
                blocked,
            )));
        }
        // SAFETY: -1 asks for a new descriptor; `set` is initialised.
        let fd =
            unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(failed("open a signalfd")(io::Error::last_os_error()));
        }
        Ok(Self {
            // SAFETY: the descriptor was just made and belongs to nobody else.
            fd: unsafe { OwnedFd::from_raw_fd(fd) },
        })
    }

    /// The next signal, without waiting.
    ///
    /// # Errors
    /// What the system said; not to be expected.
    pub fn next(&self) -> io::Result<Option<Received>> {
        let mut record = [0; RECORD_BYTES];
        match rustix::io::read(&self.fd, &mut record) {
            Ok(RECORD_BYTES) => Ok(Some(parse_record(&record))),
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Fields of `struct signalfd_siginfo`: signo, errno, code, pid, uid, 4 bytes each.
fn parse_record(record: &[u8; RECORD_BYTES]) -> Received {
    let word = |at: usize| {
        u32::from_ne_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
    };
    Received {
        signo: word(0).cast_signed(),
        code: word(8).cast_signed(),
        pid: word(12),
        uid: word(16),
    }
}

/// How tracer and the command stand to each other and to the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// What the terminal sends to tracer it sends to the command as well. Not with a terminal of ours,
    /// whose session is the command's.
    pub shares_group: bool,
    /// The kernel side saw this very signal, from this sender, arrive at the command too: somebody
    /// signalled the group.
    pub command_got_it: bool,
}

/// What to do with a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Pass it on.
    Forward(i32),
    /// The command has it already: passing it on would be a second one.
    AlreadyDelivered,
    /// A child changed: see [`super::RunningChild::poll_change`].
    Child,
    /// Our terminal has a new size, which the command's has to take over.
    Resize,
}

/// Decides on one signal.
#[must_use]
pub fn forward(received: Received, context: Context) -> Decision {
    // A key or a new window size goes to the terminal's whole foreground group.
    let from_terminal = received.code == SI_KERNEL;
    match received.signo {
        libc::SIGCHLD if received.code > 0 => Decision::Child,
        libc::SIGWINCH if from_terminal && !context.shares_group => Decision::Resize,
        _ if from_terminal && context.shares_group => Decision::AlreadyDelivered,
        _ if context.command_got_it => Decision::AlreadyDelivered,
        signal => Decision::Forward(signal),
    }
}

/// What to do when the command has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStop {
    /// Stop too, with [`stop_self`]: the shell that started us must see its job stop.
    StopToo,
    /// Nothing: whoever stopped the command will continue it.
    Wait,
    /// We were continued while it stopped: continue it.
    Continue,
}

/// Decides on a stop of the command by `signal`. `continued` says that a `SIGCONT` was read since:
/// read all signals first, or tracer stops itself just after its shell has continued the job.
#[must_use]
pub fn on_stop(signal: i32, interactive: bool, continued: bool) -> OnStop {
    let by_job_control = matches!(signal, libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU);
    match (by_job_control && interactive, continued) {
        (true, false) => OnStop::StopToo,
        (true, true) => OnStop::Continue,
        (false, _) => OnStop::Wait,
    }
}

/// Stops this process; returns when somebody continues it.
///
/// # Errors
/// What the system said; not to be expected.
pub fn stop_self() -> io::Result<()> {
    Ok(rustix::process::kill_process(
        rustix::process::getpid(),
        Signal::STOP,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: Context = Context {
        shares_group: true,
        command_got_it: false,
    };
    const OWN_TERMINAL: Context = Context {
        shares_group: false,
        command_got_it: false,
    };

    fn received(signo: i32, code: i32) -> Received {
        Received {
            signo,
            code,
            pid: 7,
            uid: 0,
        }
    }

    #[test]
    fn a_typed_interrupt_has_reached_a_command_of_our_group() {
        let typed = received(libc::SIGINT, SI_KERNEL);
        assert_eq!(forward(typed, SHARED), Decision::AlreadyDelivered);
        assert_eq!(
            forward(typed, OWN_TERMINAL),
            Decision::Forward(libc::SIGINT)
        );
    }

    #[test]
    fn a_signal_from_a_process_is_passed_on_once() {
        let sent = received(libc::SIGTERM, 0);
        assert_eq!(forward(sent, SHARED), Decision::Forward(libc::SIGTERM));
        let to_the_group = Context {
            command_got_it: true,
            ..SHARED
        };
        assert_eq!(forward(sent, to_the_group), Decision::AlreadyDelivered);
        let queued = received(libc::SIGRTMIN() + 3, -1);
        assert_eq!(
            forward(queued, SHARED),
            Decision::Forward(libc::SIGRTMIN() + 3)
        );
    }

    #[test]
    fn a_child_that_changed_is_not_passed_on_but_a_sigchld_from_a_process_is() {
        assert_eq!(forward(received(libc::SIGCHLD, 1), SHARED), Decision::Child);
        let sent = received(libc::SIGCHLD, 0);
        assert_eq!(forward(sent, SHARED), Decision::Forward(libc::SIGCHLD));
    }

    #[test]
    fn a_new_window_size_is_taken_over_where_the_terminal_is_ours() {
        let resized = received(libc::SIGWINCH, SI_KERNEL);
        assert_eq!(forward(resized, OWN_TERMINAL), Decision::Resize);
        assert_eq!(forward(resized, SHARED), Decision::AlreadyDelivered);
    }

    #[test]
    fn tracer_stops_with_its_job_and_never_just_after_it_was_continued() {
        assert_eq!(on_stop(libc::SIGTSTP, true, false), OnStop::StopToo);
        assert_eq!(on_stop(libc::SIGTSTP, true, true), OnStop::Continue);
        assert_eq!(on_stop(libc::SIGTSTP, false, false), OnStop::Wait);
        assert_eq!(on_stop(libc::SIGSTOP, true, false), OnStop::Wait);
    }

    #[test]
    fn the_record_of_signalfd_is_read_field_by_field() {
        let mut record = [0; RECORD_BYTES];
        record[0] = 15;
        record[8..12].copy_from_slice(&(-6_i32).to_ne_bytes());
        record[12..16].copy_from_slice(&4711_u32.to_ne_bytes());
        record[16..20].copy_from_slice(&1000_u32.to_ne_bytes());
        let want = Received {
            signo: 15,
            code: -6,
            pid: 4711,
            uid: 1000,
        };
        assert_eq!(parse_record(&record), want);
    }
}
