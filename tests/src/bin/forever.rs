//! A storm that runs until it is told to stop: `forever WORKERS STOP_FILE`.
//!
//! Workers make children without end; every fourth child makes a grandchild and leaves it behind, so
//! that it is reparented to the root, a subreaper. Four processes only wait for the stop. Every
//! process says in the truth log when it is still alive, just before its end: whoever attaches
//! before that time must have seen it.

use std::path::Path;

use anyhow::{Result, bail};
use rustix::process::Pid;
use tracer_tests::sys;
use tracer_tests::truth::Truth;
use tracer_tests::wait::wait_for;

/// Longer than any test.
const NO_STOP: std::time::Duration = std::time::Duration::from_secs(300);

fn say_last() -> Result<()> {
    let mut truth = Truth::from_env()?;
    truth.last(sys::getpid());
    Ok(truth.flush()?)
}

/// A child of a worker; every fourth leaves a grandchild behind.
fn child(number: i32) -> Result<()> {
    if number % 4 == 3 {
        let me = sys::getpid();
        let grandchild = sys::fork(|| say_last().map_or(99, |()| 13))?;
        let mut truth = Truth::from_env()?;
        truth.fork(me, grandchild);
        truth.flush()?;
    }
    say_last()
}

fn worker(stop: &Path) -> Result<()> {
    let mut truth = Truth::from_env()?;
    let me = sys::getpid();
    for number in 0_i32.. {
        let code = number % 100;
        let pid = sys::fork(|| child(number).map_or(99, |()| code))?;
        truth.fork(me, pid);
        truth.waited(sys::wait4(pid)?);
        truth.flush()?;
        if number % 16 == 0 && stop.exists() {
            break;
        }
    }
    say_last()
}

fn idler(stop: &Path) -> Result<()> {
    wait_for("the stop file", NO_STOP, || Ok(stop.exists().then_some(())))?;
    say_last()
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [workers, stop] = args.as_slice() else {
        bail!("usage: forever WORKERS STOP_FILE")
    };
    let (workers, stop): (u32, &Path) = (workers.parse()?, Path::new(stop));
    rustix::process::set_child_subreaper(Pid::from_raw(1))?;
    let mut truth = Truth::from_env()?;
    let me = sys::getpid();
    for index in 0..workers + 4 {
        let work = if index < workers { worker } else { idler };
        let pid = sys::fork(|| work(stop).map_or(99, |()| 50))?;
        truth.fork(me, pid);
    }
    truth.note("ready", &me.to_string());
    truth.flush()?;
    // All that is left without a parent comes here; ECHILD is the end.
    while let Ok(waited) = sys::wait4(-1) {
        truth.waited(waited);
        truth.flush()?;
    }
    truth.last(me);
    Ok(truth.flush()?)
}
