//! Starting the command so that nothing of it is missed and nothing of us is left in it.
//!
//! [`SuspendedChild`] is a process of its own that has become what the command would find without
//! tracer (signals, descriptors, limits, session, user) and waits for one byte. Tracking is armed
//! meanwhile; [`SuspendedChild::release`] lets it execute and gives the [`RunningChild`]. If we die
//! before that, the command never runs. Untraced commands take the same way.
//!
//! Environment, working directory, umask, process group, session, nice value and all descriptors we
//! were given pass through the fork untouched; our own descriptors are all close-on-exec.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};

use super::child::Child;
pub use super::child::ChildChange;
use super::exec::{Pipes, Prepared, RELEASED, REPORT_BYTES, Step, exec_code};
pub use super::launch_error::LaunchError;
use super::user::User;

/// An exec reads the file and maps it; one that takes longer waits for a file system, and goes on
/// without us waiting for it.
const EXEC_DEADLINE: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};

/// What to start.
#[derive(Debug, Default)]
pub struct LaunchSpec<'a> {
    /// The command and its arguments.
    pub argv: Vec<OsString>,
    /// Slave side of a terminal of ours: the command leads a new session on it. `None`: it shares
    /// our terminal, session and process group.
    pub pty: Option<BorrowedFd<'a>>,
    /// Whom to run it as; `None`: as ourselves. Sets `HOME`, `USER`, `LOGNAME` and `SHELL` too.
    pub user: Option<User>,
}

/// A process that will become the command once it is released. Dropped, it ends without having run
/// anything.
#[derive(Debug)]
pub struct SuspendedChild {
    child: Child,
    release: OwnedFd,
    error: OwnedFd,
    command: OsString,
    tried: Vec<PathBuf>,
}

/// The command, running.
#[derive(Debug)]
pub struct RunningChild {
    child: Child,
}

impl SuspendedChild {
    /// Forks the process. Call it before other threads are started: the child is then certain to
    /// see memory at rest, and our signal handling is not yet installed.
    ///
    /// # Errors
    /// [`LaunchError`] when there is nothing to run, or no process or descriptor to be had. Whether
    /// the command exists shows at [`Self::release`].
    pub fn spawn(spec: &LaunchSpec<'_>) -> Result<Self, LaunchError> {
        let command = spec.argv.first().ok_or(LaunchError::Empty)?.clone();
        let terminal = spec
            .pty
            .map(above_stdio)
            .transpose()
            .map_err(start("duplicate the terminal"))?;
        let terminal = terminal.as_ref().map(AsFd::as_fd);
        let mut prepared = Prepared::new(&spec.argv, terminal, spec.user.as_ref())
            .map_err(|index| LaunchError::Nul { index })?;
        let tried = prepared
            .candidates
            .iter()
            .map(|path| OsString::from_vec(path.as_bytes().to_vec()).into())
            .collect();
        let pipes = pipes().map_err(start("make a pipe"))?;

        // SAFETY: the child calls only `Prepared::run`, which is async-signal-safe and never returns.
        let forked = unsafe { libc::fork() };
        if forked == 0 {
            prepared.run(&pipes);
        }
        let pid = match Pid::from_raw(forked) {
            Some(pid) if forked > 0 => pid,
            _ => {
                return Err(LaunchError::Start {
                    step: "fork",
                    source: io::Error::last_os_error(),
                });
            }
        };
        let Pipes {
            release_write,
            error_read,
            ..
        } = pipes;
        // The child is ours and unreaped, so this is its pid. Without a pidfd it reads the end of
        // the release pipe and ends; reaping it needs no more than its pid.
        let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(errno) => {
                drop(release_write);
                let _ = rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED);
                return Err(start("open a pidfd")(errno));
            }
        };
        Ok(Self {
            child: Child {
                pid,
                pidfd,
                ended: None,
                suspended: true,
            },
            release: release_write,
            error: error_read,
            command,
            tried,
        })
    }

    /// Its pid, which the command will have.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.child.pid
    }

    /// Its pidfd.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.child.pidfd.as_fd()
    }

    /// Lets it become the command.
    ///
    /// # Errors
    /// [`LaunchError::NotFound`] and [`LaunchError::CannotExecute`] when it cannot; the process has
    /// then ended with 127 or 126, and is reaped.
    pub fn release(mut self) -> Result<RunningChild, LaunchError> {
        match rustix::io::write(&self.release, b"!") {
            // A broken pipe: it has ended already, and the error pipe or its status says why.
            Ok(_) | Err(Errno::PIPE) => {}
            Err(errno) => return Err(start("release the command")(errno)),
        }
        let (closed, said) = said(self.error.as_fd());
        match said.as_slice() {
            // Released, and then the pipe closed by exec; or, at the deadline, still at it.
            said if said == [RELEASED] || !closed => {
                let Self { mut child, .. } = self;
                child.suspended = false;
                Ok(RunningChild { child })
            }
            [RELEASED, report @ ..] | report => {
                let status = self.child.reap();
                match report {
                    [step, rest @ ..] if report.len() == REPORT_BYTES => {
                        Err(self.failure(*step, rest))
                    }
                    _ => Err(LaunchError::EndedEarly { status }),
                }
            }
        }
    }

    fn failure(&self, step: u8, rest: &[u8]) -> LaunchError {
        let number = |bytes: &[u8]| bytes.try_into().map_or(0, i32::from_ne_bytes);
        let (index, errno) = rest.split_at(4);
        let errno = number(errno);
        let source = io::Error::from_raw_os_error(errno);
        let step = Step::ALL.into_iter().find(|known| *known as u8 == step);
        // The same errno where the file is there, and what its first line names is not.
        let there = self.tried.iter().find(|path| path.is_file());
        if let (Some(path), libc::ENOENT, Some(Step::Exec) | None) = (there, errno, step) {
            return LaunchError::NoInterpreter { path: path.clone() };
        }
        match step {
            Some(Step::Exec) | None if exec_code(errno) == 127 => LaunchError::NotFound {
                command: self.command.clone(),
                tried: self.tried.clone(),
            },
            Some(Step::Exec) | None => LaunchError::CannotExecute {
                path: usize::try_from(number(index))
                    .ok()
                    .and_then(|index| self.tried.get(index).cloned())
                    .unwrap_or_else(|| self.command.clone().into()),
                source,
            },
            Some(step) => LaunchError::SetUp {
                step: step.text(),
                source,
            },
        }
    }
}

