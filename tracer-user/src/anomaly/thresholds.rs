//! The one table of numbers by which anomalies open, and what a user may set of them.

use std::collections::BTreeMap;

use thiserror::Error;

/// A number that decides when an anomaly opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// `oom_spike_delta`
    OomSpikeDelta,
    /// `oom_critical_score`
    OomCriticalScore,
    /// `zombie_grace_ms`
    ZombieGraceMs,
    /// `zombie_persistent_rows`
    ZombiePersistentRows,
    /// `d_state_rows`
    DStateRows,
    /// `high_cpu_percent`
    HighCpuPercent,
    /// `high_cpu_rows`
    HighCpuRows,
    /// `fd_high_ratio`
    FdHighRatio,
    /// `rss_growth_factor`
    RssGrowthFactor,
    /// `rss_growth_rows`
    RssGrowthRows,
    /// `rss_growth_min_kb`
    RssGrowthMinKb,
    /// `rss_settle_ms`
    RssSettleMs,
    /// `fork_storm_forks`
    ForkStormForks,
    /// `fork_storm_window_ms`
    ForkStormWindowMs,
    /// `zombie_pileup_count`
    ZombiePileupCount,
    /// `orphan_left_s`
    OrphanLeftS,
    /// `pty_holder_count`
    PtyHolderCount,
    /// `retry_loop_failures`
    RetryLoopFailures,
    /// `retry_loop_window_s`
    RetryLoopWindowS,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Threshold {
    /// Which.
    pub key: Key,
    /// What it is called.
    pub name: &'static str,
    /// What it is unless told otherwise.
    pub default: f64,
    /// Its unit.
    pub unit: &'static str,
    /// Smallest value that makes sense.
    pub min: f64,
    /// Largest one.
    pub max: f64,
    /// It counts something: no fractions.
    pub whole: bool,
    /// What it decides.
    pub meaning: &'static str,
}

const fn count(
    key: Key,
    name: &'static str,
    default: f64,
    unit: &'static str,
    range: (f64, f64),
    meaning: &'static str,
) -> Threshold {
    let (min, max) = range;
    Threshold {
        key,
        name,
        default,
        unit,
        min,
        max,
        whole: true,
        meaning,
    }
}

const fn measure(
    key: Key,
    name: &'static str,
    default: f64,
    unit: &'static str,
    range: (f64, f64),
    meaning: &'static str,
) -> Threshold {
    let whole = false;
    Threshold {
        whole,
        ..count(key, name, default, unit, range, meaning)
    }
}

/// Rows of the table.
const LEN: usize = 19;

