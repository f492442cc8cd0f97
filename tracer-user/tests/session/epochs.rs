//! A session that changes hands: each observer writes a journal of its own, and together they are one
//! record.

use serde_json::Value;
use tracer::{
    session::{
        derive::Fold,
        epochs,
        journal::record::{Body, Crash, Record},
        recorder::{EndOutcome, Options, Recorder, SessionError},
        settle,
        status::{Status, examine},
    },
    units::BootNs,
};

use crate::support::*;

#[test]
fn l2_l6_l12_a_session_taken_over_goes_on_in_a_new_epoch_and_no_byte_of_the_old_one_changes() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let info = left(&store, 10);
    let path = store.session_path(&info.session_id);
    let torn = br#"{"seq":11,"t_boot_ns":5000000011,"kind":"fork","pi"#;
    append(&path, "journal.0.jsonl", torn);
    let before = bytes(&path, "journal.0.jsonl");

    let (second, standing) = reopen(&store, &info);
    assert_eq!((standing.next_epoch, standing.next_seq), (1, 11));
    assert_eq!(standing.epochs[0].stats.torn, torn.len() as u64);
    second.accept_all(&mut (10..20).map(fork).collect());
    drop(second);
    let (third, standing) = reopen(&store, &info);
    assert_eq!((standing.next_epoch, standing.next_seq), (2, 22));
    third.accept(row(1));
    let report = third.finish(end("done"), soon());
    assert_eq!(report.end, EndOutcome::Durable);
    assert!(report.failures.is_empty(), "{report:?}");

    assert_eq!(bytes(&path, "journal.0.jsonl"), before);
    let (seen, standing) = replayed(&store, &info.session_id);
    assert_eq!(seen.seqs, (0..25).collect::<Vec<u64>>());
    assert_eq!(
        (seen.kinds["session"], seen.kinds["fork"], seen.kinds["end"]),
        (3, 20, 1)
    );
    let first = standing.session.expect("readable");
    assert_eq!((first.session_id, first.epoch), (info.session_id, 0));
    let Body::End(last) = &standing.end.expect("ended").body else {
        panic!("an end");
    };
    assert_eq!(
        (last.counts.records, last.counts.forks),
        (24, 20),
        "over all epochs"
    );
    assert_eq!(
        files(&path),
        [
            "journal.0.jsonl",
            "journal.1.jsonl",
            "journal.2.jsonl",
            "lease",
            "proc_trace.jsonl",
            "summary.json"
        ]
    );
    assert_eq!(store.session_ids().expect("listed"), [info.session_id]);
}

#[test]
fn each_epochs_session_record_says_whose_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let mut info = left(&store, 1);
    info.observer.pid = 4_711;
    drop(reopen(&store, &info));
    let session = store.existing_session(&info.session_id).expect("there");
    let mut epochs = epochs::Epochs::open(&session).expect("journals");
    assert!(epochs.is_consecutive());
    let mut observers = Vec::new();
    while epochs.next_epoch().expect("opened").is_some() {
        let first = epochs.next_entry().expect("read").expect("a record");
        let Body::Session(info) = first.body else {
            panic!("an epoch begins with its session");
        };
        observers.push((first.seq, info.epoch, info.observer.pid));
        while epochs.next_entry().expect("read").is_some() {}
    }
    assert_eq!(observers, [(0, 0, std::process::id()), (2, 1, 4_711)]);
}

#[test]
fn derived_files_cover_all_epochs_and_come_out_the_same_when_built_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let info = left(&store, 3);
    let path = store.session_path(&info.session_id);
    let (second, _) = reopen(&store, &info);
    second.accept_all(&mut (0..5).map(row).collect());
    drop(second);
    let (third, _) = reopen(&store, &info);
    third.accept_all(&mut (5..9).map(row).collect());
    let report = third.finish(end("done"), soon());
    assert!(report.failures.is_empty(), "{report:?}");
    let trace = bytes(&path, "proc_trace.jsonl");
    assert_eq!(trace.split_inclusive(|&byte| byte == b'\n').count(), 9);
    let summary = bytes(&path, "summary.json");
    let said: Value = serde_json::from_slice(&summary).expect("JSON");
    assert_eq!(said["records"], 16);
    assert_eq!(said["in_order"], true);

    for name in ["proc_trace.jsonl", "summary.json"] {
        std::fs::remove_file(path.join(name)).expect("there");
    }
    let held = claimed(&store, &info.session_id);
    let (fold, _) = replayed(&store, &info.session_id);
    let failures = settle::write_all::<Seen>(&store, &held.dir, None, &fold.finish(), soon());
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!(bytes(&path, "proc_trace.jsonl"), trace);
    assert_eq!(bytes(&path, "summary.json"), summary);
}

