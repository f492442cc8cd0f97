//! The record of a session, tested from outside: on good disks and bad ones.
#![expect(
    clippy::expect_used,
    reason = "a test that cannot prepare its case has failed"
)]

mod arbitrary;
mod bytes;
mod cost;
mod disks;
mod faults;
mod faulty;
mod hostile;
mod journal;
mod kill;
mod recorder;
mod support;
