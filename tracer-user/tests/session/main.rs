//! The record of a session, tested from outside: on good disks and bad ones.
#![expect(
    clippy::expect_used,
    reason = "a test that cannot prepare its case has failed"
)]

mod cost;
mod faults;
mod journal;
mod kill;
mod recorder;
mod support;
