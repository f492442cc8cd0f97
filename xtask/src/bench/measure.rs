//! Runs a program and says what it cost: CPU time from the kernel's account at its end, peak memory
//! from looking while it runs.
//!
//! `ru_maxrss` is not used: it keeps the peak of the image before exec, that is of xtask itself.
//! `VmHWM` is the observer's own and only grows, so that the last look is low by what it gained since.

use std::fs;
use std::io;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags};

use crate::program;

/// How often memory is looked at; cheap beside what is measured.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a program cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    /// CPU time of the program and of the descendants that were waited for, µs.
    pub(super) cpu_us: i64,
    /// Peak resident memory of the program alone, KiB.
    pub(super) rss_kb: u64,
    /// From start to end.
    pub(super) wall: Duration,
    /// It exited with 0.
    pub(super) ok: bool,
}

/// A program that runs.
pub(super) struct Running {
    child: Child,
    pidfd: OwnedFd,
    line: String,
    started: Instant,
    rss_kb: u64,
}

impl Running {
    /// Starts it.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let line = program::line(command);
        let started = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("cannot start `{line}`"))?;
        let pidfd = rustix::process::pidfd_open(Pid::from_child(&child), PidfdFlags::empty())
            .with_context(|| format!("pidfd of `{line}`"))?;
        Ok(Self {
            child,
            pidfd,
            line,
            started,
            rss_kb: 0,
        })
    }

    /// Its pid.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, as a person at the keyboard would.
    ///
    /// # Errors
    /// The signal could not be sent.
    pub(super) fn interrupt(&self) -> Result<()> {
        rustix::process::pidfd_send_signal(&self.pidfd, rustix::process::Signal::INT)
            .with_context(|| format!("interrupting `{}`", self.line))
    }

    /// Waits until `quiet` has passed without it using the CPU, at most until the deadline.
    ///
    /// # Errors
    /// It has ended, or is not quiet by then.
    pub(super) fn wait_quiet(&mut self, quiet: Duration, deadline: Duration) -> Result<()> {
        let end = Instant::now() + deadline;
        let mut last = self.cpu_ticks();
        while Instant::now() < end {
            if self.ended_within(quiet)? {
                bail!("`{}` has ended by itself", self.line);
            }
            let now = self.cpu_ticks();
            if now == last {
                return Ok(());
            }
            last = now;
        }
        bail!("`{}` is not done after {} s", self.line, deadline.as_secs())
    }

    /// Waits for its end; kills it at the deadline.
    ///
    /// # Errors
    /// The deadline passed, or the kernel refused.
    pub(super) fn wait(mut self, deadline: Duration) -> Result<Cost> {
        let end = Instant::now() + deadline;
        while !self.ended_within(LOOK_EVERY)? {
            self.look();
            if Instant::now() >= end {
                self.child.kill()?;
                self.child.wait()?;
                bail!(
                    "`{}` is not done after {} s, killed",
                    self.line,
                    deadline.as_secs()
                );
            }
        }
        let wall = self.started.elapsed();
        let (status, cpu_us) =
            wait4(self.child.id()).with_context(|| format!("waiting for `{}`", self.line))?;
        Ok(Cost {
            cpu_us,
            rss_kb: self.rss_kb,
            wall,
            ok: status == 0,
        })
    }

    fn ended_within(&self, time: Duration) -> Result<bool> {
        let timeout = rustix::time::Timespec::try_from(time).ok();
        let mut ready = [PollFd::new(&self.pidfd, PollFlags::IN)];
        match rustix::event::poll(&mut ready, timeout.as_ref()) {
            Ok(count) => Ok(count > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error).context("poll of a pidfd"),
        }
    }

    fn look(&mut self) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        if let Some(peak) = status.ok().and_then(|status| parse_peak_kb(&status)) {
            self.rss_kb = self.rss_kb.max(peak);
        }
    }

    /// User and system time, fields 14 and 15 of `stat` (`proc_pid_stat(5)`), as text.
    fn cpu_ticks(&mut self) -> Option<String> {
        self.look();
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        let (_, after_comm) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = after_comm.split_whitespace().skip(11).take(2).collect();
        Some(fields.join(" "))
    }
}

/// Starts and waits.
///
/// # Errors
/// As both.
pub(super) fn run(command: &mut Command, deadline: Duration) -> Result<Cost> {
    Running::start(command)?.wait(deadline)
}

/// `VmHWM` of `/proc/PID/status`, KiB.
fn parse_peak_kb(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// Raw wait status and CPU time in µs of a child that has ended.
fn wait4(pid: u32) -> io::Result<(i32, i64)> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    let mut status = 0;
    // SAFETY: rusage is integers only, for which all zeros is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to valid, writable locals.
    let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    if waited != pid {
        return Err(io::Error::last_os_error());
    }
    let us = |time: libc::timeval| time.tv_sec * 1_000_000 + time.tv_usec;
    Ok((status, us(usage.ru_utime) + us(usage.ru_stime)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_charged_for_its_work_and_its_failure_is_seen() {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exit 3",
        ]);
        let cost = run(&mut command, Duration::from_secs(30)).unwrap();
        assert!(cost.cpu_us > 1_000, "{cost:?}");
        assert!(!cost.ok);
    }

    #[test]
    fn a_program_that_does_not_end_is_killed_and_named() {
        let mut command = Command::new("sleep");
        command.arg("30");
        let error = run(&mut command, Duration::from_millis(60)).unwrap_err();
        assert!(
            error.to_string().contains("`sleep 30` is not done"),
            "{error}"
        );
    }

    #[test]
    fn the_peak_is_read_in_kib() {
        assert_eq!(
            parse_peak_kb("VmPeak:\t 9 kB\nVmHWM:\t    1204 kB\n"),
            Some(1204)
        );
        assert_eq!(parse_peak_kb("Name:\tx\n"), None);
    }
}
