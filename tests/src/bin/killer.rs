//! Starts a program and kills it with SIGKILL:
//! `killer ACCOUNT never|after MICROSECONDS|at KIND NUMBER before|behind -- PROGRAM ARGS…`.
//!
//! `at` means at a system call of this kind ([`Kind`]), the `NUMBER`th of all the program's threads,
//! before it has an effect or behind it; so the states between any two effects can be reached. `after`
//! means at any moment, also in the middle of a call. What the program starts is not touched: it becomes
//! this process's, which ends when all of that has ended.
//!
//! ACCOUNT gets a line of JSON when the program is dead (`place`, `status`, `calls` by kind, `programs`
//! that it had in the kernel) and one when everything is over (`orphans`: pids and raw statuses).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tracer_tests::sys::calls::{Kind, Stop, stop_of};
use tracer_tests::{sys, wait};

/// When to kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Never,
    After(Duration),
    At {
        kind: Kind,
        number: u64,
        behind: bool,
    },
}

fn parse(words: &[String]) -> Result<Moment> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Ok(match words.as_slice() {
        ["never"] => Moment::Never,
        ["after", us] => Moment::After(Duration::from_micros(us.parse()?)),
        ["at", kind, number, side] => Moment::At {
            kind: Kind::named(kind).with_context(|| format!("no kind {kind}"))?,
            number: number.parse()?,
            behind: match *side {
                "before" => false,
                "behind" => true,
                other => bail!("before or behind, not {other}"),
            },
        },
        _ => bail!("no moment: {words:?}"),
    })
}

/// The program, and what is known of it.
#[derive(Debug)]
struct Watched {
    pid: Pid,
    moment: Moment,
    calls: BTreeMap<Kind, u64>,
    programs: BTreeSet<u64>,
    /// Where it was killed.
    place: Option<String>,
    /// The thread to kill it with when its call is done.
    due: Option<(Pid, String)>,
}

impl Watched {
    fn kill(&mut self, place: String) -> Result<()> {
        self.programs = programs_of(self.pid);
        self.place = Some(place);
        // Our child, not yet waited for: the number is nobody else's.
        Ok(nix::sys::signal::kill(self.pid, Signal::SIGKILL)?)
    }

    /// A thread stands at a system call.
    fn at_call(&mut self, thread: Pid) -> Result<()> {
        let stop = match stop_of(thread.as_raw()) {
            Err(gone) if gone.raw_os_error() == Some(libc::ESRCH) => return Ok(()),
            other => other?,
        };
        match stop {
            Stop::Exit => {
                if let Some((due, place)) = self.due.take_if(|(due, _)| *due == thread) {
                    let _ = due;
                    self.kill(place)?;
                }
            }
            Stop::Entry(Some(kind)) => {
                let count = self.calls.entry(kind).or_default();
                *count += 1;
                if let Moment::At {
                    kind: wanted,
                    number,
                    behind,
                } = self.moment
                    && (wanted, number) == (kind, *count)
                {
                    let name = kind.name();
                    if behind {
                        self.due = Some((thread, format!("behind {name} {number}")));
                    } else {
                        self.kill(format!("before {name} {number}"))?;
                    }
                }
            }
            Stop::Entry(None) => {}
        }
        Ok(())
    }

    /// Follows it from call to call until it is dead; its raw wait status, and those of its orphans.
    fn step(&mut self) -> Result<(i32, Vec<(i32, i32)>)> {
        let mut orphans = Vec::new();
        loop {
            let (thread, signal) = match waitpid(None, Some(WaitPidFlag::__WALL))? {
                WaitStatus::PtraceSyscall(thread) => {
                    if self.place.is_none() {
                        self.at_call(thread)?;
                    }
                    (thread, None)
                }
                // The exec it began with, and the first stop of each thread.
                WaitStatus::PtraceEvent(thread, ..)
                | WaitStatus::Stopped(thread, Signal::SIGTRAP | Signal::SIGSTOP) => (thread, None),
                WaitStatus::Stopped(thread, signal) => (thread, Some(signal)),
                ended => {
                    if let Some((pid, status)) = end_of(ended) {
                        if pid == self.pid.as_raw() {
                            return Ok((status, orphans));
                        }
                        orphans.push((pid, status));
                    }
                    continue;
                }
            };
            match ptrace::syscall(thread, signal) {
                // Killed while it stood.
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Pid and raw status of what has ended.
fn end_of(status: WaitStatus) -> Option<(i32, i32)> {
    match status {
        WaitStatus::Exited(pid, code) => Some((pid.as_raw(), code << 8)),
        WaitStatus::Signaled(pid, signal, core) => {
            Some((pid.as_raw(), signal as i32 | i32::from(core) << 7))
        }
        _ => None,
    }
}

/// Numbers of the BPF programs that a process holds, itself or by a link.
fn programs_of(pid: Pid) -> BTreeSet<u64> {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fdinfo"));
    let texts = descriptors
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
    let number = |text: String| {
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok())
    };
    texts.filter_map(number).collect()
}

fn append(account: &Path, line: &Value) -> Result<()> {
    let mut file: File = OpenOptions::new().append(true).create(true).open(account)?;
    Ok(file.write_all(format!("{line}\n").as_bytes())?)
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let dashes = args.iter().position(|arg| arg == "--");
    let (how, program) = args.split_at(dashes.context("no -- PROGRAM")?);
    let (account, moment) = how.split_first().context("no ACCOUNT")?;
    let (account, moment) = (Path::new(account), parse(moment)?);
    ensure!(program.len() > 1, "no PROGRAM");

    // What the program leaves behind comes to us, and its end with it.
    rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1))?;
    let mut command = Command::new(&program[1]);
    command.args(&program[2..]);
    let stepping = !matches!(moment, Moment::After(_));
    if stepping {
        // SAFETY: one system call.
        unsafe { command.pre_exec(|| Ok(ptrace::traceme()?)) };
    }
    let child = command.spawn().context("start the program")?;
    let pid = i32::try_from(child.id())?;
    let mut watched = Watched {
        pid: Pid::from_raw(pid),
        moment,
        calls: BTreeMap::new(),
        programs: BTreeSet::new(),
        place: None,
        due: None,
    };
    let (status, mut orphans) = if stepping {
        waitpid(watched.pid, None).context("wait for its exec")?;
        // Its threads, not its children.
        let options = Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_EXITKILL;
        ptrace::setoptions(watched.pid, options)?;
        ptrace::syscall(watched.pid, None)?;
        watched.step()?
    } else {
        if let Moment::After(time) = moment {
            let raw = rustix::process::Pid::from_raw(pid).context("pid 0")?;
            let pidfd = rustix::process::pidfd_open(raw, rustix::process::PidfdFlags::empty())?;
            if !wait::readable(&pidfd, time)? {
                watched.kill(format!("after {} µs", time.as_micros()))?;
            }
        }
        (sys::wait4(pid)?.status, Vec::new())
    };
    let calls: serde_json::Map<String, Value> = watched
        .calls
        .iter()
        .map(|(kind, count)| (kind.name().to_owned(), json!(count)))
        .collect();
    // It may have ended by itself in the moment before.
    let place = watched.place.filter(|_| status == libc::SIGKILL);
    append(
        account,
        &json!({"place": place, "status": status, "calls": calls, "programs": watched.programs}),
    )?;
    while let Ok(orphan) = sys::wait4(-1) {
        orphans.push((orphan.pid, orphan.status));
    }
    append(account, &json!({ "orphans": orphans }))
}
