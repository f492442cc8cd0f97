//! Chance that can be had again: every run's choices come from the seed and the number of the run.

/// A sequence of numbers that look random (`SplitMix64`).
#[derive(Debug, Clone)]
pub struct Chance(u64);

/// The odd number next to 2⁶⁴ divided by the golden ratio: the step of the sequence.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Chance {
    /// The sequence of one run.
    #[must_use]
    pub fn of_run(seed: u64, run: u64) -> Self {
        let mut first = Self(seed);
        Self(first.next() ^ run.wrapping_mul(STEP))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 where nothing is below it.
    pub fn below(&mut self, end: u64) -> u64 {
        // The remainder's bias is 2⁻⁴⁴ for what is asked here.
        self.next().checked_rem(end).unwrap_or(0)
    }

    /// A number from `first` to `last`.
    pub fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last.saturating_sub(first) + 1)
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let at = self.below(from.len() as u64);
        from.get(usize::try_from(at).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_can_be_had_again_and_differs_from_the_next() {
        let draw = |seed, run| {
            let mut chance = Chance::of_run(seed, run);
            std::array::from_fn::<_, 8, _>(|_| chance.below(1000))
        };
        assert_eq!(draw(7, 3), draw(7, 3));
        assert_ne!(draw(7, 3), draw(7, 4));
        assert_ne!(draw(7, 3), draw(8, 3));
    }

    #[test]
    fn every_number_comes_up() {
        let mut chance = Chance::of_run(1, 1);
        let mut seen = [false; 10];
        for _ in 0..1000 {
            seen[usize::try_from(chance.between(2, 11)).unwrap() - 2] = true;
        }
        assert_eq!(seen, [true; 10]);
        assert_eq!(chance.below(0), 0);
    }
}
