//! The `anomaly` record: one when it opens, one when it closes, both with its number.
//!
//! What is wrong, when and how badly is the anomaly room's business; here it gets the form it has in the
//! journal, with times for people.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::info::ClockPair;
use crate::{
    anomaly::{Change, Kind, Ongoing, Phase, Span, Subject},
    snapshot::SnapshotRow,
    units::BootNs,
};

/// One anomaly as it opens or closes. Kinds that this version does not know are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// When it happened, RFC 3339: `captured_at` of the row that shows it, or the time of the event.
    pub ts: String,
    /// Its number in the session.
    pub no: u64,
    /// Its kind.
    pub anomaly: String,
    /// Whether this is its beginning or its end.
    pub phase: Stage,
    /// warning or critical.
    pub severity: String,
    /// The process it is about.
    pub pid: u32,
    /// Its start.
    pub starttime_ticks: Option<u64>,
    /// Its name.
    pub comm: Option<String>,
    /// The first row or event that counts towards it, RFC 3339.
    pub first: String,
    /// The last one at which it held, RFC 3339.
    pub last: String,
    /// `first` on the boot clock.
    pub first_t_boot_ns: BootNs,
    /// `last` on the boot clock.
    pub last_t_boot_ns: BootNs,
    /// How many rows or events it held at.
    pub count: u64,
    /// The worst value, in the unit of its kind.
    pub worst: f64,
    /// What it was seen by; only where it opens.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub detail: Map<String, Value>,
    /// The row it was seen in, where it was one; only where it opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Map<String, Value>>,
    /// Why it closed: condition, process or session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
}

/// Beginning or end of an anomaly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It holds from now on.
    Opened,
    /// It holds no longer, or nobody looks any more.
    Closed,
}

impl Anomaly {
    /// What a detector says, by the clocks of its session. `row` is what it was seen in.
    #[must_use]
    pub fn new(change: &Change, clock: &ClockPair, row: Option<&SnapshotRow>) -> Self {
        let wall = |t: BootNs| format!("{:.6}", clock.wall_of(t));
        let Change { subject, span, .. } = change;
        let (phase, detail, ended) = match &change.phase {
            Phase::Opened(detail) => (Stage::Opened, members(detail), None),
            Phase::Closed(ended) => (Stage::Closed, Map::new(), Some(ended.name().to_owned())),
        };
        let of_row = row.filter(|_| !change.kind.is_of_tree());
        let ts = of_row.map_or_else(|| wall(change.t), |row| row.captured_at.clone());
        Self {
            ts,
            no: change.no,
            anomaly: change.kind.name().to_owned(),
            phase,
            severity: change.kind.severity().name().to_owned(),
            pid: subject.pid,
            starttime_ticks: subject.starttime_ticks,
            comm: subject.comm.clone(),
            first: wall(span.first),
            last: wall(span.last),
            first_t_boot_ns: span.first,
            last_t_boot_ns: span.last,
            count: span.count,
            worst: span.worst,
            detail,
            snapshot: of_row.filter(|_| phase == Stage::Opened).map(members),
            ended,
        }
    }

    /// What whoever goes on with the session needs of one that is open; `None` for a kind that this
    /// version does not know.
    #[must_use]
    pub fn ongoing(&self) -> Option<Ongoing> {
        let command_id = self.detail.get("command_id").and_then(Value::as_str);
        Some(Ongoing {
            no: self.no,
            kind: Kind::from_name(&self.anomaly)?,
            subject: Subject {
                pid: self.pid,
                starttime_ticks: self.starttime_ticks,
                comm: self.comm.clone(),
            },
            span: Span {
                first: self.first_t_boot_ns,
                last: self.last_t_boot_ns,
                count: self.count,
                worst: self.worst,
            },
            initial_rss_kb: self.detail.get("initial_rss_kb").and_then(Value::as_u64),
            command_id: command_id.and_then(|id| u64::from_str_radix(id, 16).ok()),
        })
    }

    /// Nanoseconds from the first to the last time it was seen.
    #[must_use]
    pub fn lasted_ns(&self) -> u64 {
        self.last_t_boot_ns.since(self.first_t_boot_ns)
    }
}

/// An object's members; none of what is no object.
fn members(value: impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    }
}
