//! Anomaly records put together again: `anomalies.jsonl`, the summary, and what `verify` says of bad ones.

use serde_json::{Map, Value, json};
use tracer::session::{
    Store,
    anomalies::Following,
    journal::{
        anomaly::{Anomaly, Stage},
        record::{Body, Record},
    },
    rebuild::rebuild,
    recorder::Recorder,
    summary::Summarizer,
    verify::verify,
};
use tracer::units::BootNs;

use crate::{made::*, support::*};

fn opened(no: u64, kind: &str, pid: u32) -> Anomaly {
    let detail = json!({ "expected_comm": "claude", "actual_comm": "script" });
    let Value::Object(detail) = detail else {
        unreachable!()
    };
    let time = format!("2026-11-21T05:45:{:02}.000000Z", no % 60);
    Anomaly {
        ts: time.clone(),
        no,
        anomaly: kind.to_owned(),
        phase: Stage::Opened,
        severity: "warning".to_owned(),
        pid,
        starttime_ticks: Some(1),
        comm: Some("x".to_owned()),
        first: time.clone(),
        last: time,
        first_t_boot_ns: BootNs(no * 1_000_000_000),
        last_t_boot_ns: BootNs(no * 1_000_000_000),
        count: 1,
        worst: 1.0,
        detail,
        snapshot: Some(Map::new()),
        ended: None,
    }
}

fn closed(opened: &Anomaly, count: u64) -> Anomaly {
    Anomaly {
        phase: Stage::Closed,
        count,
        worst: 7.5,
        last_t_boot_ns: BootNs(opened.first_t_boot_ns.0 + 3_000_000_000),
        detail: Map::new(),
        snapshot: None,
        ended: Some("condition".to_owned()),
        ..opened.clone()
    }
}

/// A session with these records that ended as observers do.
fn recorded(store: &Store, bodies: Vec<Body>) -> tracer::session::SessionId {
    let info = info(store);
    let id = info.session_id;
    let recorder = Recorder::create(store, info.clone(), Summarizer::new(info)).expect("made");
    for body in bodies {
        let t = BootNs(5);
        recorder.accept(Record { t, body });
    }
    let report = recorder.finish(end("over"), soon());
    assert_eq!(report.failures, []);
    id
}

fn body(anomaly: Anomaly) -> Body {
    Body::Anomaly(Box::new(anomaly))
}

fn told(bodies: Vec<Body>) -> Vec<String> {
    let (_dir, store) = made();
    let id = recorded(&store, bodies);
    let findings = verify(&store, &id).findings;
    findings.into_iter().map(|finding| finding.what).collect()
}

#[test]
fn two_records_become_one_line_in_the_order_of_opening() {
    let (_dir, store) = made();
    let (first, second) = (opened(1, "fd_high", 5), opened(2, "identity_drift", 6));
    let mut row = row(1);
    if let Body::Snapshot { row, .. } = &mut row.body {
        row.captured_at.clone_from(&second.ts);
    }
    let id = recorded(
        &store,
        vec![
            body(first.clone()),
            row.body,
            body(second.clone()),
            body(closed(&second, 3)),
            body(closed(&first, 9)),
        ],
    );
    let path = store.session_path(&id).join("anomalies.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let figures = |line: &Value| {
        (
            line["kind"].clone(),
            line["seq"].clone(),
            line["count"].clone(),
            line["worst"].clone(),
        )
    };
    assert_eq!(
        figures(&lines[0]),
        (json!("fd_high"), json!(1), json!(9), json!(7.5))
    );
    assert_eq!(
        figures(&lines[1]),
        (json!("identity_drift"), json!(3), json!(3), json!(7.5))
    );
    // The row it was seen in.
    assert_eq!(lines[1]["detail"]["seq"], 2);
    assert_eq!(verify(&store, &id).findings, []);

    // Gone, changed, or there although it should not be: told, and made again.
    std::fs::write(&path, "{}\n").unwrap();
    assert!(!verify(&store, &id).holds());
    rebuild(&store, &id, soon()).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    let none = recorded(&store, vec![]);
    let path = store.session_path(&none).join("anomalies.jsonl");
    assert!(!path.exists());
    std::fs::write(&path, text).unwrap();
    assert!(!verify(&store, &none).holds());
    rebuild(&store, &none, soon()).unwrap();
    assert!(!path.exists());
}

#[test]
fn records_that_no_detector_writes_are_told() {
    let one = || opened(1, "fd_high", 5);
    assert_eq!(told(vec![body(one()), body(closed(&one(), 2))]), [""; 0]);
    assert_eq!(told(vec![body(one())]), ["1 anomaly open behind the end"]);
    assert_eq!(
        told(vec![body(closed(&one(), 2))]),
        ["1 anomaly closed that were not open"]
    );
    let twice = vec![
        body(one()),
        body(closed(&one(), 2)),
        body(one()),
        body(closed(&one(), 2)),
    ];
    assert_eq!(
        told(twice),
        ["1 anomaly with a number that was there before"]
    );
    let other = opened(2, "fd_high", 5);
    let doubled = vec![
        body(one()),
        body(other.clone()),
        body(closed(&one(), 2)),
        body(closed(&other, 2)),
    ];
    assert_eq!(told(doubled), ["1 anomaly opened that were open already"]);
    // Another kind, or another process, is another matter.
    let fine = [opened(2, "rss_growth", 5), opened(3, "fd_high", 6)];
    let mut bodies = vec![body(one())];
    bodies.extend(fine.iter().cloned().map(body));
    bodies.extend(fine.iter().chain(&[one()]).map(|one| body(closed(one, 2))));
    assert_eq!(told(bodies), [""; 0]);
}

#[test]
fn the_worst_come_first_critical_ones_before_all() {
    let mut following = Following::keeping(3);
    for no in 1..=100 {
        let mut opened = opened(no, "high_cpu_sustained", 5);
        if no == 50 {
            opened.severity = "critical".to_owned();
        }
        following.apply(&opened);
        let mut closed = closed(&opened, 2);
        closed.last_t_boot_ns = BootNs(opened.first_t_boot_ns.0 + no * 1_000_000_000);
        following.apply(&closed);
    }
    let overview = following.overview();
    let numbers: Vec<u64> = overview.worst.iter().map(|told| told.no).collect();
    assert_eq!(numbers, [50, 100, 99]);
    assert_eq!(overview.by_kind["high_cpu_sustained"], 100);
    let sentence = overview.worst[1].sentence();
    assert!(
        sentence.starts_with("high_cpu_sustained x (pid 5) 7.5 % for 1 min 40 s"),
        "{sentence}"
    );
}
