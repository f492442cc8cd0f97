//! The record of a session, tested from outside: on good disks and bad ones.
#![expect(
    clippy::expect_used,
    reason = "a test that cannot prepare its case has failed"
)]

mod accounts;
mod anomalies;
mod arbitrary;
mod attachments;
mod bytes;
mod cases_figures;
mod cases_lives;
mod crash;
mod crash_gates;
mod crashed;
mod crashing;
mod disks;
mod durability;
mod ends;
mod epochs;
mod faults;
mod faulty;
mod foreign;
mod foreign_hostile;
mod hostile;
mod journal;
mod kill;
mod lease;
mod made;
mod mounts;
mod overview;
mod recorder;
mod recover;
mod recover_gates;
mod recover_killed;
mod retention;
mod sandbox;
mod sessions;
mod status;
mod strays;
mod support;
mod tidied;
mod verify;
