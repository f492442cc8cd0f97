//! The launcher under test as a program, and what the tests of it look at.
#![expect(
    clippy::print_stdout,
    reason = "what it says is for the test that started it"
)]

mod terminal;

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, Signal};
use tracer::target::pty::{Pty, RawTerminal};
use tracer::target::pump::{Ends, Pump};
use tracer::target::signals::{self, Context, Decision, SignalFd};
use tracer::target::{ChildChange, LaunchSpec, RunningChild, SuspendedChild, User};

pub(crate) use terminal::Terminal;

const DEADLINE: Duration = Duration::from_secs(20);

/// This program as a launcher of `args`.
pub(crate) fn launcher(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("--launch").args(args);
    command
}

/// Runs a command as tracer would, and says on standard error what became of it.
pub(crate) fn as_launcher(args: &[OsString]) -> ExitCode {
    let mut rest = args.iter();
    let (mut pty, mut user, mut hold, mut give_up, mut kill_first) =
        (None, None, false, false, false);
    let mut command = Vec::new();
    while let Some(arg) = rest.next() {
        match arg.to_str() {
            Some("--pty") => pty = Some(Pty::open(Some(std::io::stdin().as_fd())).unwrap()),
            Some("--user") => {
                user = Some(User::lookup(rest.next().unwrap().to_str().unwrap()).unwrap());
            }
            Some("--hold") => hold = true,
            Some("--drop") => give_up = true,
            Some("--kill") => kill_first = true,
            _ => {
                command.push(arg.clone());
                command.extend(rest.by_ref().cloned());
            }
        }
    }
    let spec = LaunchSpec {
        argv: command,
        pty: pty.as_ref().and_then(Pty::slave),
        user,
    };
    let child = SuspendedChild::spawn(&spec).unwrap();
    drop(spec);
    let signals = SignalFd::install().unwrap();
    if hold || give_up {
        println!("{}", child.pid());
    }
    if hold {
        std::io::stdin().read_line(&mut String::new()).unwrap();
        std::thread::park();
    }
    if give_up {
        return ExitCode::SUCCESS;
    }
    if kill_first {
        rustix::process::pidfd_send_signal(child.pidfd(), Signal::TERM).unwrap();
        poll_in(&[child.pidfd()]);
    }
    if let Some(pty) = &mut pty {
        pty.close_slave();
    }
    match child.release() {
        Ok(child) => run(child, &signals, pty.as_ref()),
        Err(error) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            eprintln!("{error}: {}", source.unwrap_or_default());
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(mut child: RunningChild, signals: &SignalFd, pty: Option<&Pty>) -> ExitCode {
    let context = Context {
        shares_group: pty.is_none(),
        command_got_it: false,
    };
    let terminal = pty.and_then(|_| RawTerminal::take(std::io::stdin().as_fd()).unwrap());
    let status = std::thread::scope(|scope| {
        if let Some(pty) = pty {
            let ended = rustix::io::fcntl_dupfd_cloexec(child.pidfd(), 3).unwrap();
            let is_terminal = rustix::termios::isatty(std::io::stdin());
            scope.spawn(move || {
                let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
                let ends = Ends {
                    stdin: stdin.as_fd(),
                    stdout: stdout.as_fd(),
                    master: pty.master(),
                    ended: ended.as_fd(),
                };
                Pump::new(is_terminal)
                    .copy(ends, Duration::from_secs(5))
                    .unwrap();
            });
        }
        loop {
            poll_in(&[signals.as_fd(), child.pidfd()]);
            while let Some(received) = signals.next().unwrap() {
                if let Decision::Forward(signal) = signals::forward(received, context) {
                    child.signal(signal).unwrap();
                }
            }
            while let Some(change) = child.poll_change().unwrap() {
                match change {
                    ChildChange::Exited { status } => return status,
                    ChildChange::Stopped(signal) => eprintln!("stopped {signal}"),
                    ChildChange::Continued => eprintln!("continued"),
                }
            }
        }
    });
    drop(terminal);
    eprintln!("status {status:#x}");
    ExitCode::SUCCESS
}

fn poll_in(fds: &[std::os::fd::BorrowedFd<'_>]) {
    let mut polled: Vec<_> = fds
        .iter()
        .map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN))
        .collect();
    let _ = rustix::event::poll(&mut polled, None);
}

/// What a process found when it started.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The files that are the same for two runs of one command.
    exact: Vec<String>,
    pub(crate) descriptors: Vec<String>,
}

