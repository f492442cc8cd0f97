//! The recorder on a disk that a test makes fail, fill up, hang or vanish: the producer never waits, what
//! was lost is counted in the record itself, and it goes on by itself.

use std::time::{Duration, Instant};

use crate::{faulty::Disk, support::*};
use tracer::session::{
    derive::Fold,
    journal::record::{Body, Record},
    recorder::{EndOutcome, Notice, Options, Recorder, SessionError},
};
use tracer::units::BootNs;

fn faulty() -> (tempfile::TempDir, Disk, Recorder<Seen>) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let disk = Disk::default();
    let recorder =
        Recorder::create_with(&store, info(&store), Seen::default(), disk.options()).expect("made");
    (dir, disk, recorder)
}

fn note(t: u64) -> Record {
    Record {
        t: BootNs(t),
        body: Body::Note(Box::default()),
    }
}

#[test]
fn writes_taken_byte_by_byte_make_the_same_file() {
    let (_dir, disk, recorder) = faulty();
    disk.set(|fault| fault.at_most = Some(7));
    recorder.accept_all(&mut (0..300).map(fork).collect());
    let report = recorder.finish(end("done"), soon());
    assert_eq!(report.end, EndOutcome::Durable);
    let (entries, stats) = read_journal(recorder.path());
    assert!(stats.is_clean());
    assert_eq!(entries.len(), 302);
    assert_eq!(report.summary.expect("a summary")["records"], 302);
}

#[test]
fn a_full_disk_tears_no_line_once_there_is_room_and_the_last_event_lands_by_itself() {
    for room in [0, 1, 100, 5_000] {
        let (_dir, disk, recorder) = faulty();
        disk.set(|fault| fault.room = Some(room));
        recorder.accept_all(&mut (0..2_000).map(fork).collect());
        wait_for("a failed write", || {
            disk.0.0.lock().expect("not poisoned").room == Some(0) && !recorder.notices().is_empty()
        });
        let partial = read_journal(recorder.path());
        assert!(partial.1.bad_lines == 0 && partial.0.len() < 2_000);
        disk.set(|fault| fault.room = None);
        wait_for("the last event", || recorder.progress().written == 2_001);
        let (entries, stats) = read_journal(recorder.path());
        assert!(stats.is_clean(), "{stats:?}");
        assert_eq!(entries.len(), 2_001);
        let told = recorder.notices();
        assert_eq!(
            told,
            [Notice::WriteResumed { dropped: 0 }],
            "the failure was told before"
        );
    }
}

#[test]
fn r1_whatever_a_disk_refuses_with_is_told_once_and_the_record_goes_on_by_itself() {
    for errno in [
        libc::ENOSPC,
        libc::EDQUOT,
        libc::EIO,
        libc::EROFS,
        libc::EFBIG,
        libc::ESTALE,
        libc::EAGAIN,
    ] {
        let (_dir, disk, recorder) = faulty();
        disk.set(|fault| fault.refusal = Some(errno));
        let mut told = Vec::new();
        for n in 0..100 {
            assert_eq!(recorder.accept(fork(n)).taken, 1);
        }
        wait_for("the failure", || {
            told.extend(recorder.notices());
            !told.is_empty()
        });
        let said = std::io::Error::from_raw_os_error(errno).to_string();
        let flushed = recorder.flush(Instant::now() + Duration::from_millis(60));
        assert!(!flushed.complete && recorder.is_failing(), "{said}");
        told.extend(recorder.notices());
        let [Notice::WriteFailed { error, .. }] = &told[..] else {
            panic!("{said}: {told:?}");
        };
        assert_eq!(*error, said);
        disk.set(|fault| fault.refusal = None);
        wait_for("the last event", || recorder.progress().written == 101);
        assert_eq!(recorder.notices(), [Notice::WriteResumed { dropped: 0 }]);
        let report = recorder.finish(end("done"), soon());
        assert_eq!((report.end, report.dropped), (EndOutcome::Durable, 0));
        let (entries, stats) = read_journal(recorder.path());
        assert_eq!((entries.len(), stats.is_clean()), (102, true), "{said}");
    }
}

