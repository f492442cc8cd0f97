//! Medians, ranges and percentiles. Pure.

/// Figures of one kind, in any order.
#[derive(Debug, Default, Clone)]
pub(super) struct Figures(Vec<f64>);

impl Figures {
    /// Adds one.
    pub(super) fn push(&mut self, figure: f64) {
        self.0.push(figure);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The figure that a share `p` (0 to 1) of all does not exceed, by nearest rank: always one that
    /// was measured. `None` without figures.
    pub(super) fn percentile(&self, p: f64) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank among some hundred figures"
        )]
        let rank = (p * sorted.len() as f64).ceil().max(1.0) as usize;
        sorted.get(rank - 1).copied()
    }

    /// The middle one; the mean of the middle two when their number is even.
    pub(super) fn median(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let upper = sorted.get(middle).copied()?;
        if sorted.len() % 2 == 1 {
            return Some(upper);
        }
        sorted
            .get(middle - 1)
            .map(|lower| f64::midpoint(*lower, upper))
    }

    /// Smallest and largest.
    pub(super) fn range(&self) -> Option<(f64, f64)> {
        let least = self.0.iter().copied().reduce(f64::min)?;
        let most = self.0.iter().copied().reduce(f64::max)?;
        Some((least, most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(of: &[f64]) -> Figures {
        Figures(of.to_vec())
    }

    #[test]
    fn the_median_is_the_middle_in_any_order() {
        assert_eq!(figures(&[9.0, 1.0, 5.0]).median(), Some(5.0));
        assert_eq!(figures(&[4.0, 1.0, 2.0, 9.0]).median(), Some(3.0));
        assert_eq!(figures(&[]).median(), None);
    }

    #[test]
    fn a_percentile_is_a_figure_that_was_measured() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(figures(&hundred).percentile(0.99), Some(99.0));
        assert_eq!(figures(&hundred).percentile(0.5), Some(50.0));
        assert_eq!(figures(&[7.0]).percentile(0.99), Some(7.0));
        assert_eq!(figures(&[]).percentile(0.99), None);
    }

    #[test]
    fn the_range_holds_every_figure() {
        assert_eq!(figures(&[2.0, 0.5, 1.0]).range(), Some((0.5, 2.0)));
    }
}
