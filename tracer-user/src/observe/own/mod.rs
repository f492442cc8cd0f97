//! Who observes, by which clocks, and at what cost.

pub(super) mod expense;
pub(super) mod ticks;

use jiff::Timestamp;

use crate::{
    procfs::ProcRoot,
    session::{
        derive::RULES,
        journal::info::{ClockPair, ObserverInfo},
    },
    units::Tgid,
};

/// This process. Its pid namespace is also known where there is no kernel side to tell it: without it
/// nobody could say later whether a pid of the record is still the same process.
pub(super) fn identity(proc: &ProcRoot) -> ObserverInfo {
    let pid = std::process::id();
    let own = proc.process(Tgid(pid)).ok();
    let start = own.as_ref().and_then(|own| own.identity().ok());
    ObserverInfo {
        pid,
        starttime_ticks: start.map(|identity| identity.start),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid_ns: own.and_then(|own| own.pid_ns().ok()),
        rules: RULES,
    }
}

/// Both clocks now.
pub(super) fn clock_pair(proc: &ProcRoot) -> ClockPair {
    let pair = proc.host().read_clock_pair();
    ClockPair {
        boot: pair.boot,
        wall: Timestamp::from_microsecond(pair.wall_us).unwrap_or(Timestamp::UNIX_EPOCH),
    }
}
