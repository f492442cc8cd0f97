//! How near a process is to the OOM killer, as 0 to 1000: its share of the memory it may have.
//!
//! Source: `fs/proc/base.c` and `mm/oom_kill.c`. `oom_badness` is memory in pages plus `oom_score_adj`
//! thousandths of all memory. Since Linux 5.9 `oom_score` shows `(1000 + badness · 1000 / pages) · 2 / 3`,
//! so a process that has nothing and wants nothing shows 666; before, it showed the thousandths
//! themselves. `oom_score_adj` is somebody's wish and no memory: it is taken off again, so an idle
//! process that is to be killed first is at 0 like any other.

/// How a kernel shows badness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Two thirds of a thousand is nothing: since Linux 5.9.
    Shifted,
    /// 0 is nothing.
    Plain,
}

/// Adjustment of a process that cannot be chosen (`OOM_SCORE_ADJ_MIN`).
const NEVER: i64 = -1000;

impl Scale {
    /// By what a small process shows for itself: the observer is one.
    #[must_use]
    pub fn of(score: i64, adj: i64) -> Self {
        let plain = (score - adj.max(0)).abs();
        let shifted = (score - (1000 + adj) * 2 / 3).abs();
        if plain < shifted {
            Self::Plain
        } else {
            Self::Shifted
        }
    }

    /// Thousandths of memory that a process with this `oom_score` and `oom_score_adj` has. Rounding in
    /// the kernel costs one at most.
    #[must_use]
    pub fn share(self, score: i64, adj: i64) -> i64 {
        // A score of 0 is as low as it gets, and says no more.
        if adj <= NEVER || score <= 0 {
            return 0;
        }
        let with_adj = match self {
            Self::Plain => score,
            // The smallest number of thousandths that shows as this score.
            Self::Shifted => score.saturating_mul(3).saturating_add(1).div_euclid(2) - 1000,
        };
        with_adj.saturating_sub(adj).clamp(0, 1000)
    }
}

/// Thousandths of a limit, of this much memory.
#[must_use]
pub fn share_of_limit(used_kb: u64, limit_kb: u64) -> i64 {
    let share = u128::from(used_kb) * 1000 / u128::from(limit_kb.max(1));
    i64::try_from(share).unwrap_or(1000).min(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel shows, by its own arithmetic.
    fn shown(share: i64, adj: i64) -> i64 {
        (1000 + share + adj) * 2 / 3
    }

    #[test]
    fn an_idle_process_is_at_0_whatever_its_adjustment() {
        for (score, adj) in [
            (666, 0),
            (800, 200),
            (1332, 1000),
            (334, -499),
            (0, -999),
            (0, -1000),
        ] {
            assert_eq!(Scale::Shifted.share(score, adj), 0, "{score} {adj}");
        }
        for (score, adj) in [(0, 0), (2, 0), (200, 200), (1000, 1000), (0, -500)] {
            assert!(Scale::Plain.share(score, adj) <= 2, "{score} {adj}");
        }
    }

    #[test]
    fn every_share_comes_back_but_for_the_kernels_rounding() {
        for adj in [-999, -500, 0, 1, 200, 1000] {
            for share in 0..=1000 {
                let back = Scale::Shifted.share(shown(share, adj), adj);
                assert!(
                    (share - 1..=share).contains(&back) || back == 0,
                    "{share} {adj} {back}"
                );
            }
        }
        assert_eq!(Scale::Shifted.share(shown(100, 0), 0), 100);
        assert_eq!(Scale::Shifted.share(shown(350, 0), 0), 350);
        assert_eq!(Scale::Shifted.share(shown(800, 0), 0), 800);
    }

    #[test]
    fn the_scale_shows_in_a_small_process() {
        assert_eq!(Scale::of(666, 0), Scale::Shifted);
        assert_eq!(Scale::of(668, 0), Scale::Shifted);
        assert_eq!(Scale::of(800, 200), Scale::Shifted);
        assert_eq!(Scale::of(1332, 1000), Scale::Shifted);
        assert_eq!(Scale::of(0, 0), Scale::Plain);
        assert_eq!(Scale::of(3, 0), Scale::Plain);
        assert_eq!(Scale::of(201, 200), Scale::Plain);
        assert_eq!(Scale::of(1000, 1000), Scale::Plain);
    }

    #[test]
    fn a_limit_counts_by_what_is_used_of_it() {
        assert_eq!(share_of_limit(80, 100), 800);
        assert_eq!(share_of_limit(79, 100), 790);
        assert_eq!(share_of_limit(200, 100), 1000);
        assert_eq!(share_of_limit(1, 0), 1000);
    }
}
