//! Waiting, always with a deadline.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How often a condition without a descriptor is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What a test allows for one step when nothing about its speed is promised: only a hang is longer.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Environment variable that says how many times slower than a desk this machine is: an emulated one
/// needs all deadlines longer.
const SLOW: &str = "TRACER_TEST_SLOW";

/// A deadline as long as this machine needs it.
#[must_use]
pub fn stretched(deadline: Duration) -> Duration {
    let times = std::env::var(SLOW)
        .ok()
        .and_then(|times| times.parse().ok());
    deadline * times.unwrap_or(1_u32).clamp(1, 100)
}

/// Looks at `condition` until it gives a value.
///
/// # Errors
/// The deadline passed (the message names `what`), or the condition itself failed.
pub fn wait_for<T>(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    let deadline = stretched(deadline);
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if start.elapsed() > deadline {
            bail!("{what}: not within {deadline:?}");
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Waits until `fd` is readable (a pidfd: until its process has ended). False: not in time.
///
/// # Errors
/// As `poll(2)`.
pub fn readable(fd: &impl AsFd, deadline: Duration) -> Result<bool> {
    let end = Instant::now() + deadline;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs())?,
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
