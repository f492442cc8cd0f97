//! Crashes told to a recorder at every moment: which ending the record has, and that it has all that was
//! accepted.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use tracer::session::{
    crash::{told, words::LastWords},
    journal::record::{Body, Crash, ObserverEnding},
    recorder::{EndOutcome, FinishReport, Notice, Recorder},
    status::{Status, examine},
};

use crate::{faulty::Disk, support::*};

struct Case {
    dir: tempfile::TempDir,
    store: tracer::session::Store,
    disk: Disk,
    recorder: Recorder<Seen>,
}

fn case() -> Case {
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

fn crash() -> Crash {
    told("SIGTEST", "told by a test")
}

/// The causes of all terminal records, in order: "end" or a crash's.
fn endings(recorder: &Recorder<Seen>) -> Vec<String> {
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

fn status(case: &Case) -> Status {
    let id = case.store.session_ids().expect("listed")[0];
    examine(&case.store.existing_session(&id).expect("there")).status
}

fn last_words(recorder: &Recorder<Seen>) -> Vec<LastWords> {
    let lease = std::fs::read(recorder.path().join("lease")).expect("there");
    lease
        .split(|&byte| byte == b'\n')
        .filter_map(LastWords::parse)
        .collect()
}

/// Tells the crash from another thread while the disk is held, and opens the gate when it is known.
fn crash_at_the_gate(case: &Case, work: impl FnOnce() + Send) -> FinishReport<serde_json::Value> {
    std::thread::scope(|scope| {
        scope.spawn(work);
        wait_for("the gate", || case.disk.is_waiting());
        let crashed = scope.spawn(|| case.recorder.crash(&crash(), soon()));
        wait_for("the crash to be known", || {
            case.recorder.crashes_told() == 1
        });
        case.disk.set(|fault| {
            fault.hold = false;
            fault.hold_after = None;
        });
        crashed.join().expect("no panic")
    })
}

#[test]
fn c1_a_crash_told_while_a_file_effect_is_held_decides_when_the_gate_opens() {
    // An append of events, with nobody asking to end.
    let case = case();
    case.disk.set(|fault| fault.hold = true);
    case.recorder.accept_all(&mut (0..100).map(fork).collect());
    let report = crash_at_the_gate(&case, || ());
    assert_eq!(report.end, EndOutcome::Durable);
    assert_eq!(report.crash, Some(crash()));
    assert_eq!(endings(&case.recorder), ["SIGTEST"]);
    let Status::Ended(entry) = status(&case) else {
        panic!("{:?}", status(&case))
    };
    assert_eq!(
        (entry.seq, entry.body),
        (101, Body::Crash(Box::new(crash())))
    );
}

#[test]
fn c5_n1_a_crash_at_every_step_of_finishing_decides_until_the_end_is_in_the_file() {
    // The steps of an undisturbed end, and at which of them it counts.
    let steps = |disk: &Disk| disk.0.0.lock().expect("intact").effects;
    let calm = case();
    calm.recorder.accept(fork(1));
    assert!(calm.recorder.flush(soon()).complete);
    let before = steps(&calm.disk);
    assert_eq!(
        calm.recorder.finish(end("done"), soon()).end,
        EndOutcome::Durable
    );
    let all = steps(&calm.disk) - before;
    assert!(all >= 2, "{all}");

    let mut endings_seen = Vec::new();
    for step in 0..all {
        let case = case();
        case.recorder.accept(fork(1));
        assert!(case.recorder.flush(soon()).complete);
        let base = steps(&case.disk);
        case.disk.set(|fault| fault.hold_after = Some(base + step));
        let report = crash_at_the_gate(&case, || {
            let _report = case.recorder.finish(end("done"), soon());
        });
        let ended = endings(&case.recorder);
        assert_eq!(ended.len(), 1, "step {step}: {ended:?}");
        let words = last_words(&case.recorder);
        if ended[0] == "end" {
            assert_eq!((report.crash.as_ref(), report.later_crashes), (None, 1));
            assert_eq!(words.len(), 1, "c11: the lease says what came too late");
            assert_eq!(words[0].crash, crash());
        } else {
            assert_eq!(report.crash, Some(crash()));
            assert!(words.is_empty());
        }
        assert!(report.failures.is_empty(), "{report:?}");
        endings_seen.push(ended[0].clone());
    }
    // The append of the end itself gives way, the sync after it does not.
    assert_eq!(endings_seen, ["SIGTEST", "end"]);
}

#[test]
fn c2_producers_and_a_crash_at_any_instant_give_no_other_ending() {
    for round in 0..200_u64 {
        let case = case();
        let Case { recorder, .. } = &case;
        let stop = AtomicBool::new(false);
        let taken = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for producer in 0..3_u64 {
                let (stop, taken) = (&stop, &taken);
                scope.spawn(move || {
                    for n in 0..3_000 {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let record = fork(producer * 1_000_000 + n);
                        taken.fetch_add(recorder.accept(record).taken, Ordering::Relaxed);
                    }
                });
            }
            // A clean end races with it in every other round.
            let ender = scope.spawn(|| {
                (round % 2 == 0).then(|| recorder.finish(end("race"), soon()));
            });
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_micros(round * 7 % 900) {
                std::hint::spin_loop();
            }
            let report = recorder.crash(&crash(), soon());
            stop.store(true, Ordering::Relaxed);
            ender.join().expect("no panic");
            assert_eq!(report.end, EndOutcome::Durable, "{report:?}");
        });
        let (entries, stats) = read_journal(recorder.path());
        assert!(stats.is_clean(), "{stats:?}");
        let last = &entries[entries.len() - 1].body;
        let crashed = matches!(last, Body::Crash(_));
        assert!(
            crashed || (round % 2 == 0 && last.is_terminal()),
            "round {round}: {last:?}"
        );
        assert_eq!(
            entries.len() as u64,
            taken.into_inner() + 2,
            "round {round}"
        );
        let terminal = entries.iter().filter(|entry| entry.body.is_terminal());
        assert_eq!(terminal.count(), 1);
    }
}

