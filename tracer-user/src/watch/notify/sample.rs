//! Alerts for the tests of this room.

use std::collections::BTreeMap;

use crate::watch::alert::{Alert, Decision, Detail, Kind, Severity};

/// An orphaned pytest with this pid.
pub(super) fn orphan(pid: u32) -> Alert {
    let text = |text: &str| Detail::Text(text.to_owned());
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Alert {
        key: format!("orphan:5a1b:{pid}:8412"),
        kind: Kind::Orphan,
        decision: Decision::Alert,
        severity: Severity::Warning,
        at: "2026-11-21T10:00:00.5Z".parse().expect("a time"),
        since: "2026-11-21T08:30:00Z".parse().expect("a time"),
        text: format!("pid {pid} (pytest -x <tests>) & co. runs for 5400 s"),
        labels: BTreeMap::from([
            label("pid", &pid.to_string()),
            label("starttime_ticks", "8412"),
            label("comm", "pytest"),
        ]),
        details: BTreeMap::from([
            ("age_s".to_owned(), Detail::Number(5400)),
            ("end_it".to_owned(), text("tracer reap")),
            (
                "holds".to_owned(),
                Detail::List(vec!["pty /dev/pts/3".to_owned(), "tcp :8080".to_owned()]),
            ),
        ]),
    }
}
