//! `/proc/<pid>/timens_offsets`: how far a time namespace shifts the clock that start times are on.
//!
//! Sources: `time_namespaces(7)`; fs/proc/array.c `do_task_stat`, which shows start times shifted by
//! the namespace of whoever *reads* the file, so one correction serves all processes. Pure.

use super::scan;
use crate::units::Ticks;

/// What this observer's time namespace adds to `CLOCK_BOOTTIME`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BootOffset {
    /// In ns; the clock shows the host's time plus this.
    pub ns: i64,
}

impl BootOffset {
    /// Parses `timens_offsets`; `None` when there is no boottime line, or its value is out of range.
    #[must_use]
    pub fn parse(file: &[u8]) -> Option<Self> {
        file.split(|&byte| byte == b'\n').find_map(|line| {
            let mut words = scan::words(line);
            if words.next()? != b"boottime" {
                return None;
            }
            let seconds = scan::parse_i64(words.next()?)?;
            let ns = scan::parse_i64(words.next()?)?;
            Some(Self {
                ns: seconds.checked_mul(1_000_000_000)?.checked_add(ns)?,
            })
        })
    }

    /// In whole ticks; `None` when it is no whole number of them, and a shown start time could then
    /// stand for either of two.
    #[must_use]
    pub fn ticks(self, clk_tck: u64) -> Option<i64> {
        let tick_ns = i64::try_from(1_000_000_000_u64.checked_div(clk_tck)?).ok()?;
        (self.ns.checked_rem(tick_ns)? == 0).then(|| self.ns / tick_ns)
    }
}

/// The start time on the host's clock, of one shown with `offset_ticks` added.
///
/// `None` when the process started before the namespace's clock says that time began: the kernel
/// then wraps the ns, and what it shows stands for two ticks.
#[must_use]
pub fn unshift(shown: Ticks, offset_ticks: i64, clk_tck: u64) -> Option<Ticks> {
    if offset_ticks == 0 {
        return Some(shown);
    }
    let wrapped_from = (u64::MAX / 2) / 1_000_000_000_u64.checked_div(clk_tck)?.max(1);
    if shown.0 >= wrapped_from {
        return None;
    }
    shown
        .0
        .checked_add_signed(offset_ticks.checked_neg()?)
        .map(Ticks)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_boottime_line_counts() {
        let file = b"monotonic          -5         0\nboottime       -1000 500000000\n";
        assert_eq!(BootOffset::parse(file).unwrap().ns, -999_500_000_000);
        assert_eq!(BootOffset::parse(b"monotonic 1 0\n"), None);
        assert_eq!(BootOffset::parse(b"boottime 9223372036854775807 0\n"), None);
    }

    #[test]
    fn an_offset_between_two_ticks_is_refused() {
        assert_eq!(BootOffset { ns: -20_000_000 }.ticks(100), Some(-2));
        assert_eq!(BootOffset { ns: 5_000_000 }.ticks(100), None);
        assert_eq!(BootOffset { ns: 0 }.ticks(0), None);
    }

    #[test]
    fn start_times_are_put_back_on_the_hosts_clock() {
        assert_eq!(unshift(Ticks(100_009), 100_000, 100), Some(Ticks(9)));
        assert_eq!(unshift(Ticks(5), -3, 100), Some(Ticks(8)));
        assert_eq!(unshift(Ticks(5), 6, 100), None);
        // Started 1 s before the namespace's zero: (2^64 - 10^9) ns.
        assert_eq!(
            unshift(Ticks((u64::MAX - 1_000_000_000) / 10_000_000), -200, 100),
            None
        );
    }

    proptest! {
        #[test]
        fn no_input_makes_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
            ns: i64, clk_tck: u64, shown: u64, offset: i64,
        ) {
            let _ = BootOffset::parse(&bytes);
            let _ = BootOffset { ns }.ticks(clk_tck);
            let _ = unshift(Ticks(shown), offset, clk_tck);
        }
    }
}
