//! Times for people that never stand still and never go back.
//!
//! The wall clock can be set while a session runs. Rows are told apart and ordered by their
//! `captured_at`, so a step back, or two rows in one microsecond, become one microsecond forward. Pure.

use jiff::{Timestamp, fmt::temporal::DateTimePrinter};

/// µs since the epoch, UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallUs(pub i64);

impl WallUs {
    /// RFC 3339 in UTC, always with six decimals. Times no year of four digits can hold are shown as
    /// the nearest that one can.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(6));
        let bound = if self.0 < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        };
        let time = Timestamp::from_microsecond(self.0).unwrap_or(bound);
        PRINTER.timestamp_to_string(&time)
    }
}

/// Hands out strictly increasing times.
#[derive(Debug, Clone, Copy, Default)]
pub struct WallClock {
    last: Option<WallUs>,
}

impl WallClock {
    /// The time to write for an instant the clock called `now`.
    pub fn stamp(&mut self, now: WallUs) -> WallUs {
        let next = match self.last {
            Some(last) if now <= last => WallUs(last.0.saturating_add(1)),
            _ => now,
        };
        self.last = Some(next);
        next
    }

    /// Makes every later stamp come after `last`.
    pub fn continue_after(&mut self, last: WallUs) {
        self.last = self.last.max(Some(last));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_step_back_becomes_one_microsecond_forward() {
        let mut clock = WallClock::default();
        let stamps = [10, 10, 5, 11, 13, 20].map(|us| clock.stamp(WallUs(us)).0);
        assert_eq!(stamps, [10, 11, 12, 13, 14, 20]);
    }

    #[test]
    fn a_session_goes_on_after_its_last_row() {
        let mut clock = WallClock::default();
        clock.continue_after(WallUs(100));
        clock.continue_after(WallUs(50));
        assert_eq!(clock.stamp(WallUs(70)), WallUs(101));
    }

    #[test]
    fn six_decimals_also_when_they_are_zero() {
        assert_eq!(WallUs(0).to_rfc3339(), "1970-01-01T00:00:00.000000Z");
        assert_eq!(
            WallUs(1_795_238_263_000_070).to_rfc3339(),
            "2026-11-21T05:17:43.000070Z"
        );
        assert!(WallUs(i64::MAX).to_rfc3339().starts_with("9999-"));
    }

    proptest! {
        #[test]
        fn stamps_strictly_increase_and_text_sorts_like_time(
            times in proptest::collection::vec(0_i64..4_000_000_000_000_000, 1..40)
        ) {
            let mut clock = WallClock::default();
            let stamps: Vec<_> = times.into_iter().map(|us| clock.stamp(WallUs(us))).collect();
            prop_assert!(stamps.windows(2).all(|two| two[0] < two[1]));
            prop_assert!(stamps.windows(2).all(|two| two[0].to_rfc3339() < two[1].to_rfc3339()));
        }
    }
}
