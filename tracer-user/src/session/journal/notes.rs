//! The notes that programs read: each has a topic and fixed particulars.

use serde_json::{Map, Value};

use super::record::Note;

/// Topics of [`Note`].
pub mod topic {
    /// How the attach to a living tree went: `passes`, `converged`, `adopted`.
    pub const ATTACHED: &str = "attached";
    /// Tracking is on, and everything that was there has been found.
    pub const ARMED: &str = "armed";
    /// The root's wait status as tracer, its parent, saw it: `status`.
    pub const WAITED: &str = "waited";
    /// The observer got a signal and passes it on: `signal`, `code`, and its sender's `pid`,
    /// `starttime_ticks`, `uid`, `comm`, `cmdline` as far as they are known.
    pub const FORWARDED: &str = "forwarded";
    /// Memory when the OOM killer chose: `pid`, `start_boottime_ns`, and what was found of `scope`
    /// (`cgroup`, `machine`, `nodes`), `cgroup`, `limit_kb`, `usage_kb`, `group`, `oom_kills`,
    /// `oom_kills_before`.
    pub const OOM_SCENE: &str = "oom_scene";
    /// Where a core went: `pid`, `start_boottime_ns`, `pattern`, and `file` or `piped_to`.
    pub const CORE: &str = "core";
    /// What the observer itself cost: `cpu_us`, `peak_rss_kb`.
    pub const OBSERVER_COST: &str = "observer_cost";
}

impl Note {
    /// A living tree was joined: in so many passes, the last of which found nothing new if it
    /// `converged`.
    #[must_use]
    pub fn attached(passes: u64, converged: bool, adopted: u64) -> Self {
        let data = [
            ("passes", Value::from(passes)),
            ("converged", Value::from(converged)),
            ("adopted", Value::from(adopted)),
        ];
        Self::new(topic::ATTACHED, "joined a living tree", data)
    }

    /// Tracking is on.
    #[must_use]
    pub fn armed() -> Self {
        Self::new(topic::ARMED, "tracking is on", [])
    }

    /// The root's raw wait status, as its parent saw it.
    #[must_use]
    pub fn waited(status: u32) -> Self {
        let data = [("status", Value::from(status))];
        Self::new(
            topic::WAITED,
            "the root's wait status, as its parent saw it",
            data,
        )
    }

    /// What the observer itself used so far.
    #[must_use]
    pub fn observer_cost(cpu_us: u64, peak_rss_kb: u64) -> Self {
        let data = [
            ("cpu_us", Value::from(cpu_us)),
            ("peak_rss_kb", Value::from(peak_rss_kb)),
        ];
        Self::new(topic::OBSERVER_COST, "what the observer itself used", data)
    }

    /// A particular that is a whole number.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        self.data.get(key)?.as_u64()
    }

    fn new<const N: usize>(topic: &str, text: &str, data: [(&str, Value); N]) -> Self {
        let data = data.map(|(key, value)| (key.to_owned(), value));
        Self {
            topic: topic.to_owned(),
            text: text.to_owned(),
            data: Map::from_iter(data),
        }
    }
}
