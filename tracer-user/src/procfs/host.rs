//! What is true of the whole host while it is up, and the clocks it is told by.
//!
//! Sources: `proc_sys_kernel(5)` (boot id), `sysconf(3)` (ticks, pages), `uname(2)`, `clock_gettime(2)`.

use rustix::time::{ClockId, clock_gettime};

use super::timens::BootOffset;
use crate::units::BootNs;

/// Facts that do not change while the observer runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// Names this boot: a UUID, trimmed.
    pub boot_id: String,
    /// `uname -n`, invalid UTF-8 replaced.
    pub hostname: String,
    /// Clock ticks a second, `USER_HZ`.
    pub clk_tck: u64,
    /// Bytes a page.
    pub page_size: u64,
    /// What this observer's time namespace adds to the boot clock.
    pub boot_offset: BootOffset,
}

/// One instant on both clocks, so that boot times can be shown to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockPair {
    /// µs since the epoch, `CLOCK_REALTIME`.
    pub wall_us: i64,
    /// The same instant on the host's boot clock.
    pub boot: BootNs,
    /// The two were read within so many ns of each other.
    pub uncertainty_ns: u64,
}

impl HostFacts {
    /// Both clocks at one instant; of three tries, the one that took least time.
    #[must_use]
    pub fn read_clock_pair(&self) -> ClockPair {
        let mut best = self.try_clock_pair();
        for _ in 0..2 {
            let next = self.try_clock_pair();
            if next.uncertainty_ns < best.uncertainty_ns {
                best = next;
            }
        }
        best
    }

    fn try_clock_pair(&self) -> ClockPair {
        let before = read_boot(self.boot_offset);
        let wall_us = read_wall_us();
        let uncertainty_ns = read_boot(self.boot_offset).since(before);
        ClockPair {
            wall_us,
            boot: BootNs(before.0.saturating_add(uncertainty_ns / 2)),
            uncertainty_ns,
        }
    }
}

/// The host's boot clock now, put right for the observer's time namespace.
#[must_use]
pub fn read_boot(offset: BootOffset) -> BootNs {
    let shown = nanoseconds(ClockId::Boottime) - i128::from(offset.ns);
    BootNs(u64::try_from(shown).unwrap_or(0))
}

/// The wall clock now, µs since the epoch. It can be set, back as well.
#[must_use]
pub fn read_wall_us() -> i64 {
    i64::try_from(nanoseconds(ClockId::Realtime).div_euclid(1000)).unwrap_or(i64::MAX)
}

/// `CLOCK_MONOTONIC` now, ns: for lengths of time that should not count suspend.
#[must_use]
pub fn read_mono_ns() -> u64 {
    u64::try_from(nanoseconds(ClockId::Monotonic)).unwrap_or(0)
}

/// Most processes and threads that there can be at once (`pid_max` of `proc_sys_kernel(5)`): from Linux 6.14 on in
/// this pid namespace, and until somebody raises it. No limit when it cannot be read.
#[must_use]
pub fn read_pid_max() -> u32 {
    let text = std::fs::read_to_string("/proc/sys/kernel/pid_max").unwrap_or_default();
    text.trim().parse().unwrap_or(u32::MAX)
}

fn nanoseconds(clock: ClockId) -> i128 {
    let time = clock_gettime(clock);
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}
