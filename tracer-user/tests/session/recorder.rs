//! The recorder on a disk that works: order, completeness, one end, files that appear whole.

use std::{
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::support::*;
use tracer::session::{
    index,
    journal::record::{Body, ObserverEnding},
    publish::is_temporary,
    recorder::{EndOutcome, Options, Recorder, Tee},
};

fn started() -> (tempfile::TempDir, tracer::session::Store, Recorder<Seen>) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let recorder = Recorder::create(&store, info(&store), Seen::default()).expect("created");
    (dir, store, recorder)
}

#[test]
fn the_session_record_is_on_disk_before_anything_else_can_happen() {
    let (_dir, store, recorder) = started();
    let (entries, stats) = read_journal(recorder.path());
    assert!(stats.is_clean());
    let Body::Session(written) = &entries[0].body else {
        panic!("{:?}", entries[0])
    };
    let expected = tracer::session::journal::info::SessionInfo {
        session_id: written.session_id,
        ..info(&store)
    };
    assert_eq!(**written, expected);
    assert!(recorder.progress().durable >= 1);
}

#[test]
fn a_session_is_private() {
    let (_dir, _store, recorder) = started();
    let mode = |path: &std::path::Path| {
        std::fs::metadata(path).expect("there").permissions().mode() & 0o7777
    };
    assert_eq!(mode(recorder.path()), 0o700);
    assert_eq!(mode(&recorder.path().join("journal.0.jsonl")), 0o600);
}

#[test]
fn c3_c28_a_burst_with_nothing_after_it_reaches_the_file() {
    let (_dir, _store, recorder) = started();
    let mut burst: Vec<_> = (0..10_000).map(fork).collect();
    assert_eq!(recorder.accept_all(&mut burst).taken, 10_000);
    assert!(burst.is_empty());
    // No flush, no further event: only time.
    wait_for("the burst", || recorder.progress().written == 10_001);
    let (entries, stats) = read_journal(recorder.path());
    assert!(stats.is_clean());
    assert_eq!(entries.len(), 10_001);
    for (n, entry) in (0..).zip(&entries[1..]) {
        assert_eq!((entry.seq, &entry.body), (n + 1, &fork(n).body));
    }
}

#[test]
fn flush_returns_when_the_disk_equals_what_was_accepted() {
    let (_dir, _store, recorder) = started();
    for n in 0..100 {
        recorder.accept(fork(n));
    }
    let report = recorder.flush(soon());
    assert!(report.complete, "{report:?}");
    assert_eq!(
        (report.accepted, report.written, report.durable),
        (101, 101, 101)
    );
}

#[test]
fn the_enrollment_is_there_before_the_first_record_after_it() {
    let (_dir, _store, recorder) = started();
    recorder.accept(fork(1));
    assert!(recorder.enroll(enrollment("x")));
    assert!(!recorder.enroll(enrollment("y")), "the first one counts");
    recorder.accept(row(2));
    wait_for("the row", || recorder.progress().written == 3);
    let bytes = std::fs::read(recorder.path().join("enrollment.json")).expect("there");
    let read = tracer::session::enrollment::Enrollment::parse(&bytes).expect("valid");
    assert_eq!(read, enrollment("x"));
}