/// The table, in the order of [`Key`].
#[rustfmt::skip] // one threshold a line reads as a table
pub static TABLE: [Threshold; LEN] = [
    count(Key::OomSpikeDelta, "oom_spike_delta", 200.0, "points of 1000", (1.0, 1000.0), "oom_spike: the score rises by more than this between two rows"),
    count(Key::OomCriticalScore, "oom_critical_score", 800.0, "points of 1000", (1.0, 1000.0), "oom_critical: the score is at least this"),
    count(Key::ZombieGraceMs, "zombie_grace_ms", 100.0, "ms", (0.0, 3_600_000.0), "zombie kinds: how long a parent may take to reap a child before it counts"),
    count(Key::ZombiePersistentRows, "zombie_persistent_rows", 3.0, "rows", (1.0, 1_000_000.0), "zombie_persistent: rows in a row as a zombie"),
    count(Key::DStateRows, "d_state_rows", 2.0, "rows", (1.0, 1_000_000.0), "d_state_sustained: rows in a row with a thread in disk sleep"),
    measure(Key::HighCpuPercent, "high_cpu_percent", 90.0, "% of one CPU", (0.1, 1_000_000.0), "high_cpu_sustained: at least this much CPU"),
    count(Key::HighCpuRows, "high_cpu_rows", 2.0, "rows", (1.0, 1_000_000.0), "high_cpu_sustained: in so many rows in a row"),
    measure(Key::FdHighRatio, "fd_high_ratio", 0.80, "of the soft limit", (0.01, 1.0), "fd_high: more descriptors than this share of the limit"),
    measure(Key::RssGrowthFactor, "rss_growth_factor", 2.0, "times", (1.0, 1_000_000.0), "rss_growth: more than this many times the first settled resident set"),
    count(Key::RssGrowthRows, "rss_growth_rows", 5.0, "rows", (2.0, 1_000_000.0), "rss_growth: rows it takes to judge, the settled one included"),
    count(Key::RssGrowthMinKb, "rss_growth_min_kb", 0.0, "KiB", (0.0, 1e12), "rss_growth: growth of less than this is no news"),
    count(Key::RssSettleMs, "rss_settle_ms", 1000.0, "ms", (0.0, 86_400_000.0), "rss_growth: a resident set is settled so long after the process began or executed a program"),
    count(Key::ForkStormForks, "fork_storm_forks", 3000.0, "forks", (2.0, 100_000.0), "fork_storm: so many processes are made within the window"),
    count(Key::ForkStormWindowMs, "fork_storm_window_ms", 1000.0, "ms", (10.0, 3_600_000.0), "fork_storm: the window"),
    count(Key::ZombiePileupCount, "zombie_pileup_count", 10.0, "processes", (1.0, 1_000_000.0), "zombie_pileup: at least so many zombies at one time"),
    measure(Key::OrphanLeftS, "orphan_left_s", 60.0, "s", (0.0, 31_536_000.0), "orphan_left: how long a process outlives its parent; at the end of the command, any time counts"),
    count(Key::PtyHolderCount, "pty_holder_count", 1.0, "processes", (1.0, 1_000_000.0), "pty_holder: so many hold the terminal of a command that has ended"),
    count(Key::RetryLoopFailures, "retry_loop_failures", 10.0, "failures", (2.0, 1_000_000.0), "retry_loop: one command fails so often without a success in between"),
    measure(Key::RetryLoopWindowS, "retry_loop_window_s", 60.0, "s", (0.001, 31_536_000.0), "retry_loop: longest time between two of these failures"),
];

/// Why a threshold cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ThresholdError {
    /// Not `KEY=VALUE`.
    #[error("give it as KEY=VALUE, such as high_cpu_percent=95")]
    Form,
    /// No such key.
    #[error("there is no threshold {key:?}; there are {}", names())]
    Unknown {
        /// The key that was given.
        key: String,
    },
    /// Not a number it can be.
    #[error("{name} is {} from {min} to {max} ({unit}), and not {value:?}", if *whole { "a whole number" } else { "a number" })]
    Value {
        /// The key.
        name: &'static str,
        /// What was given.
        value: String,
        /// Smallest.
        min: String,
        /// Largest.
        max: String,
        /// Its unit.
        unit: &'static str,
        /// No fractions.
        whole: bool,
    },
}

fn names() -> String {
    let names: Vec<_> = TABLE.iter().map(|row| row.name).collect();
    names.join(", ")
}

/// Reads `KEY=VALUE`.
///
/// # Errors
/// [`ThresholdError`] names the keys there are, or the range of this one.
pub fn parse(text: &str) -> Result<(&'static str, f64), ThresholdError> {
    let (key, value) = text.split_once('=').ok_or(ThresholdError::Form)?;
    let row = find(key).ok_or_else(|| ThresholdError::Unknown {
        key: key.to_owned(),
    })?;
    let number = value
        .parse::<f64>()
        .ok()
        .filter(|&number| row.takes(number));
    let number = number.ok_or_else(|| ThresholdError::Value {
        name: row.name,
        value: value.to_owned(),
        min: row.min.to_string(),
        max: row.max.to_string(),
        unit: row.unit,
        whole: row.whole,
    })?;
    Ok((row.name, number))
}