impl RunningChild {
    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.child.pid
    }

    /// Its pidfd: readable once it has ended.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.child.pidfd.as_fd()
    }

    /// Sends it a signal by number, real-time ones included; nothing once it has been reaped.
    ///
    /// # Errors
    /// What the system said: for a command of another user, that we may not.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        self.child.signal(signal)
    }

    /// Whether a signal that our terminal sent to us has been sent to the command as well.
    #[must_use]
    pub fn gets_from_terminal(&self, signal: i32) -> bool {
        self.child.gets_from_terminal(signal)
    }

    /// What it did since the last call, without waiting. Ask on every `SIGCHLD`, and until `None`:
    /// several changes can share one signal.
    ///
    /// # Errors
    /// What the system said; not to be expected of a child of ours.
    pub fn poll_change(&mut self) -> io::Result<Option<ChildChange>> {
        self.child.poll()
    }
}

/// Everything the child says, and whether it closed the pipe by executing or ending before
/// [`EXEC_DEADLINE`].
fn said(pipe: BorrowedFd<'_>) -> (bool, Vec<u8>) {
    let mut all = Vec::new();
    let mut part = [0; REPORT_BYTES + 1];
    loop {
        let mut polled = [PollFd::from_borrowed_fd(pipe, PollFlags::IN)];
        match rustix::event::poll(&mut polled, Some(&EXEC_DEADLINE)) {
            Err(Errno::INTR) => continue,
            Ok(0) | Err(_) => return (false, all),
            Ok(_) => {}
        }
        match rustix::io::read(pipe, &mut part) {
            Err(Errno::INTR) => {}
            Ok(0) | Err(_) => return (true, all),
            Ok(length) => all.extend_from_slice(&part[..length]),
        }
    }
}

fn pipes() -> rustix::io::Result<Pipes> {
    let (release_read, release_write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    let (error_read, error_write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    Ok(Pipes {
        release_read: above_stdio(release_read.as_fd())?,
        release_write: above_stdio(release_write.as_fd())?,
        error_read: above_stdio(error_read.as_fd())?,
        error_write: above_stdio(error_write.as_fd())?,
    })
}

/// A copy that the child's descriptors 0 to 2 cannot overwrite.
fn above_stdio(fd: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(fd, 3)
}

fn start(step: &'static str) -> impl Fn(Errno) -> LaunchError {
    move |errno| LaunchError::Start {
        step,
        source: errno.into(),
    }
}
