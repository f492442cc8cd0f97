//! One line of another recorder's trace as a record of ours, with everything it says.
//!
//! Their rows have the keys of ours or fewer; what a row lacks and the enrollment knows is put in. Keys
//! we do not know stay. Pure.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    session::{
        journal::{
            info::ClockPair,
            record::{Body, Record},
        },
        recover::whose::Recorded,
    },
    units::BootNs,
};

/// Longest line that is read.
pub const LINE_MAX: usize = 1 << 20;

/// What every row is known to have.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// The process whose rows they are.
    pub process: Recorded,
    /// One instant of then on both clocks.
    pub clock: ClockPair,
}

/// Keys whose place in a journal line is taken.
const TAKEN: [(&str, &str); 4] = [
    ("seq", "foreign_seq"),
    ("t_boot_ns", "foreign_t_boot_ns"),
    ("kind", "foreign_kind"),
    ("crc", "foreign_crc"),
];

/// The record of a line; `None` when it is not a JSON object.
#[must_use]
pub fn record(line: &[u8], known: &Known, last: BootNs) -> Option<Record> {
    let mut row: Map<String, Value> = serde_json::from_slice(line).ok()?;
    let t = time(&row).map_or(last, |wall| boot_of(&known.clock, wall));
    for (key, free) in TAKEN {
        if let Some(value) = row.remove(key) {
            row.insert(free.to_owned(), value);
        }
    }
    let event = row.get("event").and_then(Value::as_str);
    let is_snapshot = matches!(event, None | Some("snapshot" | "exit_snapshot"));
    if !is_snapshot {
        let value = Map::from_iter([("row".to_owned(), Value::Object(row))]);
        let kind = "foreign".to_owned();
        let body = Body::Unknown { kind, value };
        return Some(Record { t, body });
    }
    let mut put = |key: &str, value: Option<Value>| {
        if row.get(key).is_none_or(Value::is_null)
            && let Some(value) = value
        {
            row.insert(key.to_owned(), value);
        }
    };
    put("event", Some("snapshot".into()));
    put("role", Some("workload".into()));
    put("pid", Some(known.process.pid.into()));
    put(
        "starttime_ticks",
        known.process.start.map(|start| start.0.into()),
    );
    // `ts` is put into the derived rows from `captured_at`.
    let ts = row.remove("ts");
    if row.get("captured_at").is_none_or(Value::is_null)
        && let Some(ts) = ts
    {
        row.insert("captured_at".to_owned(), ts);
    }
    let body = Body::Unknown {
        kind: "snapshot".to_owned(),
        value: row,
    };
    Some(Record { t, body })
}

/// The name in a record made by [`record`] and whether it is of the process enrolled.
#[must_use]
pub fn comm(record: &Record, process: Recorded) -> Option<(String, bool)> {
    let Body::Unknown { kind, value } = &record.body else {
        return None;
    };
    let comm = value.get("comm").filter(|_| kind == "snapshot")?.as_str()?;
    let number = |key: &str| value.get(key).and_then(Value::as_u64);
    let start = process.start.map(|start| start.0);
    let same = number("pid") == Some(process.pid.into())
        && start.is_some()
        && number("starttime_ticks") == start;
    Some((comm.to_owned(), same))
}

/// When a line says it was written.
#[must_use]
pub fn time_of(line: &[u8]) -> Option<Timestamp> {
    time(&serde_json::from_slice(line).ok()?)
}

/// When a row says it was taken.
fn time(row: &Map<String, Value>) -> Option<Timestamp> {
    let text = |key| row.get(key).and_then(Value::as_str);
    let text = text("captured_at").or(text("ts"))?;
    text.parse().ok()
}

/// The boot time of a wall time, by this pair; 0 before the boot.
#[must_use]
pub fn boot_of(clock: &ClockPair, wall: Timestamp) -> BootNs {
    let since = wall.as_nanosecond() - clock.wall.as_nanosecond();
    let boot = (i128::from(clock.boot.0) + since).max(0);
    BootNs(u64::try_from(boot).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Ticks;

    fn known() -> Known {
        Known {
            process: Recorded {
                pid: 7,
                start: Some(Ticks(450)),
            },
            clock: ClockPair {
                boot: BootNs(5_000_000_000),
                wall: "2026-11-21T05:45:12Z".parse().unwrap(),
            },
        }
    }

    fn members(line: &str) -> (BootNs, String, Map<String, Value>) {
        let record = record(line.as_bytes(), &known(), BootNs(9)).unwrap();
        match record.body {
            Body::Unknown { kind, value } => (record.t, kind, value),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_row_keeps_what_it_says_and_gets_what_it_lacks() {
        let line =
            r#"{"ts":"2026-11-21T05:45:13.5Z","seq":3,"vm_rss_kb":12,"comm":"claude","odd":[1]}"#;
        let (t, kind, row) = members(line);
        assert_eq!((t, kind.as_str()), (BootNs(6_500_000_000), "snapshot"));
        assert_eq!(row["captured_at"], "2026-11-21T05:45:13.5Z");
        assert_eq!(
            (&row["pid"], &row["starttime_ticks"]),
            (&7.into(), &450.into())
        );
        assert_eq!(
            (&row["role"], &row["event"]),
            (&"workload".into(), &"snapshot".into())
        );
        assert_eq!(
            (&row["vm_rss_kb"], &row["foreign_seq"]),
            (&12.into(), &3.into())
        );
        assert_eq!(row["odd"][0], 1);
        assert!(!row.contains_key("seq") && !row.contains_key("ts"));
    }

    #[test]
    fn its_own_identity_is_not_replaced() {
        let (_, _, row) = members(r#"{"pid":9,"starttime_ticks":1,"comm":"script"}"#);
        assert_eq!(
            (&row["pid"], &row["starttime_ticks"]),
            (&9.into(), &1.into())
        );
        let line = br#"{"pid":9,"starttime_ticks":450,"comm":"script"}"#;
        let other = record(line, &known(), BootNs(9)).unwrap();
        let found = comm(&other, known().process);
        assert_eq!(found, Some(("script".to_owned(), false)));
    }

    #[test]
    fn what_is_no_snapshot_is_kept_whole_and_what_is_no_object_is_bad() {
        let (t, kind, value) = members(r#"{"event":"anomaly","kind":"oom_spike"}"#);
        assert_eq!((t, kind.as_str()), (BootNs(9), "foreign"));
        assert_eq!(value["row"]["foreign_kind"], "oom_spike");
        for bad in ["", "[]", "{\"a\":", "7", "{\"a\":\"\u{0}\"}", "\u{fffd}"] {
            assert_eq!(record(bad.as_bytes(), &known(), BootNs(0)), None, "{bad:?}");
        }
        assert_eq!(record(b"\xff{}", &known(), BootNs(0)), None);
        let deep = "[".repeat(100_000);
        assert_eq!(record(deep.as_bytes(), &known(), BootNs(0)), None);
    }

    #[test]
    fn a_time_before_the_boot_is_its_beginning() {
        let wall = "1970-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(boot_of(&known().clock, wall), BootNs(0));
    }
}
