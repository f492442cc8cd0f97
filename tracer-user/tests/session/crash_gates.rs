//! Crashes told at every moment of a recorder's life, by gates in its file and by chance: which record
//! ends the session.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use tracer::session::{
    journal::record::Body,
    recorder::{EndOutcome, FinishReport},
    status::Status,
};

use crate::{crashing::*, faulty::Disk, support::*};

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
