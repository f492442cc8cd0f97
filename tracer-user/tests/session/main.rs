//! The record of a session, tested from outside: on good disks and bad ones.
#![expect(
    clippy::expect_used,
    reason = "a test that cannot prepare its case has failed"
)]

mod arbitrary;
mod cost;
mod crash;
mod crash_gates;
mod crashed;
mod crashing;
mod disks;
mod epochs;
mod faults;
mod faulty;
mod journal;
mod kill;
mod lease;
mod mounts;
mod recorder;
mod recover;
mod recover_gates;
mod sandbox;
mod support;
