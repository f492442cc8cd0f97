//! Unusual parents: `family double-fork|subreaper|clone-parent|vfork|posix-spawn|threads`.
//!
//! Each act logs every process with its creator, its parent at birth and its wait status.

use std::ffi::CString;
use std::io::Read as _;

use anyhow::{Context as _, Result, bail};
use tracer_tests::exec::{self, Argv, VforkStack};
use tracer_tests::place;
use tracer_tests::sys;
use tracer_tests::truth::Truth;
use tracer_tests::wait::{PATIENCE, wait_for};

/// A raw wait status that says "exited with `code`".
fn exited(code: i32) -> i32 {
    code << 8
}

/// A child that makes a grandchild and ends before it. The grandchild starts its own session, waits
/// until it is an orphan, and ends with `code`. Gives the child.
fn daemonise(truth: &mut Truth, code: i32, reaped_by_us: bool) -> Result<i32> {
    let child = sys::fork(|| {
        let child = sys::getpid();
        let grandchild = || match orphan(child, code, reaped_by_us) {
            Ok(()) => code,
            Err(_) => 99,
        };
        let logged = sys::fork(grandchild)
            .map_err(anyhow::Error::from)
            .and_then(|grandchild| {
                let mut truth = Truth::from_env()?;
                truth.fork(child, grandchild);
                Ok(truth.flush()?)
            });
        i32::from(logged.is_err())
    })?;
    truth.fork(sys::getpid(), child);
    Ok(child)
}

fn orphan(first_parent: i32, code: i32, reaped_by_us: bool) -> Result<()> {
    rustix::process::setsid()?;
    wait_for("reparenting", PATIENCE, || {
        Ok((sys::getppid() != first_parent).then_some(()))
    })?;
    if !reaped_by_us {
        let mut truth = Truth::from_env()?;
        truth.will_exit(sys::getpid(), exited(code));
        truth.flush()?;
    }
    Ok(())
}

fn double_fork(truth: &mut Truth) -> Result<()> {
    // The orphan goes to init, so only the end of this pipe tells that it is gone: a process's
    // descriptors close after its end has been reported.
    let (mut read, write) = std::io::pipe()?;
    let child = daemonise(truth, 5, false)?;
    drop(write);
    truth.waited(sys::wait4(child)?);
    read.read_to_end(&mut Vec::new())
        .context("wait for the end of the orphan")?;
    Ok(())
}

fn subreaper(truth: &mut Truth) -> Result<()> {
    rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1))?;
    daemonise(truth, 6, true)?;
    for _ in 0..2 {
        truth.waited(sys::wait4(-1)?);
    }
    Ok(())
}

fn clone_parent(truth: &mut Truth) -> Result<()> {
    let me = sys::getpid();
    let child = sys::fork(|| {
        let child = sys::getpid();
        let logged = sys::clone(libc::CLONE_PARENT, || 22)
            .map_err(anyhow::Error::from)
            .and_then(|sibling| {
                let mut truth = Truth::from_env()?;
                truth.fork_for(child, sibling, sys::getppid());
                Ok(truth.flush()?)
            });
        if logged.is_ok() { 21 } else { 99 }
    })?;
    truth.fork(me, child);
    for _ in 0..2 {
        truth.waited(sys::wait4(-1)?);
    }
    Ok(())
}

fn spawn(truth: &mut Truth, vfork: bool) -> Result<()> {
    let tiny = place::fixture_text("tiny")?;
    let file = CString::new(tiny.clone())?;
    let argv = Argv::new(&file, &[c"tiny", c"31"]);
    let child = if vfork {
        exec::vfork_exec(&mut VforkStack::default(), &argv)?
    } else {
        argv.posix_spawn()?
    };
    truth.fork(sys::getpid(), child);
    truth.exec(child, &tiny);
    truth.waited(sys::wait4(child)?);
    Ok(())
}

/// Four threads that fork at the same time. The creator is the process, whichever thread forks.
fn threads(truth: &mut Truth) -> Result<()> {
    let thread = || -> Result<Vec<sys::Waited>> {
        (0..50)
            .map(|code| Ok(sys::wait4(sys::fork(|| code)?)?))
            .collect()
    };
    let ended = std::thread::scope(|scope| {
        let running: Vec<_> = (0..4).map(|_| scope.spawn(thread)).collect();
        let joined = running.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined.collect::<Result<Vec<_>, _>>()
    });
    let Ok(ended) = ended else {
        bail!("a forking thread panicked")
    };
    for waited in ended
        .into_iter()
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .flatten()
    {
        truth.fork(sys::getpid(), waited.pid);
        truth.waited(waited);
    }
    Ok(())
}

fn main() -> Result<()> {
    let mut truth = Truth::from_env()?;
    for act in std::env::args().skip(1) {
        match act.as_str() {
            "double-fork" => double_fork(&mut truth)?,
            "subreaper" => subreaper(&mut truth)?,
            "clone-parent" => clone_parent(&mut truth)?,
            "vfork" => spawn(&mut truth, true)?,
            "posix-spawn" => spawn(&mut truth, false)?,
            "threads" => threads(&mut truth)?,
            other => bail!("no act {other}"),
        }
        truth.flush()?;
    }
    Ok(())
}
