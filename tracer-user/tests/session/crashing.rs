//! Crashes told to a recorder: what the record says of them, and that it has all that was accepted.

use std::time::{Duration, Instant};

use tracer::session::{
    crash::{told, words::LastWords},
    journal::record::{Body, Crash, ObserverEnding},
    recorder::{EndOutcome, Notice, Recorder},
    status::{Status, examine},
};

use crate::{faulty::Disk, support::*};

pub(crate) struct Case {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: tracer::session::Store,
    pub(crate) disk: Disk,
    pub(crate) recorder: Recorder<Seen>,
}

pub(crate) fn case() -> Case {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let disk = Disk::default();
    let recorder = Recorder::create_with(&store, info(&store), Seen::default(), disk.options());
    Case {
        recorder: recorder.expect("made"),
        dir,
        store,
        disk,
    }
}

pub(crate) fn crash() -> Crash {
    told("SIGTEST", "told by a test")
}

/// The causes of all terminal records, in order: "end" or a crash's.
pub(crate) fn endings(recorder: &Recorder<Seen>) -> Vec<String> {
    let (entries, stats) = read_journal(recorder.path());
    assert_eq!(
        (stats.bad_lines, stats.missing, stats.torn),
        (0, 0, 0),
        "{stats:?}"
    );
    let endings = entries.iter().filter_map(|entry| match &entry.body {
        Body::End(_) => Some("end".to_owned()),
        Body::Crash(crash) => Some(crash.cause.clone()),
        _ => None,
    });
    endings.collect()
}

pub(crate) fn status(case: &Case) -> Status {
    let id = case.store.session_ids().expect("listed")[0];
    examine(&case.store.existing_session(&id).expect("there")).status
}

pub(crate) fn last_words(recorder: &Recorder<Seen>) -> Vec<LastWords> {
    let lease = std::fs::read(recorder.path().join("lease")).expect("there");
    lease
        .split(|&byte| byte == b'\n')
        .filter_map(LastWords::parse)
        .collect()
}

/// Tells the crash from another thread while the disk is held, and opens the gate when it is known.
#[test]
fn c8_c9_a_crash_has_its_cause_its_time_and_its_place_and_everything_before_it_is_readable() {
    let case = case();
    case.recorder.accept_all(&mut (0..500).map(fork).collect());
    let boot_ns = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).expect("positive")
    };
    let before = boot_ns();
    let report = case.recorder.crash(&crash(), soon());
    let (entries, _) = read_journal(case.recorder.path());
    let last = &entries[501];
    assert_eq!(last.body, Body::Crash(Box::new(crash())));
    assert_eq!(last.seq, 501, "the last record before it was 500");
    assert!((before..boot_ns()).contains(&last.t.0));
    for (n, entry) in (0..500).zip(&entries[1..]) {
        assert_eq!(entry.body, fork(n).body);
    }
    // c17: what is derived is there.
    assert_eq!(report.summary.expect("a summary")["records"], 502);
    assert!(case.recorder.path().join("summary.json").exists());
}

#[test]
fn c12_a_crash_without_a_cause_gets_one() {
    let case = case();
    let _report = case.recorder.crash(&told("", ""), soon());
    assert_eq!(endings(&case.recorder), ["unknown"]);
}

#[test]
fn c15_c16_c23_of_many_crashes_and_ends_one_record_decides_and_all_are_told_the_same() {
    let case = case();
    case.disk.set(|fault| fault.hold = true);
    case.recorder.accept(fork(1));
    let recorder = &case.recorder;
    let reports: Vec<_> = std::thread::scope(|scope| {
        let first = scope.spawn(|| recorder.crash(&crash(), soon()));
        wait_for("the first crash", || recorder.has_crashed());
        let others: Vec<_> = (0..4)
            .flat_map(|n| {
                let again = told("SIGLATER", &format!("{n}"));
                [
                    scope.spawn(move || recorder.crash(&again, soon())),
                    scope.spawn(|| recorder.finish(end("done"), soon())),
                ]
            })
            .collect();
        wait_for("the others", || recorder.crashes_told() == 5);
        case.disk.set(|fault| fault.hold = false);
        let all = std::iter::once(first).chain(others);
        all.map(|thread| thread.join().expect("no panic")).collect()
    });
    for report in &reports {
        assert_eq!(
            (&report.end, report.later_crashes),
            (&EndOutcome::Durable, 4)
        );
        assert_eq!(report.crash, Some(crash()));
        assert_eq!(report.summary, reports[0].summary);
    }
    assert_eq!(endings(recorder), ["SIGTEST"]);
    let (entries, _) = read_journal(recorder.path());
    let mut notes: Vec<_> = entries
        .iter()
        .filter_map(|entry| match &entry.body {
            Body::Note(note) => Some(note.data["detail"].as_str().expect("text").to_owned()),
            _ => None,
        })
        .collect();
    notes.sort();
    assert_eq!(notes, ["0", "1", "2", "3"]);
}

#[test]
fn c11_c21_a_crash_or_an_event_after_the_end_changes_no_byte_of_the_journal() {
    let case = case();
    assert_eq!(
        case.recorder.finish(end("done"), soon()).end,
        EndOutcome::Durable
    );
    let journal = || std::fs::read(case.recorder.path().join("journal.0.jsonl")).expect("there");
    let before = journal();
    assert_eq!(case.recorder.accept(fork(1)).late, 1);
    let report = case.recorder.crash(&crash(), soon());
    assert_eq!((report.crash, report.later_crashes), (None, 1));
    assert!(journal() == before);
    assert_eq!(last_words(&case.recorder)[0].crash, crash());
    let Status::Ended(entry) = status(&case) else {
        panic!("{:?}", status(&case))
    };
    let Body::End(end) = entry.body else { panic!() };
    assert_eq!(end.ending, ObserverEnding::Completed);
}

