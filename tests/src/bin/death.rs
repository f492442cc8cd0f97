//! Ends where the leader goes first: `death exit-group|thread-exit|kill|fault|abort|all-at-once`.
//!
//! A child's leader ends with `SYS_exit(3)`; when it is a zombie, another thread ends the process.
//! What the parent's wait4 says is the truth: 0x700, 0x500 and 0x9, where a tool that looks only at
//! the leader says 3.

use std::sync::Barrier;

use anyhow::{Result, bail};
use tracer_tests::truth::Truth;
use tracer_tests::wait::{PATIENCE, wait_for};
use tracer_tests::{proc, sys};

/// In the child: the leader ends, then another thread does `end`.
fn leader_first(end: fn()) -> i32 {
    let leader = sys::getpid();
    let second = move || {
        let zombie = wait_for("the leader's end", PATIENCE, || {
            Ok((proc::thread_state(leader, leader) == Some('Z')).then_some(()))
        });
        if zombie.is_ok() {
            end();
        }
        sys::exit_now(99);
    };
    match std::thread::Builder::new().spawn(second) {
        Ok(_) => sys::exit_thread(3),
        Err(_) => 98,
    }
}

/// In the child: nine threads leave together, each with another code, none with the 3 of the leaders
/// above.
fn all_at_once() -> i32 {
    let barrier: &Barrier = Box::leak(Box::new(Barrier::new(9)));
    for code in 11..19 {
        let leave = move || {
            barrier.wait();
            sys::exit_thread(code)
        };
        if std::thread::Builder::new().spawn(leave).is_err() {
            return 98;
        }
    }
    barrier.wait();
    sys::exit_thread(19)
}

fn die_of(signal: i32) {
    // A failure shows in the wait status.
    let _ = sys::die_of(signal);
}

fn main() -> Result<()> {
    let mut truth = Truth::from_env()?;
    rustix::process::setrlimit(
        rustix::process::Resource::Core,
        rustix::process::Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )?;
    for act in std::env::args().skip(1) {
        let child: fn() -> i32 = match act.as_str() {
            "exit-group" => || leader_first(|| sys::exit_now(7)),
            "thread-exit" => || leader_first(|| sys::exit_thread(5)),
            "kill" => || leader_first(|| die_of(libc::SIGKILL)),
            "fault" => || leader_first(|| die_of(libc::SIGSEGV)),
            "all-at-once" => all_at_once,
            other => bail!("no act {other}"),
        };
        let pid = sys::fork(child)?;
        truth.fork(sys::getpid(), pid);
        let waited = sys::wait4(pid)?;
        truth.note(&act, &waited.status.to_string());
        truth.waited(waited);
        truth.flush()?;
    }
    Ok(())
}
