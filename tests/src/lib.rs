//! Harness of the live tests: start `tracer`, read what it recorded, compare that with what a
//! fixture says it did.
//!
//! A test that cannot get what it needs (root, BTF, a program) fails and names it; nothing here
//! skips. Nothing sleeps to synchronise: [`wait::wait_for`] polls a condition up to a deadline.

pub mod anomalies;
pub mod bpffs;
pub mod cgroup;
pub mod check;
pub mod crash;
pub mod ended;
pub mod exec;
pub mod facts;
pub mod fatal;
pub mod follow;
pub mod hold;
pub mod http;
pub mod journal;
pub mod launch;
pub mod need;
pub mod outline;
pub mod place;
pub mod proc;
pub mod pty;
pub mod pypi;
pub mod receiver;
pub mod room;
pub mod rows;
pub mod session;
pub mod sys;
pub mod told;
pub mod torture;
pub mod truth;
pub mod unattended;
pub mod verdict;
pub mod wait;

/// One line on stderr, for fixtures; a closed stderr is not their concern.
pub fn say(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{line}");
}