fn find(name: &str) -> Option<&'static Threshold> {
    TABLE.iter().find(|row| row.name == name)
}

impl Threshold {
    /// Whether this is a value it can have. Not a number is out of every range.
    fn takes(&self, value: f64) -> bool {
        (self.min..=self.max).contains(&value) && (!self.whole || value.fract() == 0.0)
    }
}

/// The numbers of one session.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds([f64; LEN]);

impl Default for Thresholds {
    fn default() -> Self {
        Self(TABLE.map(|row| row.default))
    }
}

impl Thresholds {
    /// The defaults, but for these. What is no key, or out of range, is left as it was: such numbers
    /// come from a journal, and were checked before they got there.
    #[must_use]
    pub fn with<'a>(changed: impl IntoIterator<Item = (&'a str, f64)>) -> Self {
        let mut all = Self::default();
        for (name, value) in changed {
            if let Some(row) = find(name).filter(|row| row.takes(value)) {
                all.0[row.key as usize] = value;
            }
        }
        all
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, key: Key) -> f64 {
        self.0[key as usize]
    }

    /// One that counts something.
    #[must_use]
    pub fn whole(&self, key: Key) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the table's ranges are within a u64, and not negative"
        )]
        let whole = self.get(key) as u64;
        whole
    }

    /// One that is a length of time, in ns.
    pub(super) fn ns(&self, key: Key) -> u64 {
        let unit = match TABLE[key as usize].unit {
            "ms" => 1e6,
            _ => 1e9,
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a year in ns fits"
        )]
        let ns = (self.get(key) * unit) as u64;
        ns
    }

    /// Those that are not the defaults.
    #[must_use]
    pub fn changed(&self) -> BTreeMap<&'static str, f64> {
        TABLE
            .iter()
            .zip(self.0)
            .filter(|(row, value)| row.default.total_cmp(value).is_ne())
            .map(|(row, value)| (row.name, value))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_its_keys_and_its_defaults_are_in_range() {
        for (at, row) in TABLE.iter().enumerate() {
            assert_eq!(row.key as usize, at, "{}", row.name);
            assert!(row.takes(row.default), "{}", row.name);
            assert_eq!(
                TABLE.iter().filter(|other| other.name == row.name).count(),
                1
            );
        }
    }

    #[test]
    fn a_value_is_taken_only_within_its_range() {
        assert_eq!(
            parse("high_cpu_percent=95.5"),
            Ok(("high_cpu_percent", 95.5))
        );
        assert_eq!(parse("high_cpu_rows=1"), Ok(("high_cpu_rows", 1.0)));
        for wrong in [
            "high_cpu_rows=1.5",
            "high_cpu_rows=0",
            "high_cpu_rows=-1",
            "high_cpu_rows=",
            "high_cpu_rows=ten",
            "fd_high_ratio=1.01",
            "fd_high_ratio=NaN",
            "fd_high_ratio=inf",
        ] {
            let error = parse(wrong).unwrap_err().to_string();
            assert!(
                error.contains(" from ") && error.contains(" to "),
                "{error}"
            );
        }
        assert_eq!(parse("high_cpu"), Err(ThresholdError::Form));
    }

    #[test]
    fn an_unknown_key_is_told_with_those_there_are() {
        let error = parse("cpu=3").unwrap_err().to_string();
        for row in TABLE {
            assert!(error.contains(row.name), "{error}");
        }
    }

    #[test]
    fn what_was_changed_is_what_makes_the_same_again() {
        let set = Thresholds::with([("high_cpu_percent", 50.0), ("nonsense", 1.0)]);
        assert_eq!(set.changed().len(), 1);
        assert_eq!(Thresholds::with(set.changed()), set);
        assert_eq!(set.ns(Key::ZombieGraceMs), 100_000_000);
        assert_eq!(set.ns(Key::OrphanLeftS), 60_000_000_000);
    }
}
