//! Time as the sampler takes it: three clocks at one instant.

use super::wall::WallUs;
use crate::{
    procfs::{
        host::{self, HostFacts},
        timens::BootOffset,
    },
    units::BootNs,
};

/// One instant on three clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TickTime {
    /// The host's boot clock.
    pub boot: BootNs,
    /// `CLOCK_MONOTONIC`: what rates are divided by, because a suspended machine uses no CPU.
    pub mono_ns: u64,
    /// The wall clock, as it is; it may have been set back.
    pub wall: WallUs,
}

impl TickTime {
    /// The same clocks so many ns later.
    #[must_use]
    pub fn later(self, ns: u64) -> Self {
        let us = i64::try_from(ns / 1000).unwrap_or(i64::MAX);
        Self {
            boot: BootNs(self.boot.0.saturating_add(ns)),
            mono_ns: self.mono_ns.saturating_add(ns),
            wall: WallUs(self.wall.0.saturating_add(us)),
        }
    }
}

/// Says what time it is.
pub trait Clock {
    /// Now.
    fn now(&mut self) -> TickTime;
}

/// A clock that stands still.
impl Clock for TickTime {
    fn now(&mut self) -> TickTime {
        *self
    }
}

impl<C: Clock> Clock for &mut C {
    fn now(&mut self) -> TickTime {
        (**self).now()
    }
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    boot_offset: BootOffset,
}

impl SystemClock {
    /// The clocks of this host, put right for the observer's time namespace.
    #[must_use]
    pub fn new(host: &HostFacts) -> Self {
        Self {
            boot_offset: host.boot_offset,
        }
    }
}

impl Clock for SystemClock {
    fn now(&mut self) -> TickTime {
        TickTime {
            boot: host::read_boot(self.boot_offset),
            mono_ns: host::read_mono_ns(),
            wall: WallUs(host::read_wall_us()),
        }
    }
}