#[test]
fn a_crash_that_the_journal_cannot_take_is_in_the_lease() {
    let case = case();
    assert!(case.recorder.flush(soon()).complete);
    case.disk.set(|fault| fault.room = Some(0));
    let deadline = Instant::now() + Duration::from_millis(300);
    let report = case.recorder.crash(&crash(), deadline);
    assert!(
        matches!(report.end, EndOutcome::NotWritten(_)),
        "{report:?}"
    );
    let words = last_words(&case.recorder);
    assert_eq!((words.len(), &words[0].crash), (1, &crash()));
    assert_eq!((words[0].epoch, words[0].last_written), (0, 0));
}

#[test]
fn a_panic_of_the_recorders_own_thread_costs_nothing_that_was_accepted() {
    let case = case();
    case.disk.set(|fault| fault.panics = 1);
    case.recorder
        .accept_all(&mut (0..2_000).map(fork).collect());
    wait_for("the crash", || case.recorder.has_crashed());
    let report = case.recorder.finish(end("done"), soon());
    assert_eq!(report.end, EndOutcome::Durable);
    let crash = report.crash.expect("it decides");
    assert_eq!(crash.cause, "panic");
    assert!(
        crash
            .detail
            .starts_with("the disk's own panic, in recorder at "),
        "{crash:?}"
    );
    assert_eq!(endings(&case.recorder), ["panic"]);
    assert_eq!(read_journal(case.recorder.path()).0.len(), 2_002);
    let told = case.recorder.notices();
    assert!(matches!(told[0], Notice::Panicked { .. }), "{told:?}");
}

#[test]
fn a_recorder_that_panics_again_and_again_gives_up_and_says_so_in_the_lease() {
    let case = case();
    assert!(case.recorder.flush(soon()).complete);
    case.disk.set(|fault| fault.panics = u32::MAX);
    case.recorder.accept_all(&mut (0..100).map(fork).collect());
    wait_for("the crash", || case.recorder.has_crashed());
    let report = case.recorder.finish(end("done"), soon());
    assert!(!report.timed_out, "{report:?}");
    assert!(
        matches!(report.end, EndOutcome::NotWritten(_)),
        "{report:?}"
    );
    assert_eq!(last_words(&case.recorder)[0].crash.cause, "panic");
    assert_eq!(
        read_journal(case.recorder.path()).0.len(),
        1,
        "what was acknowledged"
    );
}

#[test]
fn c6_a_crash_of_one_session_leaves_the_others_alone() {
    let (one, other) = (case(), case());
    for n in 0..50 {
        one.recorder.accept(fork(n));
        other.recorder.accept(fork(n));
    }
    let _report = one.recorder.crash(&crash(), soon());
    assert!(!other.recorder.has_crashed());
    assert_eq!(other.recorder.accept(fork(50)).taken, 1);
    assert_eq!(
        other.recorder.finish(end("done"), soon()).end,
        EndOutcome::Durable
    );
    assert_eq!(endings(&other.recorder), ["end"]);
    assert_eq!(endings(&one.recorder), ["SIGTEST"]);
    drop((one.dir, other.dir));
}

#[test]
fn c10_a_panic_of_any_thread_ends_the_sessions_that_watch_for_it_and_no_others() {
    // Nobody watches yet.
    let calm = std::thread::spawn(|| panic!("before anything"));
    assert!(calm.join().is_err());
    let (watched, other) = (case(), case());
    let watching = watched.recorder.watch_panics();
    watched
        .recorder
        .accept_all(&mut (0..3_000).map(fork).collect());
    let thread = std::thread::Builder::new().name("worker 7".to_owned());
    let thread = thread
        .spawn(|| panic!("something {}", "unforeseen"))
        .expect("a thread");
    assert!(thread.join().is_err());
    // When the thread is gone, the record is there already.
    assert_eq!(endings(&watched.recorder), ["panic"]);
    let (entries, _) = read_journal(watched.recorder.path());
    assert_eq!(entries.len(), 3_002);
    let Body::Crash(crash) = &entries[3_001].body else {
        panic!()
    };
    let said = "something unforeseen, in worker 7 at ";
    assert!(crash.detail.starts_with(said), "{crash:?}");
    assert!(!other.recorder.has_crashed());
    drop(watching);
    // A contained one is a value.
    let value = tracer::session::crash::panics::contain(|| panic!("kept in"));
    assert!(value.expect_err("a panic").said.starts_with("kept in, in "));
    assert_eq!(
        other.recorder.finish(end("done"), soon()).end,
        EndOutcome::Durable
    );
}

#[test]
fn a_deadline_that_is_brought_forward_is_kept_by_whoever_waits() {
    let case = case();
    case.disk.set(|fault| fault.hold = true);
    case.recorder.accept(fork(1));
    let hurry = case.recorder.hurry();
    let begun = Instant::now();
    let report = std::thread::scope(|scope| {
        let ending = scope.spawn(|| case.recorder.finish(end("done"), soon()));
        wait_for("the gate", || case.disk.is_waiting());
        // The end may not have been asked for yet: hurrying then means nothing.
        wait_for("the end to be hurried", || {
            hurry.by(Instant::now());
            ending.is_finished()
        });
        ending.join().expect("no panic")
    });
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(report.timed_out);
    assert!(
        matches!(report.end, EndOutcome::NotWritten(_)),
        "{report:?}"
    );
    case.disk.set(|fault| fault.hold = false);
}