#[test]
fn l4_claiming_and_reading_a_session_changes_no_byte() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let info = left(&store, 50);
    let path = store.session_path(&info.session_id);
    let before: Vec<_> = files(&path).iter().map(|name| bytes(&path, name)).collect();
    let held = claimed(&store, &info.session_id);
    let (seen, standing) = replayed(&store, &info.session_id);
    assert_eq!((seen.seqs.len(), standing.counts.forks), (51, 50));
    drop(held);
    let after: Vec<_> = files(&path).iter().map(|name| bytes(&path, name)).collect();
    assert_eq!(after, before);
}

#[test]
fn l5_a_directory_that_holds_another_session_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let original = left(&store, 1);
    let copy = info(&store);
    let from = store.session_path(&original.session_id);
    let to = store.session_path(&copy.session_id);
    std::fs::rename(from, &to).expect("renamed");
    let held = claimed(&store, &copy.session_id);
    let (_, standing) = replayed(&store, &copy.session_id);
    let before = files(&to);
    let refused = Recorder::reopen(
        &store,
        held,
        &standing,
        copy,
        Seen::default(),
        Options::default(),
    );
    match refused.err() {
        Some(SessionError::OtherSession { found, .. }) => assert_eq!(found, original.session_id),
        other => panic!("{other:?}"),
    }
    assert_eq!(files(&to), before);
}

#[test]
fn l9_n9_a_session_that_crashed_and_went_on_shows_both_endings() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let info = info(&store);
    let first = Recorder::create(&store, info.clone(), Seen::default()).expect("made");
    let crash = Crash {
        cause: "panic".to_owned(),
        detail: "somewhere".to_owned(),
    };
    first.accept(Record {
        t: BootNs(6_000_000_000),
        body: Body::Crash(Box::new(crash)),
    });
    drop(first);
    let session = store.existing_session(&info.session_id).expect("there");
    assert!(matches!(examine(&session).status, Status::Ended(_)));

    let (second, standing) = reopen(&store, &info);
    assert!(matches!(
        standing.end.expect("crashed").body,
        Body::Crash(_)
    ));
    assert_eq!(examine(&session).status, Status::Running, "it runs again");
    let _report = second.finish(end("the root ended"), soon());
    let Status::Ended(entry) = examine(&session).status else {
        panic!("it has ended again");
    };
    assert!(matches!(entry.body, Body::End(_)));
    let (_, standing) = replayed(&store, &info.session_id);
    assert!(
        matches!(standing.end.expect("ended").body, Body::Crash(_)),
        "the first one decides"
    );
    assert_eq!(standing.epochs[1].stats.later_ends, 1);
}

#[test]
fn an_epoch_that_never_got_its_first_record_is_stepped_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let info = left(&store, 2);
    let path = store.session_path(&info.session_id);
    let session = store.existing_session(&info.session_id).expect("there");
    std::fs::write(path.join("journal.1.jsonl"), "").expect("written");
    assert_eq!(examine(&session).status, Status::Interrupted);
    std::fs::write(path.join("journal.2.jsonl"), r#"{"seq":3,"t_bo"#).expect("written");
    assert_eq!(examine(&session).status, Status::Interrupted);
    let (recorder, standing) = reopen(&store, &info);
    assert_eq!((standing.next_epoch, standing.next_seq), (3, 3));
    let _report = recorder.finish(end("done"), soon());
    assert!(matches!(examine(&session).status, Status::Ended(_)));
    std::fs::write(path.join("journal.5.jsonl"), "").expect("written");
    let epochs = epochs::Epochs::open(&session).expect("journals");
    assert!(!epochs.is_consecutive());
}

#[test]
fn a_takeover_that_finds_no_room_leaves_no_pile_of_empty_journals() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let info = left(&store, 2);
    let path = store.session_path(&info.session_id);
    let before = files(&path);
    for _ in 0..3 {
        let disk = crate::faulty::Disk::default();
        disk.set(|fault| fault.room = Some(100));
        let held = claimed(&store, &info.session_id);
        let (fold, standing) = replayed(&store, &info.session_id);
        let refused = Recorder::reopen(&store, held, &standing, info.clone(), fold, disk.options());
        assert!(matches!(refused.err(), Some(SessionError::Journal { .. })));
        assert_eq!(files(&path), before);
    }
}
