//! What closed accounts do to the figures of a session, through the whole fold.

use serde_json::Value;
use tracer::{
    event::{Account, EventKind, Exit, ExitTotals, Fork},
    session::{
        derive::Fold as _,
        journal::{
            notes::Reaped,
            record::{Body, Counts, End, Note, ObserverEnding},
        },
        summary::Summarizer,
    },
    units::{BootNs, Comm, Process},
};

use crate::{made::*, support::*};

/// Whom nobody of the session knows.
fn stranger() -> Process {
    process(999_999)
}

fn born(pid: u32, by: Process) -> Body {
    Body::Event(EventKind::Fork(Fork {
        child: process(pid),
        creator: by,
        parent: by,
        comm: Comm::from_bytes(b"worker"),
        depth: 1,
        uid: 0,
        adopted: false,
    }))
}

/// It ends with so much CPU time, and was charged for its children.
fn gone(pid: u32, parent: Process, cpu_us: u64, children_us: u64) -> Body {
    Body::Event(EventKind::Exit(Box::new(Exit {
        process: process(pid),
        parent,
        comm: Comm::from_bytes(b"worker"),
        status: 0,
        totals: ExitTotals {
            cpu_user_us: cpu_us,
            children_cpu_us: Some((children_us, 0)),
            faults_minor: 10,
            io_read_bytes: Some(0),
            io_write_bytes: Some(0),
            ..ExitTotals::default()
        },
        execs: 0,
        threads: 1,
    })))
}

fn closed(pid: u32, cpu_us: u64) -> Body {
    Body::Event(EventKind::Account(Account {
        process: process(pid),
        cpu_user_us: 0,
        cpu_system_us: cpu_us,
        faults_minor: 12,
        faults_major: 1,
        ctx_switches_voluntary: 1,
        ctx_switches_involuntary: 0,
        io_bytes: Some((4096, 0)),
    }))
}

fn reaped(user: u64) -> Body {
    Body::Note(Box::new(Note::reaped(&Reaped {
        cpu_user_us: user,
        cpu_system_us: 0,
    })))
}

fn lost(reason: &str) -> Body {
    Body::Loss {
        reason: reason.to_owned(),
        count: 3,
    }
}

/// Of a session that began and ended as it should.
fn summary(records: Vec<Body>) -> Value {
    let (_dir, store) = made();
    let mut info = info(&store);
    info.root.pid = 2;
    let mut fold = Summarizer::new(info);
    let end = Body::End(Box::new(End {
        ending: ObserverEnding::Completed,
        cause: "the command ended".to_owned(),
        counts: Counts::default(),
    }));
    let armed = Body::Note(Box::new(Note::armed()));
    let all = [armed].into_iter().chain(records).chain([end]);
    for (seq, body) in (1..).zip(all) {
        fold.apply(seq, BootNs(5_000_000_000 + seq), &body);
    }
    serde_json::to_value(fold.finish()).expect("JSON")
}

/// CPU time of the totals, what of it belongs to no command, and how far it can be trusted.
fn cpu(summary: &Value) -> (u64, u64, &str) {
    let number = |pointer: &str| summary.pointer(pointer).and_then(Value::as_u64);
    let [user, system] =
        ["user", "system"].map(|kind| number(&format!("/totals/cpu_{kind}_us")).expect("a number"));
    let left = number("/costs/cpu_unattributed_us").expect("a number");
    let validity = &summary["totals"]["validity"]["cpu_user_us"];
    (user + system, left, validity.as_str().expect("a word"))
}

/// The root and its two children, of 300 and 200 µs in truth.
fn tree() -> Vec<Body> {
    let root = process(2);
    vec![
        born(2, stranger()),
        born(3, root),
        born(4, root),
        gone(3, root, 100, 0),
        gone(4, root, 150, 0),
    ]
}

#[test]
fn what_the_kernel_charged_us_and_no_process_is_known_to_have_used_belongs_to_no_command() {
    let mut records = tree();
    // The root was given to somebody else: what it lacks is not ours to divide.
    records.push(gone(2, stranger(), 40, 500));
    assert_eq!(cpu(&summary(records.clone())), (540, 0, "at_least"));
    records.push(reaped(700));
    assert_eq!(cpu(&summary(records.clone())), (700, 160, "at_least"));
    let accounts = [closed(3, 300), closed(4, 200), closed(2, 45)];
    records.extend(accounts);
    assert_eq!(cpu(&summary(records)), (700, 155, "exact"));
}

#[test]
fn with_all_accounts_the_sum_is_exact_although_nobody_of_ours_waited() {
    let mut records = tree();
    records.extend([gone(2, stranger(), 40, 0), closed(3, 300)]);
    assert_eq!(cpu(&summary(records.clone())), (490, 0, "at_least"));
    records.extend([closed(4, 200), closed(2, 45)]);
    let summary = summary(records);
    assert_eq!(cpu(&summary), (545, 0, "exact"));
    let totals = &summary["totals"];
    assert_eq!(
        (&totals["faults_minor"], &totals["faults_major"]),
        (&36.into(), &3.into())
    );
    assert_eq!(totals["io_read_bytes"], 3 * 4096);
}

#[test]
fn a_journal_cut_between_an_exit_and_its_account_gives_the_same_figures() {
    let rest = [gone(2, stranger(), 40, 500), closed(3, 300), closed(4, 200)];
    let mut whole = tree();
    whole.extend(rest.clone());
    let figures = |records: Vec<Body>| {
        let summary = summary(records);
        (summary["totals"].clone(), summary["costs"].clone())
    };
    let expected = figures(whole);
    // Recovery goes on with what the ring held.
    for at in 0..=rest.len() {
        let mut cut = tree();
        cut.extend(rest[..at].to_vec());
        let (_dir, store) = made();
        let mut later = info(&store);
        later.epoch = 1;
        cut.push(Body::Session(Box::new(later)));
        cut.extend(rest[at..].to_vec());
        let mut found = figures(cut);
        // Times are those of the records, of which there is one more.
        found.0["wall_us"] = expected.0["wall_us"].clone();
        assert_eq!(found, expected, "cut at {at}");
    }
}

#[test]
fn a_lost_account_makes_no_record_incomplete_and_a_lost_exit_does() {
    for (reason, status) in [
        ("ring_full_account", "complete"),
        ("accounts_full", "complete"),
        ("ring_full_exit", "incomplete"),
    ] {
        let mut records = tree();
        records.extend([gone(2, stranger(), 40, 500), lost(reason)]);
        let summary = summary(records);
        let completeness = &summary["completeness"];
        assert_eq!(completeness["status"], status, "{completeness}");
        // It is told all the same.
        assert_eq!(completeness["lost"][reason], 3);
    }
}
