//! The notes on what things cost that no event tells of: the observer, and the tree as its parent was
//! charged for it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{super::record::Note, topic};

/// What an observer itself used: the particulars of the note [`topic::OBSERVER_COST`]. What is not known
/// is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ObserverCost {
    /// CPU time, user and system, µs.
    pub cpu_us: Option<u64>,
    /// Peak resident set, KiB.
    pub peak_rss_kb: Option<u64>,
    /// Events that the kernel side sent.
    pub events: Option<u64>,
    /// Events that it could not send.
    pub lost: Option<u64>,
    /// Ticks.
    pub ticks: Option<u64>,
    /// Ticks that were left out because one before was late.
    pub missed_ticks: Option<u64>,
    /// How long ticks took.
    pub tick_us: Option<TickTimes>,
    /// What the kernel side's programs took.
    pub bpf: Option<Vec<ProgramCost>>,
    /// How long they were measured; of a long session, a part of the time.
    pub bpf_measured_us: Option<u64>,
    /// Why that is not known.
    pub bpf_unknown: Option<String>,
}

/// How long ticks took, µs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TickTimes {
    /// Half of them took no longer.
    pub p50: u64,
    /// Of a hundred, 99 took no longer.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

/// What one program of the kernel side took.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProgramCost {
    /// Its name.
    pub name: String,
    /// Times it ran, for whatever process.
    pub runs: u64,
    /// Time that took, ns.
    pub run_ns: u64,
}

/// What the root, and all that was waited for below it, came to when tracer waited for it
/// (`getrusage(2)`, `RUSAGE_CHILDREN`): the particulars of the note [`topic::REAPED`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaped {
    /// CPU time in user mode, µs.
    pub cpu_user_us: u64,
    /// CPU time in the kernel, µs.
    pub cpu_system_us: u64,
}

impl Reaped {
    /// CPU time of both kinds, µs.
    #[must_use]
    pub fn cpu_us(&self) -> u64 {
        self.cpu_user_us.saturating_add(self.cpu_system_us)
    }
}

impl Note {
    /// What the observer itself used so far.
    #[must_use]
    pub fn observer_cost(cost: &ObserverCost) -> Self {
        Self {
            data: members(cost),
            ..Self::new(topic::OBSERVER_COST, "what the observer itself used", [])
        }
    }

    /// The particulars of a note [`topic::OBSERVER_COST`]; nothing where they make no sense.
    #[must_use]
    pub fn as_observer_cost(&self) -> ObserverCost {
        ObserverCost::deserialize(&self.data).unwrap_or_default()
    }

    /// What the tree was charged for in the end.
    #[must_use]
    pub fn reaped(reaped: &Reaped) -> Self {
        let text = "what the command and all that was waited for below it used";
        Self {
            data: members(reaped),
            ..Self::new(topic::REAPED, text, [])
        }
    }

    /// The particulars of a note [`topic::REAPED`].
    #[must_use]
    pub fn as_reaped(&self) -> Option<Reaped> {
        Reaped::deserialize(&self.data).ok()
    }
}

/// What is known, as the particulars of a note.
fn members(cost: &impl Serialize) -> Map<String, Value> {
    let Ok(Value::Object(mut members)) = serde_json::to_value(cost) else {
        return Map::new();
    };
    members.retain(|_, value| !value.is_null());
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_observer_cost_is_read_back_and_nonsense_is_nothing() {
        let cost = ObserverCost {
            cpu_us: Some(5),
            tick_us: Some(TickTimes {
                p50: 1,
                p99: 2,
                max: 3,
            }),
            bpf: Some(vec![ProgramCost {
                name: "on_fork".to_owned(),
                runs: 7,
                run_ns: 900,
            }]),
            ..ObserverCost::default()
        };
        let mut note = Note::observer_cost(&cost);
        assert_eq!(note.as_observer_cost(), cost);
        assert_eq!(note.data.len(), 3);
        note.data.insert("cpu_us".to_owned(), Value::from("much"));
        assert_eq!(note.as_observer_cost(), ObserverCost::default());
        assert_eq!(note.as_reaped(), None);
    }
}
