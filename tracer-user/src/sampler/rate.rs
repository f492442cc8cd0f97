//! CPU use between two rows of one process.
//!
//! `/proc/<pid>/stat` counts CPU time in ticks of mostly 10 ms, and the scheduler itself adds up what a
//! thread uses only at its own ticks, so a percentage over a few ms would be
//! noise of hundreds of percent: the row at a workload's exit may come right after a regular one. A
//! percentage is therefore never taken over less than [`MIN_TICKS`]; the row before the last is the
//! base then. Pure.

/// The least base of a percentage, in ticks: keeps the error of one tick below ten percent of one CPU.
pub const MIN_TICKS: u64 = 10;

/// A reading of the CPU clock of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    mono_ns: u64,
    cpu_ns: u64,
}

/// Turns CPU times into percentages of one CPU.
#[derive(Debug, Clone, Copy, Default)]
pub struct CpuRate {
    last: Option<Reading>,
    before: Option<Reading>,
}

impl CpuRate {
    /// Whether no row has been taken yet: the first has no percentage.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.last.is_none()
    }

    /// The percentage since the row before, one decimal; more than 100 when several threads ran.
    /// `None` on the first row, and until the first base is long enough.
    pub fn sample(&mut self, mono_ns: u64, cpu_ns: u64, clk_tck: u64) -> Option<f64> {
        let now = Reading { mono_ns, cpu_ns };
        let least_ns = (MIN_TICKS * 1_000_000_000)
            .checked_div(clk_tck)
            .unwrap_or(u64::MAX);
        let long_enough = |base: &Reading| {
            mono_ns
                .checked_sub(base.mono_ns)
                .is_some_and(|passed| passed > 0 && passed >= least_ns)
        };
        let Some(last) = self.last else {
            self.last = Some(now);
            return None;
        };
        let base = if long_enough(&last) {
            self.before = self.last.replace(now);
            Some(last)
        } else {
            self.before.filter(long_enough)
        };
        base.map(|base| percent(base, now))
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "ns of one interval are far below 2^53"
)]
fn percent(base: Reading, now: Reading) -> f64 {
    // A counter that went back (a kernel that corrects utime against stime) is no negative use.
    let used = now.cpu_ns.saturating_sub(base.cpu_ns) as f64;
    let passed = (now.mono_ns - base.mono_ns) as f64;
    one_decimal(used / passed * 100.0)
}

/// Rounds to one decimal.
#[must_use]
pub fn one_decimal(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn run(rows: &[(u64, u64)]) -> Vec<Option<f64>> {
        let mut rate = CpuRate::default();
        rows.iter()
            .map(|&(mono_ns, ticks)| rate.sample(mono_ns, ticks * 10_000_000, 100))
            .collect()
    }

    #[test]
    fn the_first_row_has_none_and_the_next_ones_are_since_the_row_before() {
        assert_eq!(
            run(&[
                (5 * SECOND, 7),
                (10 * SECOND, 132),
                (15 * SECOND, 132),
                (18 * SECOND, 1132)
            ]),
            [None, Some(25.0), Some(0.0), Some(333.3)]
        );
    }

    #[test]
    fn a_row_right_after_another_is_measured_from_the_one_before() {
        // 1 tick in 5 ms would read as 200 %; over the 5.005 s it is 100.1 %.
        let rows = run(&[
            (0, 0),
            (5 * SECOND, 500),
            (5 * SECOND + 5_000_000, 501),
            (10 * SECOND, 1000),
        ]);
        assert_eq!(rows, [None, Some(100.0), Some(100.1), Some(100.0)]);
    }

    #[test]
    fn no_base_is_long_enough_yet() {
        assert_eq!(run(&[(0, 0), (1_000_000, 1)]), [None, None]);
        assert_eq!(run(&[(5, 0), (5, 1), (4, 1)]), [None, None, None]);
    }

    #[test]
    fn no_time_passed_is_no_base_however_fast_the_ticks() {
        let mut rate = CpuRate::default();
        assert_eq!(rate.sample(5, 0, u64::MAX), None);
        assert_eq!(rate.sample(5, 1, u64::MAX), None);
        assert_eq!(rate.sample(4, 1, u64::MAX), None);
    }

    #[test]
    fn a_counter_that_went_back_is_no_use() {
        assert_eq!(run(&[(0, 9), (SECOND, 8)]), [None, Some(0.0)]);
    }

    proptest! {
        #[test]
        fn a_single_busy_thread_never_reads_above_its_error(
            steps in proptest::collection::vec(1_u64..300, 2..40)
        ) {
            let mut rate = CpuRate::default();
            let mut now_ms = 0;
            for step in steps {
                now_ms += step;
                if let Some(value) = rate.sample(now_ms * 1_000_000, now_ms / 10 * 10_000_000, 100) {
                    prop_assert!((90.0..=110.0).contains(&value), "{} % at {} ms", value, now_ms);
                }
            }
        }

        #[test]
        fn no_numbers_make_it_panic(rows in proptest::collection::vec(any::<(u64, u64, u64)>(), 0..9)) {
            let mut rate = CpuRate::default();
            for (mono_ns, cpu_ns, clk_tck) in rows {
                let _ = rate.sample(mono_ns, cpu_ns, clk_tck);
            }
        }
    }
}