#[test]
fn c5_an_end_is_one_record_of_constant_size_and_everything_derived_follows() {
    let (_dir, store, recorder) = started();
    for n in 0..1_000 {
        recorder.accept(fork(n));
        recorder.accept(row(n));
    }
    let report = recorder.finish(end("the command ended"), soon());
    assert_eq!(report.end, EndOutcome::Durable, "{report:?}");
    assert!(
        report.failures.is_empty() && !report.timed_out,
        "{report:?}"
    );
    let summary = report.summary.expect("a summary");
    assert_eq!(summary["records"], 2_002);
    assert_eq!(summary["in_order"], true);

    let (entries, stats) = read_journal(recorder.path());
    assert!(stats.is_clean());
    let Body::End(last) = &entries[2_001].body else {
        panic!("no end")
    };
    assert_eq!(last.ending, ObserverEnding::Completed);
    assert_eq!((last.counts.records, last.counts.forks), (2_001, 1_000));
    let raw = std::fs::read(recorder.path().join("journal.0.jsonl")).expect("readable");
    let end_line = raw[..raw.len() - 1]
        .rsplit(|&byte| byte == b'\n')
        .next()
        .expect("a line");
    assert_eq!(end_line.len() + 1, 1_024);

    let trace = std::fs::read_to_string(recorder.path().join("proc_trace.jsonl")).expect("there");
    assert_eq!(trace.lines().count(), 1_000);
    let first: serde_json::Value =
        serde_json::from_str(trace.lines().next().expect("a row")).expect("JSON");
    assert_eq!(first["event"], "snapshot");
    assert_eq!(first["seq"], 2);
    assert_eq!(first["ts"], first["captured_at"]);
    assert_eq!(first["comm"], "pyth\"on");
    assert_eq!(first["vm_rss_kb"], 39_412);
    let on_disk: serde_json::Value = serde_json::from_slice(
        &std::fs::read(recorder.path().join("summary.json")).expect("there"),
    )
    .expect("JSON");
    assert_eq!(on_disk, summary);
    assert_eq!(index::read(&store).expect("readable"), (vec![summary], 0));
    let strays = std::fs::read_dir(recorder.path())
        .expect("readable")
        .filter(|entry| is_temporary(&entry.as_ref().expect("entry").file_name().to_string_lossy()))
        .count();
    assert_eq!(strays, 0);
}

#[test]
fn c21_what_comes_after_the_end_changes_nothing_and_is_counted() {
    let (_dir, _store, recorder) = started();
    let first = recorder.finish(end("once"), soon());
    let before = std::fs::read(recorder.path().join("journal.0.jsonl")).expect("readable");
    assert_eq!(recorder.accept(fork(1)).late, 1);
    assert!(!recorder.enroll(enrollment("late")));
    let second = recorder.finish(end("twice"), soon());
    assert_eq!(first.end, second.end);
    assert_eq!(second.late, 1);
    let path = recorder.path().to_owned();
    drop(recorder);
    assert!(std::fs::read(path.join("journal.0.jsonl")).expect("readable") == before);
}

#[test]
fn c22_c23_producers_and_finishes_may_race_and_there_is_one_end_behind_everything_accepted() {
    for round in 0..20 {
        let (_dir, _store, recorder) = started();
        let recorder = &recorder;
        let taken: u64 = std::thread::scope(|scope| {
            let producers: Vec<_> = (0..8_u64)
                .map(|producer| {
                    scope.spawn(move || {
                        (0..500)
                            .map(|n| recorder.accept(fork(producer * 1_000 + n)).taken)
                            .sum::<u64>()
                    })
                })
                .collect();
            let enders: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(move || {
                        std::thread::sleep(Duration::from_micros(50 * round));
                        recorder.finish(end("race"), soon()).end
                    })
                })
                .collect();
            for ender in enders {
                assert_eq!(ender.join().expect("no panic"), EndOutcome::Durable);
            }
            producers
                .into_iter()
                .map(|producer| producer.join().expect("no panic"))
                .sum()
        });
        let (entries, stats) = read_journal(recorder.path());
        assert!(stats.is_clean(), "{stats:?}");
        assert_eq!(
            entries.len() as u64,
            taken + 2,
            "session, what was taken, end"
        );
        assert!(
            entries
                .iter()
                .rev()
                .skip(1)
                .all(|entry| !entry.body.is_terminal())
        );
        assert!(entries[entries.len() - 1].body.is_terminal());
        // Each producer's own order is kept.
        let mut last = [0; 8];
        for entry in &entries[1..entries.len() - 1] {
            let n = entry.t.0 - 5_000_000_000;
            let producer = usize::try_from(n / 1_000).expect("small");
            assert!(n + 1 > last[producer]);
            last[producer] = n + 1;
        }
    }
}

