//! How long ticks took: a histogram of constant size. Pure.
//!
//! Each power of two has eight buckets, so what is said of a bucket is at most an eighth too much, whether
//! ticks take microseconds or minutes.

use std::time::Duration;

use crate::session::journal::notes::TickTimes;

/// Buckets of a power of two, as a power of two.
const FINE_BITS: u32 = 3;
const FINE: usize = 1 << FINE_BITS;
/// Buckets for any number of microseconds.
const BUCKETS: usize = (64 - FINE_BITS as usize + 1) * FINE;

/// How long ticks took.
#[derive(Debug)]
pub(in crate::observe) struct Ticks {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
    missed: u64,
    max_us: u64,
}

impl Default for Ticks {
    fn default() -> Self {
        Self {
            buckets: Box::new([0; BUCKETS]),
            count: 0,
            missed: 0,
            max_us: 0,
        }
    }
}

impl Ticks {
    /// One that took so long, after `missed` that were left out.
    pub(in crate::observe) fn took(&mut self, length: Duration, missed: u64) {
        let us = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(us)] += 1;
        self.count += 1;
        self.missed = self.missed.saturating_add(missed);
        self.max_us = self.max_us.max(us);
    }

    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// How many were left out.
    pub(super) fn missed(&self) -> u64 {
        self.missed
    }

    /// How long they took; `None` when there was none.
    pub(super) fn times(&self) -> Option<TickTimes> {
        (self.count > 0).then(|| TickTimes {
            p50: self.at(50),
            p99: self.at(99),
            max: self.max_us,
        })
    }

    /// So many percent took no longer than this.
    fn at(&self, percent: u64) -> u64 {
        let wanted = (self.count.saturating_mul(percent)).div_ceil(100);
        let mut passed = 0;
        let found = self.buckets.iter().position(|count| {
            passed += count;
            passed >= wanted
        });
        found.map_or(self.max_us, |at| last_of(at).min(self.max_us))
    }
}

fn bucket(us: u64) -> usize {
    let bits = u64::BITS - us.leading_zeros();
    let shift = bits.saturating_sub(FINE_BITS + 1);
    let fine = usize::try_from(us >> shift).unwrap_or(0);
    shift as usize * FINE + fine
}

/// The highest number of microseconds in a bucket.
fn last_of(bucket: usize) -> u64 {
    if bucket < 2 * FINE {
        return bucket as u64;
    }
    let shift = bucket / FINE - 1;
    let first = ((bucket % FINE + FINE) as u64) << shift;
    first + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_in_the_bucket_that_ends_at_most_an_eighth_above_it() {
        let mut all: Vec<u64> = (0..10_000).collect();
        all.extend((0..64).flat_map(|bit| [1_u64 << bit, (1_u64 << bit).wrapping_sub(1)]));
        all.push(u64::MAX);
        for us in all {
            let last = last_of(bucket(us));
            assert!(last >= us && last - us <= us / 8, "{us}: {last}");
            assert!(bucket(us) < BUCKETS);
        }
    }

    #[test]
    fn the_middle_and_the_slowest_are_told_apart() {
        let mut ticks = Ticks::default();
        assert_eq!(ticks.times(), None);
        for _ in 0..98 {
            ticks.took(Duration::from_micros(800), 0);
        }
        ticks.took(Duration::from_millis(50), 3);
        ticks.took(Duration::from_secs(2), 400);
        let times = ticks.times().unwrap();
        assert!((800..=900).contains(&times.p50), "{times:?}");
        assert!((50_000..=56_250).contains(&times.p99), "{times:?}");
        assert_eq!(
            (times.max, ticks.count(), ticks.missed()),
            (2_000_000, 100, 403)
        );
    }
}
