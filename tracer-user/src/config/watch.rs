//! What `tracer watch` looks for, and what of it the environment says.
//!
//! A value in the environment that makes no sense is left out and named: a watcher that does not start
//! because of it would see nothing at all.

use std::{path::PathBuf, time::Duration};

/// Settings of the watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchSettings {
    /// Whether to watch at all.
    pub enabled: bool,
    /// A candidate is told of when it is older.
    pub older_than: Duration,
    /// Command lines that make a candidate, as regular expressions.
    pub patterns: Vec<String>,
    /// From one news of a process to the next.
    pub cooldown: Duration,
    /// From one look to the next.
    pub interval: Duration,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            older_than: Duration::from_secs(3600),
            patterns: vec!["pytest".to_owned()],
            cooldown: Duration::from_secs(1800),
            interval: Duration::from_secs(60),
        }
    }
}

/// `tracer watch`.
#[derive(Debug, Clone)]
pub struct WatchConfig {
    /// What to look for.
    pub settings: WatchSettings,
    /// Whose sessions, and where what was told is kept.
    pub state_dir: Option<PathBuf>,
    /// Where killed tracers may have left something in the kernel.
    pub bpffs: Option<PathBuf>,
    /// Look once and end.
    pub once: bool,
}

impl WatchSettings {
    /// Takes what the environment says. One warning for each value that makes no sense.
    pub fn take_environment(&mut self, value_of: impl Fn(&str) -> Option<String>) -> Vec<String> {
        let default = Self::default();
        let mut warnings = Vec::new();
        let mut bad = |key: &str, value: &str, what: &str, default: String| {
            warnings.push(format!(
                "{key}={value:?} is not {what}: the default is used, {default}"
            ));
        };
        let key = "TRACER_WATCH_ENABLED";
        if let Some(value) = value_of(key) {
            self.enabled = parse_switch(&value).unwrap_or_else(|| {
                bad(key, &value, "true or false", default.enabled.to_string());
                default.enabled
            });
        }
        let key = "TRACER_WATCH_AGE_MIN";
        if let Some(value) = value_of(key) {
            let minutes = parse_count(&value).and_then(|minutes| minutes.checked_mul(60));
            self.older_than = minutes.map_or_else(
                || {
                    let minutes = default.older_than.as_secs() / 60;
                    bad(key, &value, "a number of minutes", minutes.to_string());
                    default.older_than
                },
                Duration::from_secs,
            );
        }
        let key = "TRACER_WATCH_PATTERNS";
        if let Some(value) = value_of(key) {
            let patterns: Vec<String> = value
                .split(',')
                .map(str::trim)
                .filter(|pattern| !pattern.is_empty())
                .map(str::to_owned)
                .collect();
            let can_be = |pattern: &String| regex::bytes::Regex::new(pattern).is_ok();
            self.patterns = if !patterns.is_empty() && patterns.iter().all(can_be) {
                patterns
            } else {
                let what = "a list of regular expressions with commas between";
                bad(key, &value, what, default.patterns.join(","));
                default.patterns.clone()
            };
        }
        let key = "TRACER_WATCH_COOLDOWN_S";
        if let Some(value) = value_of(key) {
            self.cooldown = parse_count(&value).map_or_else(
                || {
                    let seconds = default.cooldown.as_secs().to_string();
                    bad(key, &value, "a number of seconds", seconds);
                    default.cooldown
                },
                Duration::from_secs,
            );
        }
        warnings
    }
}

fn parse_switch(value: &str) -> Option<bool> {
    match value.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn parse_count(value: &str) -> Option<u64> {
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(pairs: &[(&str, &str)]) -> (WatchSettings, Vec<String>) {
        let mut settings = WatchSettings::default();
        let value_of = |key: &str| {
            let pair = pairs
                .iter()
                .find(|(name, _)| format!("TRACER_WATCH_{name}") == key);
            pair.map(|(_, value)| (*value).to_owned())
        };
        let warnings = settings.take_environment(value_of);
        (settings, warnings)
    }

    #[test]
    fn the_defaults_are_as_promised() {
        let (settings, warnings) = taken(&[]);
        assert!(!settings.enabled && warnings.is_empty());
        assert_eq!(settings.older_than.as_secs(), 3600);
        assert_eq!(settings.cooldown.as_secs(), 1800);
        assert_eq!(settings.patterns, ["pytest"]);
    }

    #[test]
    fn what_makes_sense_is_taken() {
        let (settings, warnings) = taken(&[
            ("ENABLED", "TRUE"),
            ("AGE_MIN", " 5 "),
            ("PATTERNS", "py.?test, cargo test ,"),
            ("COOLDOWN_S", "0"),
        ]);
        assert!(settings.enabled && warnings.is_empty(), "{warnings:?}");
        assert_eq!(settings.older_than.as_secs(), 300);
        assert_eq!(settings.patterns, ["py.?test", "cargo test"]);
        assert_eq!(settings.cooldown, Duration::ZERO);
    }

    #[test]
    fn what_makes_none_is_the_default_with_one_warning_that_names_all() {
        for (key, value, default) in [
            ("ENABLED", "maybe", "false"),
            ("AGE_MIN", "1h", "60"),
            ("AGE_MIN", "-1", "60"),
            ("AGE_MIN", "99999999999999999999", "60"),
            ("PATTERNS", "(open", "pytest"),
            ("PATTERNS", ", ,", "pytest"),
            ("COOLDOWN_S", "1.5", "1800"),
            ("COOLDOWN_S", "", "1800"),
        ] {
            let (settings, warnings) = taken(&[(key, value)]);
            assert_eq!(settings, WatchSettings::default(), "{key}={value}");
            let [warning] = &warnings[..] else {
                panic!("{warnings:?}")
            };
            for word in [key, value, default] {
                assert!(warning.contains(word), "{warning}");
            }
        }
    }
}
