//! The end of a session, asked for once, often, or by many at a time.

use std::time::{Duration, Instant};

use tracer::session::{
    journal::record::Body,
    recorder::{EndOutcome, Recorder},
    status::{Status, examine},
};

use crate::support::*;

#[test]
fn c23_finishing_many_times_and_from_many_threads_writes_one_end_and_tells_all_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let info = left(&store, 5);
    let (recorder, _) = reopen(&store, &info);
    recorder.accept_all(&mut (0..1_000).map(fork).collect());
    let causes: Vec<_> = (0..16).map(|n| format!("cause {n}")).collect();
    let reports: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = causes
            .iter()
            .map(|cause| scope.spawn(|| recorder.finish(end(cause), soon())))
            .collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().expect("no panic");
        threads.into_iter().map(join).collect()
    });
    let again = recorder.finish(end("once more"), soon());
    for report in reports.iter().chain([&again]) {
        assert_eq!(report.end, EndOutcome::Durable);
        assert_eq!(report.summary, again.summary);
        assert_eq!(report.progress, again.progress);
    }
    let (seen, standing) = replayed(&store, &info.session_id);
    assert_eq!((seen.kinds["end"], seen.kinds["fork"]), (1, 1_005));
    let Body::End(one) = standing.end.expect("ended").body else {
        panic!("an end");
    };
    assert!(causes.contains(&one.cause), "{}", one.cause);
}

#[test]
fn c21_c29_ending_closes_the_intake_then_drains_the_queue_then_writes_the_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let disk = crate::faulty::Disk::default();
    let info = info(&store);
    let recorder =
        Recorder::create_with(&store, info.clone(), Seen::default(), disk.options()).expect("made");
    disk.set(|fault| fault.hold = true);
    recorder.accept_all(&mut (0..500).map(fork).collect());
    wait_for("the write", || disk.is_waiting());
    let report = std::thread::scope(|scope| {
        let ending = scope.spawn(|| recorder.finish(end("asked"), soon()));
        // The intake is closed from the moment the end is asked for, whatever the disk does.
        wait_for("a closed intake", || recorder.accept(row(7)).late == 1);
        assert!(!recorder.enroll(enrollment(info.session_id.as_str())));
        disk.set(|fault| fault.hold = false);
        ending.join().expect("no panic")
    });
    assert_eq!(report.end, EndOutcome::Durable);
    let (seen, standing) = replayed(&store, &info.session_id);
    let rows = seen.kinds.get("snapshot").copied().unwrap_or(0);
    assert_eq!(
        (seen.kinds["fork"], seen.seqs.len() as u64),
        (500, 502 + rows)
    );
    assert_eq!(
        standing.end.expect("ended").seq,
        501 + rows,
        "behind everything accepted"
    );
    let before = bytes(recorder.path(), "journal.0.jsonl");
    assert_eq!(recorder.accept(fork(9)).late, 1);
    assert!(recorder.finish(end("again"), soon()).late > report.late);
    assert_eq!(bytes(recorder.path(), "journal.0.jsonl"), before);
}

#[test]
fn r3_the_path_is_the_same_before_during_and_after() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let info = info(&store);
    let before = store.session_path(&info.session_id);
    let recorder = Recorder::create(&store, info.clone(), Seen::default()).expect("made");
    assert_eq!(recorder.path(), before);
    let session = store.existing_session(&info.session_id).expect("there");
    assert_eq!(session.path(), before);
    let _report = recorder.finish(end("done"), soon());
    assert_eq!(recorder.path(), before);
    drop(recorder);
    let (again, _) = reopen(&store, &info);
    assert_eq!(again.path(), before);
}

#[test]
fn n5_an_end_that_comes_after_its_deadline_is_one_end_and_told_as_it_is() {
    for step in 0..3 {
        let dir = tempfile::tempdir().expect("a directory");
        let store = store_in(dir.path());
        let disk = crate::faulty::Disk::default();
        let info = info(&store);
        let recorder = Recorder::create_with(&store, info.clone(), Seen::default(), disk.options());
        let recorder = recorder.expect("made");
        recorder.accept(fork(1));
        assert!(recorder.flush(soon()).complete);
        // Held before its append, before its sync, or not at all.
        if step < 2 {
            disk.set(|fault| fault.hold_after = Some(fault.effects + step));
        }
        let report = recorder.finish(end("done"), Instant::now() + Duration::from_millis(300));
        match (step, &report.end) {
            (0, EndOutcome::NotWritten(_)) | (1, EndOutcome::Written) => assert!(report.timed_out),
            (2, EndOutcome::Durable) => {}
            _ => panic!("step {step}: {report:?}"),
        }
        disk.set(|fault| fault.hold_after = None);
        let mut last = None;
        wait_for("the late end", || {
            let report = recorder.finish(end("once more"), soon());
            let done = !report.timed_out;
            last = Some(report);
            done
        });
        let told = last.expect("a report").end;
        let dir = store.existing_session(&info.session_id).expect("there");
        let ended = matches!(examine(&dir).status, Status::Ended(_));
        let says = matches!(told, EndOutcome::Durable | EndOutcome::Written);
        assert_eq!(says, ended, "step {step}: {told:?}");
        let (entries, stats) = read_journal(recorder.path());
        let ends = entries.iter().filter(|entry| entry.body.is_terminal());
        assert_eq!(ends.count(), usize::from(ended));
        assert!(stats.is_clean(), "{stats:?}");
    }
}