impl Found {
    pub(crate) const FILES: &'static [&'static str] = &[
        "/proc/self/status",
        "/proc/self/limits",
        "/proc/self/environ",
        "/proc/self/stat",
        "/proc/self/oom_score_adj",
        "/proc/self/coredump_filter",
        "/proc/self/timerslack_ns",
        "/proc/self/cgroup",
        "/proc/self/autogroup",
        "/proc/self/personality",
    ];

    /// A signal mask of `status`.
    pub(crate) fn mask(&self, key: &str) -> u64 {
        u64::from_str_radix(self.status(key), 16).unwrap()
    }

    pub(crate) fn status(&self, key: &str) -> &str {
        let line = self
            .exact
            .iter()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {key} in {:?}", self.exact))
            .trim()
    }
}

/// Runs `cat` of [`Found::FILES`] and `ls` of its own descriptors, alone or in the launcher, both
/// started in the way `prepare` says.
pub(crate) fn found_by(in_launcher: bool, prepare: &dyn Fn(&mut Command)) -> Found {
    let say = |program: &str, args: &[&str]| {
        let mut command = if in_launcher {
            launcher(&[program])
        } else {
            Command::new(program)
        };
        command
            .args(args)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .stdout(Stdio::piped());
        prepare(&mut command);
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let text = say("cat", Found::FILES);
    let descriptors = say("ls", &["/proc/self/fd"]);
    assert!(!descriptors.is_empty());
    Found {
        exact: exact(&text),
        descriptors: descriptors.lines().map(Into::into).collect(),
    }
}

fn exact(text: &str) -> Vec<String> {
    // The others of two runs differ by nature: memory, context switches, ids, times.
    const STATUS: &[&str] = &[
        "Name",
        "Umask",
        "Uid",
        "Gid",
        "Groups",
        "Seccomp",
        "NoNewPrivs",
        "SigPnd",
        "ShdPnd",
        "SigBlk",
        "SigIgn",
        "SigCgt",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "Cpus_allowed",
    ];
    // pgrp, session, tty, its foreground group, priority, nice, policy: proc_pid_stat(5) counts from 1.
    const STAT: &[usize] = &[5, 6, 7, 8, 18, 19, 41];
    let mut exact = Vec::new();
    for line in text.lines() {
        let key = line.split(':').next().unwrap_or_default();
        if line.contains(':') && line.contains('\t') {
            exact.extend(STATUS.contains(&key).then(|| line.to_owned()));
        } else if let Some((_, fields)) = line.rsplit_once(") ").filter(|_| line.contains("(cat)"))
        {
            let fields: Vec<&str> = fields.split(' ').collect();
            exact.push(
                STAT.iter()
                    .map(|field| fields[field - 3])
                    .collect::<Vec<_>>()
                    .join(" "),
            );
        } else {
            exact.push(line.to_owned());
        }
    }
    exact
}

pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

pub(crate) fn executable(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

pub(crate) fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        std::thread::yield_now();
    }
}

/// The next line, leaving the rest unread.
pub(crate) fn line(from: &mut impl Read) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while from.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap().trim().to_owned()
}

pub(crate) fn exists(pid: &str) -> bool {
    Path::new("/proc").join(pid).exists()
}

/// Whether it is there and no zombie.
pub(crate) fn runs(pid: &str) -> bool {
    let status = fs::read_to_string(Path::new("/proc").join(pid).join("status"));
    status.is_ok_and(|status| !status.contains("State:\tZ"))
}

/// A signal mask of a running process.
pub(crate) fn mask_of(pid: u32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let found = Found {
        exact: status.lines().map(Into::into).collect(),
        descriptors: Vec::new(),
    };
    found.mask(key)
}

pub(crate) fn kill(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

pub(crate) fn block(signals: &[i32]) {
    // SAFETY: the set is initialised before it is used; the old mask is not asked for.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for &signal in signals {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}
