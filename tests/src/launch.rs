//! Starting a program and waiting for its end, with nothing left behind when a test fails.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::truth::TRUTH_LOG;
use crate::{proc, wait};

static OUTPUTS: AtomicU32 = AtomicU32::new(0);

/// A program about to be started: stdin empty, stdout and stderr into files of the room, which
/// unlike pipes cannot fill up.
#[derive(Debug)]
pub struct Launch {
    command: Command,
    out: PathBuf,
    err: PathBuf,
    stdio_set: [bool; 3],
}

impl Launch {
    pub(crate) fn new(file: &OsStr, folder: &Path, truth: &Path) -> Self {
        let number = OUTPUTS.fetch_add(1, Ordering::Relaxed);
        let mut command = Command::new(file);
        command.env(TRUTH_LOG, truth);
        // A test that forgets to say where its record goes must not write to the user's.
        command.env("TRACER_REFUSE_DEFAULT_STATE", "1");
        Self {
            command,
            out: folder.join(format!("stdout.{number}")),
            err: folder.join(format!("stderr.{number}")),
            stdio_set: [false; 3],
        }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// `--` and the command to observe.
    #[must_use]
    pub fn command(self, command: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.arg("--").args(command)
    }

    /// `--`, a fixture, and its arguments.
    ///
    /// # Errors
    /// The fixture is not built.
    pub fn observe(self, fixture: &str, args: &[&str]) -> Result<Self> {
        Ok(self
            .arg("--")
            .arg(crate::place::fixture(fixture)?)
            .args(args))
    }

    /// An environment variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// What stdin, stdout or stderr (0, 1, 2) shall be.
    #[must_use]
    pub fn stdio(mut self, fd: usize, stdio: Stdio) -> Self {
        match fd {
            0 => self.command.stdin(stdio),
            1 => self.command.stdout(stdio),
            _ => self.command.stderr(stdio),
        };
        self.stdio_set[fd.min(2)] = true;
        self
    }

    /// The command underneath, for what a test sets up before exec.
    pub fn raw(&mut self) -> &mut Command {
        &mut self.command
    }

    /// Runs `prepare` in the new process just before exec. It may only make system calls.
    #[must_use]
    pub fn before_exec(
        mut self,
        prepare: impl FnMut() -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        // SAFETY: every caller in this package makes only system calls, as asked above.
        unsafe { self.command.pre_exec(prepare) };
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(mut self) -> Result<Running> {
        if !self.stdio_set[0] {
            self.command.stdin(Stdio::null());
        }
        if !self.stdio_set[1] {
            self.command.stdout(File::create(&self.out)?);
        }
        if !self.stdio_set[2] {
            self.command.stderr(File::create(&self.err)?);
        }
        let child = self
            .command
            .spawn()
            .with_context(|| format!("start {:?}", self.command))?;
        let pid = i32::try_from(child.id())?;
        let pidfd = open_pidfd(pid)?;
        Ok(Running {
            child: Some(child),
            pid,
            pidfd,
            out: self.out,
            err: self.err,
        })
    }

    /// Starts it and waits for its end.
    ///
    /// # Errors
    /// As [`Self::spawn`] and [`Running::finish`].
    pub fn finish(self, deadline: Duration) -> Result<Finished> {
        self.spawn()?.finish(deadline)
    }
}

fn open_pidfd(pid: i32) -> Result<OwnedFd> {
    let pid = Pid::from_raw(pid).context("pid 0")?;
    pidfd_open(pid, PidfdFlags::empty()).with_context(|| format!("open a pidfd of {pid:?}"))
}

/// A started program. Dropped unfinished, it and its descendants are killed.
#[derive(Debug)]
pub struct Running {
    child: Option<Child>,
    pid: i32,
    pidfd: OwnedFd,
    out: PathBuf,
    err: PathBuf,
}

impl Running {
    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The child underneath, for its pipes.
    ///
    /// # Errors
    /// It has been waited for.
    pub fn child(&mut self) -> Result<&mut Child> {
        self.child.as_mut().context("already waited for")
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        pidfd_send_signal(&self.pidfd, signal)
            .with_context(|| format!("send {signal:?} to {}", self.pid))
    }

    /// Whether it has ended (it may not have been reaped).
    ///
    /// # Errors
    /// As `poll(2)`.
    pub fn has_ended(&self) -> Result<bool> {
        wait::readable(&self.pidfd, Duration::ZERO)
    }

    /// What it has written to stderr so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        lossy(&self.err)
    }

    /// What it has written to stdout so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        lossy(&self.out)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It did not end in time (it is killed then, and the message has its stderr).
    pub fn finish(mut self, deadline: Duration) -> Result<Finished> {
        let deadline = wait::stretched(deadline);
        if !wait::readable(&self.pidfd, deadline)? {
            let stderr = self.stderr();
            let tree = self.tree();
            bail!(
                "pid {} still runs after {deadline:?}; tree {tree:?}; stderr:\n{stderr}",
                self.pid
            );
        }
        let status = self.child.take().context("already waited for")?.wait()?;
        Ok(Finished {
            code: status.code(),
            signal: status.signal(),
            stdout: std::fs::read(&self.out).unwrap_or_default(),
            stderr: self.stderr(),
        })
    }

    fn tree(&self) -> Vec<(i32, String)> {
        let named = |pid| (pid, proc::comm(pid).unwrap_or_default());
        proc::descendants(self.pid).into_iter().map(named).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        // A killed tracer leaves its target alone, by design; a failed test must not.
        let below: Vec<(i32, OwnedFd)> = proc::descendants(self.pid)
            .into_iter()
            .filter_map(|pid| Some((pid, open_pidfd(pid).ok()?)))
            .collect();
        // A pid may have gone to a stranger between the two steps; a stranger is not listed again.
        let still = proc::descendants(self.pid);
        let _ = child.kill();
        for (_, pidfd) in below.iter().filter(|(pid, _)| still.contains(pid)) {
            let _ = pidfd_send_signal(pidfd, Signal::KILL);
        }
        let _ = child.wait();
    }
}

fn lossy(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// Signal that ended it.
    pub signal: Option<i32>,
    /// What it wrote, when stdout was not given to something else.
    pub stdout: Vec<u8>,
    /// What it wrote, when stderr was not given to something else.
    pub stderr: String,
}

impl Finished {
    /// Checks the exit code.
    ///
    /// # Errors
    /// It is another; the message has stderr.
    pub fn expect_code(self, code: i32) -> Result<Self> {
        ensure!(
            self.code == Some(code),
            "exit code {code} expected, got code {:?} signal {:?}; stderr:\n{}",
            self.code,
            self.signal,
            self.stderr
        );
        Ok(self)
    }

    /// Checks that stderr says every one of `words`.
    ///
    /// # Errors
    /// One is missing.
    pub fn expect_words(self, words: &[&str]) -> Result<Self> {
        let missing: Vec<_> = words
            .iter()
            .filter(|word| !self.stderr.contains(**word))
            .collect();
        ensure!(
            missing.is_empty(),
            "stderr lacks {missing:?}:\n{}",
            self.stderr
        );
        Ok(self)
    }
}
