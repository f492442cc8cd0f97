//! A program that gets every alert on its standard input, as one line of JSON.
//!
//! It runs in a process group of its own, with its input in memory (`memfd_create(2)`: nobody waits for
//! a program that does not read) and nothing on standard output. At its end or at the deadline, whatever
//! is left in its group is killed, before the group's number can be anybody else's.

use std::{
    fs::File,
    io::{Seek, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{MemfdFlags, memfd_create},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
};

use super::{failure::Failure, json, worker::Deliver};
use crate::watch::alert::Alert;

/// The program and what it must not see.
pub(super) struct Runner {
    command: Vec<String>,
    /// Variables that hold secrets of other notifiers.
    hidden: Vec<String>,
}

impl Runner {
    pub(super) fn new(command: Vec<String>, hidden: Vec<String>) -> Self {
        Self { command, hidden }
    }

    fn start(&self, input: File) -> Result<Child, Failure> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(Failure::Refused("no command is configured".to_owned()));
        };
        let mut command = Command::new(program);
        command.args(arguments).process_group(0);
        // Standard output is for JSON lines.
        command.stdin(input).stdout(Stdio::null());
        for name in &self.hidden {
            command.env_remove(name);
        }
        // The threads of the watch block what it reads from a descriptor, and a program inherits that.
        // SAFETY: between fork and exec it makes one system call and touches nothing but its own stack.
        unsafe { command.pre_exec(unblock_signals) };
        command
            .spawn()
            .map_err(|error| Failure::Again(format!("start {program}: {error}")))
    }
}

impl Deliver for Runner {
    fn deliver(&mut self, alert: &Alert, within: Duration) -> Result<(), Failure> {
        let until = Instant::now() + within;
        let input = input(alert).map_err(|error| Failure::Again(format!("its input: {error}")))?;
        let mut child = self.start(input)?;
        let group = Pid::from_child(&child);
        let ended = wait(group, until);
        // Before it is reaped: until then its number, and so the group's, belongs to nobody else.
        let _nobody_left = kill_process_group(group, Signal::KILL);
        let status = child.wait();
        match ended {
            Err(error) => Err(Failure::Again(format!("wait for it: {error}"))),
            Ok(false) => Err(Failure::Again(format!("not done in {within:?}, killed"))),
            Ok(true) => match status {
                Ok(status) if status.success() => Ok(()),
                Ok(status) => Err(Failure::Again(status.to_string())),
                Err(error) => Err(Failure::Again(format!("wait for it: {error}"))),
            },
        }
    }
}

/// Blocks no signal any more.
fn unblock_signals() -> std::io::Result<()> {
    // SAFETY: a sigset is integers; all zeroes is the empty one.
    let none: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `none` is initialised; the old mask is not asked for.
    match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) }
    {
        0 => Ok(()),
        errno => Err(std::io::Error::from_raw_os_error(errno)),
    }
}

fn input(alert: &Alert) -> std::io::Result<File> {
    let mut line = json::encode(alert)?;
    line.push(b'\n');
    let mut file = File::from(memfd_create("alert", MemfdFlags::CLOEXEC)?);
    file.write_all(&line)?;
    file.rewind()?;
    Ok(file)
}

/// Whether it ended in time.
fn wait(pid: Pid, until: Instant) -> rustix::io::Result<bool> {
    let fd = pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(|_| Errno::INVAL)?;
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::fd::AsRawFd};

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::{super::sample::orphan, *};

    const PATIENCE: Duration = Duration::from_secs(20);

    fn shell(script: &str, argument: &str) -> Runner {
        let words = ["sh", "-c", script, "sh", argument];
        Runner::new(words.map(str::to_owned).to_vec(), vec!["HOME".to_owned()])
    }

    #[test]
    fn it_gets_the_alert_and_no_secret_of_others() {
        let room = tempfile::tempdir().expect("a directory");
        let file = room.path().join("out");
        let path = file.to_str().expect("text");
        let mut runner = shell("cat >\"$1\"; echo \"HOME=$HOME\" >>\"$1\"", path);
        runner.deliver(&orphan(3), PATIENCE).expect("delivered");
        let text = fs::read_to_string(file).expect("what it wrote");
        let (line, rest) = text.split_once('\n').expect("a line");
        assert_eq!(
            serde_json::from_str::<Alert>(line).expect("JSON"),
            orphan(3)
        );
        assert_eq!(rest, "HOME=\n");
    }

    #[test]
    fn it_can_be_ended_by_signals_that_the_watch_takes_for_itself() {
        let room = tempfile::tempdir().expect("a directory");
        let file = room.path().join("out");
        let path = file.to_str().expect("text").to_owned();
        let told = std::thread::spawn(move || {
            // As every thread of the watch has them, which reads them from a descriptor.
            // SAFETY: a sigset is integers; all zeroes is one.
            let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
            // SAFETY: `set` is initialised, SIGTERM a signal; the old mask is not asked for.
            unsafe {
                libc::sigaddset(&raw mut set, libc::SIGTERM);
                libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            }
            // No shell in between: some unblock all by themselves.
            let words = ["cp", "/proc/self/status", &path].map(str::to_owned);
            Runner::new(words.to_vec(), Vec::new()).deliver(&orphan(3), PATIENCE)
        });
        told.join().expect("no panic").expect("delivered");
        let text = fs::read_to_string(file).expect("what it wrote");
        let blocked = text.lines().find(|line| line.starts_with("SigBlk"));
        assert_eq!(blocked, Some("SigBlk:\t0000000000000000"));
    }

    #[test]
    fn one_that_fails_or_is_not_there_is_tried_again() {
        let failed = shell("exit 3", "").deliver(&orphan(3), PATIENCE);
        assert!(
            matches!(&failed, Err(Failure::Again(why)) if why.contains('3')),
            "{failed:?}"
        );
        let mut nowhere = Runner::new(vec!["/nowhere/at/all".to_owned()], Vec::new());
        assert!(matches!(
            nowhere.deliver(&orphan(3), PATIENCE),
            Err(Failure::Again(_))
        ));
    }

    #[test]
    fn one_that_hangs_is_killed_with_what_it_started() {
        // Both sleepers hold the writing end: its reader sees the end of file when both are dead. Killed
        // is not dead yet, so it waits for that.
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        let script = format!(
            "exec 9>/proc/{}/fd/{}; sleep 1000 & sleep 1000",
            std::process::id(),
            writer.as_raw_fd()
        );
        let begun = Instant::now();
        let late = shell(&script, "").deliver(&orphan(3), Duration::from_millis(300));
        drop(writer);
        assert!(
            matches!(&late, Err(Failure::Again(why)) if why.contains("killed")),
            "{late:?}"
        );
        assert!(begun.elapsed() < PATIENCE);
        let patience = Timespec::try_from(PATIENCE).expect("representable");
        let mut ends = [PollFd::new(&reader, PollFlags::IN)];
        assert_eq!(poll(&mut ends, Some(&patience)), Ok(1), "a sleeper lives");
        assert!(ends[0].revents().contains(PollFlags::HUP), "{ends:?}");
    }
}
