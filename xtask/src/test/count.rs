//! Runs a program that prints libtest's results and adds them up while they pass by.

use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::ops::AddAssign;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::program::{self, say};

/// How many tests ended how.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Ran and held.
    pub(crate) passed: usize,
    /// Ran and did not hold, or could not be run.
    pub(crate) failed: usize,
    /// Marked `#[ignore]`.
    pub(crate) skipped: usize,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

impl Counts {
    /// Reads libtest's closing line, for example
    /// `test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 2 filtered out; finished in 0.02s`.
    /// Any other line is `None`.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let rest = line.trim().strip_prefix("test result: ")?;
        let (_verdict, figures) = rest.split_once(". ")?;
        let figure = |name: &str| {
            let part = figures.split("; ").find(|part| part.ends_with(name))?;
            part.strip_suffix(name)?.trim().parse().ok()
        };
        Some(Self {
            passed: figure("passed")?,
            failed: figure("failed")?,
            skipped: figure("ignored")?,
        })
    }
}

/// Runs the command, passing its standard output on line by line, and sums its results.
///
/// A program that fails without saying which test did, or runs beyond the deadline, is one failure:
/// a crash must not look like "nothing failed".
pub(crate) fn stream(command: &mut Command, deadline: Duration) -> Counts {
    stream_to(&mut |line| say(line), command, deadline)
}

/// [`stream`], with the lines going elsewhere.
fn stream_to(sink: &mut dyn FnMut(&str), command: &mut Command, deadline: Duration) -> Counts {
    let line = program::line(command);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut counts = Counts::default();
    let ended = match child {
        Ok(child) => relay(child, deadline, &mut |line| {
            sink(line);
            if let Some(more) = Counts::parse(line) {
                counts += more;
            }
        }),
        Err(error) => Err(format!("cannot start: {error}")),
    };
    if let Err(why) = ended {
        sink(&format!("`{line}`: {why}"));
        counts.failed += usize::from(counts.failed == 0);
    }
    counts
}

/// Hands lines on until the program has ended.
fn relay(mut child: Child, deadline: Duration, sink: &mut dyn FnMut(&str)) -> Result<(), String> {
    let stdout = child.stdout.take().ok_or("no stdout")?;
    let (sender, lines) = sync_channel(64);
    // Ends with the pipe. It is not joined: a process that a test left behind may hold the pipe open
    // for longer than the test lives, and waiting for that would be waiting without a deadline.
    thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            if sender
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                return;
            }
            line.clear();
        }
    });
    let end = Instant::now() + deadline;
    loop {
        match lines.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => {
                sink(line.trim_end_matches('\n'));
                if Instant::now() < end {
                    continue;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                // Its output is closed; that need not be its end.
                let ended = program::wait_until(&mut child, end);
                if let Some(status) = ended.map_err(|error| error.to_string())? {
                    return verdict(status);
                }
            }
        }
        if Instant::now() >= end {
            let killed = child.kill();
            return Err(match killed.and_then(|()| child.wait()) {
                Ok(_) => format!("not done after {} s, killed", deadline.as_secs()),
                Err(error) => format!("not done after {} s: {error}", deadline.as_secs()),
            });
        }
        if let Ok(Some(status)) = child.try_wait() {
            // What it wrote last may still be on its way through the reader.
            while Instant::now() < end
                && let Ok(line) = lines.recv_timeout(Duration::from_millis(300))
            {
                sink(line.trim_end_matches('\n'));
            }
            return verdict(status);
        }
    }
}

fn verdict(status: std::process::ExitStatus) -> Result<(), String> {
    if status.success() {
        Ok(())
    } else {
        Err(status.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines must not reach the output of the test run itself: it is counted the same way.
    fn collect(command: &mut Command, deadline: Duration) -> (Counts, Vec<String>) {
        let mut lines = Vec::new();
        let counts = stream_to(&mut |line| lines.push(line.to_owned()), command, deadline);
        (counts, lines)
    }

    fn shell(script: &str) -> Counts {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        collect(&mut command, Duration::from_secs(20)).0
    }

    const OK: &str = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.00s";
    const FAILED: &str = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s";

    #[test]
    fn every_closing_line_counts() {
        let counts = shell(&format!(
            "echo '{OK}'; echo noise; echo '{FAILED}'; exit 101"
        ));
        assert_eq!(counts.to_string(), "15 passed, 2 failed, 1 skipped");
    }

    #[test]
    fn a_binary_that_dies_without_a_result_is_a_failure() {
        assert_eq!(shell("echo 'test a ... '; kill -SEGV $$").failed, 1);
        assert_eq!(shell(&format!("echo '{OK}'; exit 3")).failed, 1);
    }

    #[test]
    fn a_process_that_keeps_the_pipe_open_does_not_hold_up_the_suite() {
        let started = Instant::now();
        let counts = shell(&format!("sleep 15 & echo '{OK}'"));
        assert_eq!((counts.passed, counts.failed), (12, 0));
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_binary_that_hangs_is_killed_and_failed() {
        let mut command = Command::new("sleep");
        command.arg("30");
        let (counts, lines) = collect(&mut command, Duration::from_millis(50));
        assert_eq!(counts.failed, 1);
        assert_eq!(lines, ["`sleep 30`: not done after 0 s, killed"]);
    }

    #[test]
    fn other_lines_say_nothing() {
        assert_eq!(Counts::parse("test result is fine"), None);
        assert_eq!(
            Counts::parse("test result: ok. many passed; 0 failed; 0 ignored"),
            None
        );
    }
}
