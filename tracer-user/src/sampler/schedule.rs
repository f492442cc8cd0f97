//! When the next tick is due, and how many were left out.
//!
//! Ticks stand on a grid from the first one, so a late tick does not move the later ones; a tick that
//! would have to begin before the one in front of it ended is left out and counted. Pure.

use std::time::Duration;

/// The grid of ticks.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    interval_ns: u64,
    next_ns: Option<u64>,
}

impl Schedule {
    /// A tick every `interval`, the first one at once.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self {
            interval_ns: u64::try_from(interval.as_nanos())
                .unwrap_or(u64::MAX)
                .max(1),
            next_ns: None,
        }
    }

    /// How long to wait from `mono_ns` (`CLOCK_MONOTONIC`) to the next tick.
    #[must_use]
    pub fn wait(&self, mono_ns: u64) -> Duration {
        Duration::from_nanos(self.next_ns.map_or(0, |next| next.saturating_sub(mono_ns)))
    }

    /// Begins a tick at `mono_ns` and says how many before it were left out since the last one.
    pub fn begin(&mut self, mono_ns: u64) -> u64 {
        let due = self.next_ns.unwrap_or(mono_ns);
        let missed = mono_ns.saturating_sub(due) / self.interval_ns;
        let steps = missed.saturating_add(1);
        self.next_ns = Some(due.saturating_add(self.interval_ns.saturating_mul(steps)));
        missed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn late_ticks_keep_the_grid_and_missed_ones_are_counted() {
        let mut schedule = Schedule::new(Duration::from_nanos(100));
        assert_eq!(schedule.wait(1000), Duration::ZERO);
        assert_eq!(schedule.begin(1000), 0);
        assert_eq!(schedule.wait(1010), Duration::from_nanos(90));
        assert_eq!(schedule.begin(1130), 0);
        assert_eq!(schedule.wait(1130), Duration::from_nanos(70));
        assert_eq!(schedule.begin(1550), 3);
        assert_eq!(schedule.wait(1550), Duration::from_nanos(50));
    }

    proptest! {
        #[test]
        fn every_place_of_the_grid_is_a_tick_or_counted(
            lates in proptest::collection::vec(0_u64..1000, 1..40)
        ) {
            let mut schedule = Schedule::new(Duration::from_nanos(100));
            let (mut now, mut places) = (0_u64, 0);
            for late in lates {
                now += u64::try_from(schedule.wait(now).as_nanos()).unwrap() + late;
                if places == 0 {
                    now = 0;
                }
                places += 1 + schedule.begin(now);
                prop_assert_eq!(places, now / 100 + 1);
            }
        }
    }
}