#[test]
fn r1_what_a_full_queue_leaves_out_while_the_disk_fails_is_a_gap_in_the_record() {
    let (_dir, disk, recorder) = faulty();
    disk.set(|fault| fault.room = Some(0));
    recorder.accept(fork(0));
    wait_for("the failure", || !recorder.notices().is_empty());
    let (mut taken, mut dropped, mut n) = (1, 0, 1);
    while dropped < 1_000 {
        assert!(
            recorder.has_room(),
            "waiting for a disk that fails helps nobody"
        );
        let accepted = recorder.accept_all(&mut (n..n + 500).map(fork).collect());
        taken += accepted.taken;
        dropped += accepted.dropped;
        n += 500;
    }
    assert_eq!(
        recorder.accept(note(9)).taken,
        1,
        "what steers a reader goes beyond the bound"
    );
    disk.set(|fault| fault.room = None);
    wait_for("the rest", || {
        let progress = recorder.progress();
        progress.written == progress.accepted
    });
    recorder.accept(fork(n));
    let report = recorder.finish(end("done"), soon());
    assert_eq!((report.end, report.dropped), (EndOutcome::Durable, dropped));
    let (entries, stats) = read_journal(recorder.path());
    assert!(stats.is_clean(), "{stats:?}");
    let gaps: Vec<_> = entries
        .iter()
        .filter_map(|entry| {
            if let Body::Gap(gap) = &entry.body {
                Some(gap)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(gaps.len(), 1);
    assert_eq!(gaps[0].dropped, dropped);
    assert!(
        gaps[0].reason.starts_with("write_failed: "),
        "{}",
        gaps[0].reason
    );
    assert_eq!(gaps[0].first_t, fork(taken).t);
    assert_eq!(gaps[0].last_t, fork(n - 1).t);
    let forks = entries
        .iter()
        .filter(|entry| entry.body.kind() == "fork")
        .count() as u64;
    assert_eq!(
        forks + dropped,
        n + 1,
        "each event is in the record or in its gap"
    );
    let Body::End(last) = &entries[entries.len() - 1].body else {
        panic!("no end")
    };
    assert_eq!((last.counts.dropped, last.counts.forks), (dropped, forks));
}

#[test]
fn n12_r22_a_disk_that_hangs_stops_neither_producer_nor_flush_nor_finish() {
    let (_dir, disk, recorder) = faulty();
    disk.set(|fault| fault.hold = true);
    recorder.accept(fork(0));
    wait_for("the hang", || disk.is_waiting());
    let begun = Instant::now();
    let mut n = 1;
    let mut slowest = Duration::ZERO;
    let mut dropped = 0;
    while begun.elapsed() < Duration::from_millis(1_500) || dropped == 0 {
        let before = Instant::now();
        if recorder.has_room() {
            dropped += recorder
                .accept_all(&mut (n..n + 200).map(fork).collect())
                .dropped;
            n += 200;
        }
        slowest = slowest.max(before.elapsed());
    }
    // The gate stays shut: who waited for the disk would wait for ever.
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    assert!(
        recorder
            .notices()
            .iter()
            .any(|notice| matches!(notice, Notice::Stuck { .. }))
    );

    let before = Instant::now();
    let report = recorder.flush(before + Duration::from_millis(50));
    assert!(!report.complete && before.elapsed() < Duration::from_secs(5));
    let before = Instant::now();
    let report = recorder.finish(end("done"), before + Duration::from_millis(50));
    assert!(report.timed_out && before.elapsed() < Duration::from_secs(5));
    assert_eq!(
        report.end,
        EndOutcome::NotWritten("the disk does not answer".to_owned())
    );
    let (entries, _) = read_journal(recorder.path());
    assert_eq!(
        entries.len(),
        1,
        "nothing but the session record ever reached this disk"
    );
    disk.set(|fault| fault.hold = false);
}

#[test]
fn c20_a_write_held_at_a_gate_while_the_end_is_asked_for_still_comes_before_it() {
    let (_dir, disk, recorder) = faulty();
    disk.set(|fault| fault.hold = true);
    recorder.accept_all(&mut (0..50).map(fork).collect());
    wait_for("the gate", || disk.is_waiting());
    recorder.accept(fork(50));
    let report = std::thread::scope(|scope| {
        let ender = scope.spawn(|| recorder.finish(end("done"), soon()));
        wait_for("the end to be asked for", || {
            recorder.accept(fork(99)).late == 1
        });
        disk.set(|fault| fault.hold = false);
        ender.join().expect("no panic")
    });
    assert_eq!(report.end, EndOutcome::Durable);
    let (entries, stats) = read_journal(recorder.path());
    assert!(stats.is_clean());
    let kinds: Vec<_> = entries.iter().map(|entry| entry.body.kind()).collect();
    assert_eq!((kinds[51], kinds[kinds.len() - 1]), ("fork", "end"));
}

#[test]
fn an_end_that_is_written_and_not_yet_synced_is_reported_as_written() {
    let (_dir, disk, recorder) = faulty();
    recorder.accept(fork(0));
    assert!(recorder.flush(soon()).complete);
    disk.set(|fault| fault.hold_sync = true);
    let report = recorder.finish(end("done"), Instant::now() + Duration::from_millis(1_500));
    assert!(report.timed_out);
    assert_eq!(report.end, EndOutcome::Written);
    let (entries, _) = read_journal(recorder.path());
    assert!(entries[2].body.is_terminal());
    disk.set(|fault| fault.hold_sync = false);
}

#[test]
fn a_disk_that_fails_to_the_end_leaves_an_interrupted_session_and_says_so_in_time() {
    let (_dir, disk, recorder) = faulty();
    recorder.accept(fork(0));
    assert!(recorder.flush(soon()).complete);
    disk.set(|fault| fault.room = Some(20));
    recorder.accept(fork(1));
    let before = Instant::now();
    let report = recorder.finish(end("done"), before + Duration::from_millis(300));
    assert!(before.elapsed() < Duration::from_secs(5));
    assert!(
        matches!(report.end, EndOutcome::NotWritten(_)),
        "{report:?}"
    );
    let (entries, stats) = read_journal(recorder.path());
    assert_eq!((entries.len(), stats.torn), (2, 20));
    assert!(!entries.iter().any(|entry| entry.body.is_terminal()));
}

#[test]
fn after_a_failed_sync_nothing_is_called_durable() {
    let (_dir, disk, recorder) = faulty();
    disk.set(|fault| fault.sync = Some(libc::EIO));
    recorder.accept(fork(0));
    let before = Instant::now();
    let report = recorder.flush(before + Duration::from_secs(20));
    assert!(
        !report.complete && before.elapsed() < Duration::from_secs(10),
        "{report:?}"
    );
    disk.set(|fault| fault.sync = None);
    assert!(
        !recorder.flush(soon()).complete,
        "the kernel has forgotten the failed pages"
    );
    let told = recorder.notices();
    assert!(matches!(told[..], [Notice::SyncFailed { .. }]), "{told:?}");
    let report = recorder.finish(end("done"), soon());
    assert_eq!(report.end, EndOutcome::Written);
}

#[test]
fn r1_a_session_whose_directory_is_removed_is_told_and_ends() {
    let (_dir, _disk, recorder) = faulty();
    std::fs::remove_dir_all(recorder.path()).expect("removed");
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let recorder = {
        drop(recorder);
        Recorder::create(&store, info(&store), Seen::default()).expect("made")
    };
    std::fs::remove_dir_all(recorder.path()).expect("removed");
    recorder.accept(fork(0));
    assert!(recorder.enroll(enrollment("x")));
    let mut told = Vec::new();
    wait_for("the notices", || {
        told.extend(recorder.notices());
        told.len() == 2
    });
    assert!(matches!(told[0], Notice::Removed { .. }), "{told:?}");
    assert!(
        matches!(told[1], Notice::EnrollmentFailed { .. }),
        "{told:?}"
    );
    let report = recorder.finish(end("done"), Instant::now() + Duration::from_secs(2));
    let missing: Vec<_> = report.failures.iter().map(|failure| failure.file).collect();
    assert_eq!(
        missing,
        ["enrollment.json", "proc_trace.jsonl", "summary.json"]
    );
    assert_eq!(
        report.end,
        EndOutcome::Durable,
        "an enrollment that fails does not hold up the end"
    );
    assert_eq!(report.summary.expect("from memory")["records"], 3);
}

#[test]
fn a_disk_that_hangs_at_the_start_is_given_up_and_leaves_nothing_when_it_comes_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let disk = Disk::default();
    disk.set(|fault| fault.hold = true);
    let options = Options {
        start_deadline: Duration::from_millis(50),
        ..disk.options()
    };
    let refused = Recorder::create_with(&store, info(&store), Seen::default(), options);
    assert!(matches!(refused.err(), Some(SessionError::Stuck { .. })));
    disk.set(|fault| fault.hold = false);
    wait_for("the clean-up", || {
        store.session_ids().expect("listed").is_empty()
    });
}

/// Panics at its tenth record.
#[derive(Default)]
struct Clumsy(u64);

impl Fold for Clumsy {
    type Output = ();

    fn apply(&mut self, _seq: u64, _t: BootNs, _body: &Body) {
        self.0 += 1;
        assert!(self.0 < 10, "this panic belongs to a test");
    }

    fn finish(self) {}

    fn index_row((): &()) -> serde_json::Value {
        serde_json::Value::Null
    }
}

#[test]
fn a_fold_that_panics_costs_the_summary_and_not_the_record() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let recorder = Recorder::create(&store, info(&store), Clumsy::default()).expect("made");
    for n in 0..20_000 {
        recorder.accept(fork(n));
    }
    let report = recorder.finish(end("done"), soon());
    assert_eq!((report.end, report.summary), (EndOutcome::Durable, None));
    assert_eq!(
        report.failures.len(),
        1,
        "summary.json: {:?}",
        report.failures
    );
    let (entries, stats) = read_journal(recorder.path());
    assert!(stats.is_clean());
    assert_eq!(entries.len(), 20_002);
}
