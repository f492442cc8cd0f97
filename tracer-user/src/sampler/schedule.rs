//! When the next tick is due, and how many were left out.
//!
//! Ticks stand on a grid from the first one, so a late tick does not move the later ones. Those whose time
//! is over are left out and counted, and so is one that would follow a late tick within half an interval:
//! however long the observer was held up, ticks never come in a bunch. Pure.

use std::time::Duration;

/// The grid of ticks.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    interval_ns: u64,
    next_ns: Option<u64>,
    /// Left out although their time is still to come.
    left_out: u64,
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
            left_out: 0,
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
        let after = |steps| due.saturating_add(self.interval_ns.saturating_mul(steps));
        let mut steps = missed.saturating_add(1);
        let missed = missed.saturating_add(std::mem::take(&mut self.left_out));
        if after(steps).saturating_sub(mono_ns) < self.interval_ns / 2 {
            self.left_out = 1;
            steps = steps.saturating_add(1);
        }
        self.next_ns = Some(after(steps));
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

    #[test]
    fn a_tick_that_would_follow_a_late_one_at_once_is_left_out() {
        let mut schedule = Schedule::new(Duration::from_nanos(100));
        assert_eq!(schedule.begin(0), 0);
        assert_eq!(schedule.begin(190), 0);
        assert_eq!(schedule.wait(190), Duration::from_nanos(110));
        assert_eq!(schedule.begin(300), 1);
    }

    #[test]
    fn hours_are_intervals_too() {
        let (hour, nearly) = (Duration::from_secs(3600), Duration::from_secs(3599));
        let mut schedule = Schedule::new(hour);
        let second = 1_000_000_000;
        assert_eq!(schedule.begin(7 * second), 0);
        assert_eq!(schedule.wait(8 * second), nearly);
        // Suspended for a day: CLOCK_MONOTONIC stands still meanwhile, so nothing is missed. Stopped for
        // a day: what was missed is counted, and the next is due on the grid.
        assert_eq!(schedule.begin((7 + 86_400) * second), 23);
        assert_eq!(schedule.wait((7 + 86_400) * second), hour);
        let mut longest = Schedule::new(Duration::MAX);
        assert_eq!((longest.begin(5), longest.begin(6)), (0, 0));
        assert!(longest.wait(6) > Duration::from_secs(1 << 33));
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

        #[test]
        fn no_two_ticks_are_less_than_half_an_interval_apart(
            lates in proptest::collection::vec(0_u64..1000, 1..40)
        ) {
            let mut schedule = Schedule::new(Duration::from_nanos(100));
            let (mut now, mut last) = (0_u64, None);
            for late in lates {
                now += u64::try_from(schedule.wait(now).as_nanos()).unwrap();
                prop_assert!(last.is_none_or(|last| now - last >= 50));
                now += late;
                schedule.begin(now);
                last = Some(now);
            }
        }
    }
}
