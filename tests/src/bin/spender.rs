//! Spends CPU time and memory, and says what that came to: `spender ACT…`.
//!
//! `forks EACH_US SECONDS`: one child after the other, each computing for `EACH_US`. `mixed`: orphans,
//! programs that execute others, processes with a pid used before. `hog MIB`: takes memory for a moment.
//! `in FOLDER ACT…`: joins that cgroup first.
//!
//! The truth log has `self_us` and `children_us` (`getrusage(2)`), the latter with everything that was
//! waited for below, and `children`, their number.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use tracer_tests::sys;
use tracer_tests::truth::Truth;

/// Computes for so long.
fn compute(length: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < length {
        std::hint::black_box(0);
    }
}

/// A child that computes for so long, waited for.
fn child(length: Duration) -> Result<i32> {
    let pid = sys::fork(|| {
        compute(length);
        0
    })?;
    sys::wait4(pid)?;
    Ok(pid)
}

fn forks(each: Duration, all: Duration) -> Result<u64> {
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < all {
        child(each)?;
        count += 1;
    }
    Ok(count)
}

/// What could be counted twice or not at all. Orphans are given to this process, which so can say
/// what they have used.
fn mixed() -> Result<u64> {
    const MOMENT: Duration = Duration::from_millis(4);
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let own = std::env::current_exe()?;
    let mut count = 0;
    for _ in 0..20 {
        let between = sys::fork(|| {
            let orphan = sys::fork(|| {
                compute(MOMENT);
                0
            });
            i32::from(orphan.is_err())
        })?;
        sys::wait4(between)?;
        sys::wait4(-1)?;

        let pid = child(MOMENT)?;
        let again = sys::fork_as(pid, || {
            compute(MOMENT);
            0
        });
        sys::wait4(again.context("a pid used before")?)?;

        let status = std::process::Command::new(&own)
            .args(["exec", "3"])
            .status()?;
        if !status.success() {
            bail!("exec: {status}");
        }
        count += 5;
    }
    Ok(count)
}

/// Computes and executes itself, so many times.
fn exec(times: u32) -> Result<()> {
    use std::os::unix::process::CommandExt as _;
    compute(Duration::from_millis(3));
    let Some(rest) = times.checked_sub(1) else {
        return Ok(());
    };
    let mut next = std::process::Command::new(std::env::current_exe()?);
    Err(next.args(["exec", &rest.to_string()]).exec().into())
}

fn say(count: u64) -> Result<()> {
    let mut truth = Truth::from_env()?;
    for (key, who) in [
        ("self_us", UsageWho::RUSAGE_SELF),
        ("children_us", UsageWho::RUSAGE_CHILDREN),
    ] {
        let usage = getrusage(who)?;
        let us = [usage.user_time(), usage.system_time()]
            .map(|time| time.tv_sec() * 1_000_000 + time.tv_usec());
        truth.note(key, &us.iter().sum::<i64>().to_string());
    }
    truth.note("children", &count.to_string());
    Ok(truth.flush()?)
}

fn act(args: &[&str]) -> Result<()> {
    match args {
        ["forks", each, seconds] => {
            let each = Duration::from_micros(each.parse()?);
            say(forks(each, Duration::from_secs(seconds.parse()?))?)
        }
        ["mixed"] => say(mixed()?),
        ["exec", times] => exec(times.parse()?),
        ["hog", mib] => {
            let mib = mib.parse()?;
            let pid = sys::fork(|| i32::from(sys::touch(mib).is_err()))?;
            sys::wait4(pid)?;
            Ok(())
        }
        ["in", folder, rest @ ..] => {
            std::fs::write(Path::new(folder).join("cgroup.procs"), "0")
                .with_context(|| format!("join {folder}"))?;
            act(rest)
        }
        _ => bail!("usage: spender ACT…"),
    }
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    act(&args)
}