#[test]
fn c5_finishing_a_large_recording_writes_a_few_lines_before_it_counts_as_ended() {
    let case = case();
    let mut n = 0;
    while case.disk.0.0.lock().expect("intact").appended < 50 << 20 {
        wait_for("room", || case.recorder.has_room());
        case.recorder
            .accept_all(&mut (n..n + 4_000).map(fork).collect());
        n += 4_000;
    }
    assert!(case.recorder.flush(soon()).complete);
    let before = case.disk.0.0.lock().expect("intact").appended;
    let report = case.recorder.crash(&crash(), soon());
    assert_eq!(report.end, EndOutcome::Durable);
    let written = case.disk.0.0.lock().expect("intact").appended - before;
    assert!(written < 1_024, "{written} bytes");
}

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
fn an_end_that_the_disk_refuses_gives_way_to_a_crash() {
    let case = case();
    assert!(case.recorder.flush(soon()).complete);
    case.disk.set(|fault| fault.room = Some(0));
    let report = std::thread::scope(|scope| {
        scope.spawn(|| case.recorder.finish(end("done"), soon()));
        wait_for("the refusal", || case.recorder.is_failing());
        let crashed = scope.spawn(|| case.recorder.crash(&crash(), soon()));
        wait_for("the crash", || case.recorder.has_crashed());
        case.disk.set(|fault| fault.room = None);
        crashed.join().expect("no panic")
    });
    assert_eq!(
        (report.end, report.crash),
        (EndOutcome::Durable, Some(crash()))
    );
    assert_eq!(endings(&case.recorder), ["SIGTEST"]);
}

#[test]
fn an_end_of_which_a_part_is_in_the_file_is_finished_and_not_torn_by_a_crash() {
    let case = case();
    assert!(case.recorder.flush(soon()).complete);
    case.disk.set(|fault| fault.room = Some(100));
    let report = std::thread::scope(|scope| {
        scope.spawn(|| case.recorder.finish(end("done"), soon()));
        wait_for("the refusal", || case.recorder.is_failing());
        let crashed = scope.spawn(|| case.recorder.crash(&crash(), soon()));
        wait_for("the crash", || case.recorder.crashes_told() == 1);
        case.disk.set(|fault| fault.room = None);
        crashed.join().expect("no panic")
    });
    assert_eq!((report.end, report.crash), (EndOutcome::Durable, None));
    assert_eq!(endings(&case.recorder), ["end"]);
    assert_eq!(last_words(&case.recorder).len(), 1);
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
    case.disk.set(|fault| fault.panic = true);
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