#[test]
fn c14_a_recorder_that_is_dropped_leaves_everything_but_an_end() {
    let (_dir, _store, recorder) = started();
    for n in 0..5_000 {
        recorder.accept(fork(n));
    }
    let path = recorder.path().to_owned();
    drop(recorder);
    let (entries, stats) = read_journal(&path);
    assert!(stats.is_clean());
    assert_eq!(entries.len(), 5_001);
    assert!(!entries.iter().any(|entry| entry.body.is_terminal()));
    assert!(!path.join("summary.json").exists());
}

#[test]
fn the_tee_gets_the_same_bytes() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let copy = dir.path().join("copy");
    let sink = std::fs::File::create(&copy).expect("a file");
    let tee = Tee::spawn(Box::new(sink)).expect("a thread");
    let options = Options {
        tee: Some(tee),
        ..Options::default()
    };
    let recorder =
        Recorder::create_with(&store, info(&store), Seen::default(), options).expect("created");
    recorder.accept_all(&mut (0..3_000).map(exec).collect());
    let report = recorder.finish(end("done"), soon());
    assert_eq!(report.tee_dropped, 0);
    let journal = std::fs::read(recorder.path().join("journal.0.jsonl")).expect("there");
    assert!(std::fs::read(copy).expect("there") == journal);
}

#[test]
fn a_tee_nobody_reads_holds_up_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let tee = Tee::spawn(Box::new(writer)).expect("a thread");
    let options = Options {
        tee: Some(tee),
        ..Options::default()
    };
    let recorder =
        Recorder::create_with(&store, info(&store), Seen::default(), options).expect("created");
    let mut n = 0;
    while recorder.progress().written < 30_000 {
        if recorder.has_room() {
            recorder.accept_all(&mut (n..n + 500).map(exec).collect());
            n += 500;
        }
    }
    assert!(recorder.flush(soon()).complete);
    let begun = Instant::now();
    let report = recorder.finish(end("done"), Instant::now() + Duration::from_secs(3));
    assert!(matches!(
        report.end,
        EndOutcome::Durable | EndOutcome::Written
    ));
    assert!(begun.elapsed() < Duration::from_secs(10));
    let (entries, _) = read_journal(recorder.path());
    assert_eq!(entries.len() as u64, n + 2);
    drop(reader);
}

#[test]
fn a_full_queue_says_no_and_calls_back_when_there_is_room() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let called = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&called);
    let options = Options {
        on_room: Some(Arc::new(move || flag.store(true, Ordering::SeqCst))),
        ..Options::default()
    };
    let recorder =
        Recorder::create_with(&store, info(&store), Seen::default(), options).expect("created");
    recorder.accept_all(&mut (0..30_000).map(fork).collect());
    if !recorder.has_room() {
        wait_for("the call", || called.load(Ordering::SeqCst));
    }
    wait_for("room", || recorder.has_room());
    assert!(recorder.flush(soon()).complete);
    assert_eq!(
        recorder.progress().written,
        30_001,
        "beyond the bound, nothing is lost either"
    );
}

#[test]
fn c24_a_hundred_sessions_ending_at_once_are_a_hundred_whole_sessions() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    std::thread::scope(|scope| {
        for n in 0..100 {
            let store = &store;
            scope.spawn(move || {
                let recorder =
                    Recorder::create(store, info(store), Seen::default()).expect("created");
                recorder.accept(fork(n));
                let report = recorder.finish(end("done"), soon());
                assert_eq!(report.end, EndOutcome::Durable);
                assert!(report.failures.is_empty(), "{report:?}");
            });
        }
    });
    let ids = store.session_ids().expect("listed");
    assert_eq!(ids.len(), 100);
    for id in ids {
        let path = store.session_path(&id);
        assert!(read_journal(&path).1.is_clean());
        let mut files: Vec<_> = std::fs::read_dir(&path)
            .expect("there")
            .map(|entry| {
                entry
                    .expect("entry")
                    .file_name()
                    .into_string()
                    .expect("text")
            })
            .collect();
        files.sort();
        assert_eq!(
            files,
            [
                "journal.0.jsonl",
                "lease",
                "proc_trace.jsonl",
                "summary.json"
            ]
        );
    }
    let (rows, bad) = index::read(&store).expect("readable");
    assert_eq!((rows.len(), bad), (100, 0));
}
