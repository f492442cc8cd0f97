//! A session's life at its edges: begun again, given up, resumed, ended and removed.

use std::time::{Duration, Instant};

use tracer::session::{
    epochs::{self, EpochsError},
    journal::{
        info::FORMAT,
        record::{Body, Note, Record},
    },
    list::look,
    processes::Processes,
    recorder::{EndOutcome, Options, Recorder, SessionError},
    recover::{Outcome, gates::Gate},
    remove::{Which, remove},
    store::SessionClaim,
    summary::Summarizer,
    verify::verify,
};
use tracer::units::{BootNs, ProcKey};

use crate::{crashed, crashing::crash, faulty::Disk, made::*, support::*};

/// The end of a process with this pid and wait status, at this moment.
fn gone(n: u64, pid: u32, status: u32) -> Record {
    let mut record = exit(n);
    if let Body::Event(tracer::event::EventKind::Exit(exit)) = &mut record.body {
        exit.process = process(pid);
        exit.status = status;
    }
    record
}

/// Every file of a session with its bytes.
fn all(store: &tracer::session::Store, id: &tracer::session::SessionId) -> Vec<(String, Vec<u8>)> {
    let path = store.session_path(id);
    let name = |name: String| {
        let content = bytes(&path, &name);
        (name, content)
    };
    files(&path).into_iter().map(name).collect()
}

#[test]
fn c13_who_lives_when_the_observer_crashes_is_told_as_alive_and_counted() {
    let (_dir, store) = made();
    let info = info_at(&store, at("2026-11-21T00:00:00Z"));
    let fold = Summarizer::new(info.clone());
    let recorder = Recorder::create(&store, info.clone(), fold).expect("made");
    recorder.accept_all(&mut (0..20).map(fork).collect());
    for n in 0..5 {
        recorder.accept(gone(20 + u64::from(n), n + 2, 0));
    }
    let report = recorder.crash(&crash(), soon());
    let summary = report.summary.expect("a summary");
    let account = &summary.completeness;
    assert_eq!((account.forks, account.exits, account.alive), (20, 5, 15));
    assert_eq!(account.status, "incomplete");
    assert_eq!(
        (summary.subtype.as_str(), summary.success),
        ("crashed", false)
    );

    let mut view = Processes::new(0, 100);
    for entry in read_journal(recorder.path()).0 {
        view.apply(entry.t, &entry.body);
    }
    let view = view.finish();
    let shown: Vec<_> = view.head.iter().chain(&view.tail).collect();
    assert_eq!((view.total, shown.len(), view.left_out), (20, 20, 0));
    let unended: Vec<ProcKey> = shown
        .iter()
        .filter(|lived| lived.ended.is_none())
        .map(|lived| lived.process.key)
        .collect();
    let expected: Vec<ProcKey> = (7..22).map(|pid| process(pid).key).collect();
    assert_eq!(unended, expected, "no end is made up for them");
}

#[test]
fn c18_what_is_in_the_journal_never_changes_whatever_comes_after_it() {
    let (_dir, store) = made();
    let info = info_at(&store, at("2026-11-21T00:00:00Z"));
    let recorder = going_on(&store, &info);
    let path = recorder.path().to_owned();
    let mut seen = vec![bytes(&path, "journal.0.jsonl")];
    let mut batch = Vec::new();
    for n in 0..20 {
        batch.extend((0..50).map(|k| exec(100 + 50 * n + k)));
        recorder.accept_all(&mut batch);
        // The caller's vector is empty again, and what it is filled with next is another record.
        assert!(batch.is_empty());
        assert!(recorder.flush(soon()).complete);
        seen.push(bytes(&path, "journal.0.jsonl"));
    }
    finish(&recorder, 1);
    drop(recorder);
    seen.push(bytes(&path, "journal.0.jsonl"));
    tracer::session::rebuild::rebuild(&store, &info.session_id, soon()).expect("rebuilt");
    let last = bytes(&path, "journal.0.jsonl");
    assert!(seen.windows(2).all(|pair| pair[1].starts_with(&pair[0])));
    assert!(seen.last() == Some(&last));
    assert!(
        seen.windows(2)
            .take(20)
            .all(|pair| pair[0].len() < pair[1].len())
    );
}

#[test]
fn l1_a_journal_of_a_later_format_is_refused_with_its_number_and_left_alone() {
    let room = tempfile::tempdir().expect("a directory");
    let store = store_in(room.path());
    let mut info = crashed::own_info(&store);
    info.root.starttime_ticks = None;
    let recorder = Recorder::create(&store, info.clone(), ()).expect("made");
    // An enrollment that could be read would say whose it is: not enough.
    assert!(recorder.enroll(enrollment(info.session_id.as_str())));
    recorder.accept_all(&mut (0..5).map(fork).collect());
    assert!(recorder.flush(soon()).complete);
    drop(recorder);
    let id = info.session_id;
    let journal = store.session_path(&id).join("journal.0.jsonl");
    let mut text = lines(&journal);
    let own = format!("\"format\":{FORMAT},");
    text[0] = forged(&text[0], &own, "\"format\":97,");
    put_lines(&journal, &text);
    let before = all(&store, &id);

    let dir = store.existing_session(&id).expect("there");
    let refused = epochs::replay(&dir, &mut ()).expect_err("not ours to read");
    assert!(matches!(refused, EpochsError::Format { format: 97, .. }));
    let told = format!("is of format 97, this tracer reads formats up to {FORMAT}");
    assert!(refused.to_string().contains(&told), "{refused}");
    let (outcome, gate, why) = crashed::only(&crashed::recover(&store));
    assert_eq!((outcome, gate), (Outcome::Alien, Some(Gate::Enrollment)));
    assert!(why.contains(&told), "{why}");
    let problem = look(&store, &id, at("2026-11-30T00:00:00Z")).problem;
    assert!(problem.expect("told").contains(&told));
    let verified = verify(&store, &id);
    assert!(!verified.holds());
    assert!(verified.findings[0].what.contains(&told), "{verified:?}");
    assert!(all(&store, &id) == before);
}

#[test]
fn l3_n6_a_session_can_be_had_again_only_when_its_recorder_has_written_everything() {
    for round in 0..25 {
        let (_dir, store) = made();
        let info = info(&store);
        let id = info.session_id;
        let recorder = Recorder::create(&store, info.clone(), Seen::default()).expect("made");
        let (accepted, at_claim) = std::thread::scope(|scope| {
            let closing = scope.spawn(|| {
                let recorder = recorder;
                let mut n = 0;
                for _ in 0..=round % 5 {
                    n += recorder
                        .accept_all(&mut (n..n + 1_500).map(fork).collect())
                        .taken;
                }
                // Evicted in the middle of its work.
                drop(recorder);
                n
            });
            let mut claimed = None;
            wait_for("the session", || {
                if let SessionClaim::Held(session) = store.claim(&id).expect("there") {
                    claimed = Some(session);
                }
                claimed.is_some()
            });
            let at_claim = bytes(&store.session_path(&id), "journal.0.jsonl");
            (closing.join().expect("no panic"), at_claim)
        });
        assert!(at_claim == bytes(&store.session_path(&id), "journal.0.jsonl"));
        let (again, standing) = reopen(&store, &info);
        assert_eq!(standing.counts.forks, accepted);
        assert_eq!((standing.next_epoch, standing.next_seq), (1, accepted + 1));
        drop(again);
    }
}

#[test]
fn l7_the_same_exec_and_the_same_note_again_are_records_of_their_own_in_order() {
    let (_dir, store) = made();
    let info = info_at(&store, at("2026-11-21T00:00:00Z"));
    let recorder = going_on(&store, &info);
    let run = |t: u64, exec_no: u32, last: &str| {
        let mut record = exec(t);
        if let Body::Event(tracer::event::EventKind::Exec(exec)) = &mut record.body {
            exec.process = process(100);
            exec.exec_no = exec_no;
            *exec.argv.last_mut().expect("arguments") = last.as_bytes().to_vec();
        }
        record
    };
    let note = |t: u64| Record {
        t: BootNs(5_000_000_000 + t),
        body: Body::Note(Box::new(Note {
            topic: "said".to_owned(),
            text: "the same".to_owned(),
            ..Note::default()
        })),
    };
    // Execs of one process, all at the same time even, and annotations.
    let given = [
        run(50, 2, "a"),
        run(50, 3, "a"),
        note(50),
        run(51, 4, "b"),
        note(50),
        run(52, 5, "a"),
    ];
    recorder.accept_all(&mut given.to_vec());
    finish(&recorder, 1);
    let (entries, stats) = read_journal(recorder.path());
    assert!(stats.is_clean());
    let found = &entries[entries.len() - 1 - given.len()..entries.len() - 1];
    for (entry, record) in found.iter().zip(&given) {
        assert_eq!((entry.t, &entry.body), (record.t, &record.body));
    }
    let summary = crashed::json(&recorder.path().join("summary.json"));
    assert_eq!(summary["command"], "sh -c 'exit \u{fffd}'");
    assert_eq!(summary["completeness"]["execs"], 5);
    let Body::Session(first) = &entries[0].body else {
        panic!("it begins with its session");
    };
    assert_eq!(
        first.command, info.command,
        "what was captured stays as it was"
    );
}

#[test]
fn l8_an_observer_that_comes_back_to_living_processes_finds_no_failure() {
    let (_dir, store) = made();
    let info = info_at(&store, at("2026-11-21T00:00:00Z"));
    let fold = Summarizer::new(info.clone());
    let recorder = Recorder::create(&store, info.clone(), fold).expect("made");
    let mut begun = life();
    begun.truncate(3);
    recorder.accept_all(&mut begun);
    drop(recorder);
    let now = at("2026-11-30T00:00:00Z");
    let left = look(&store, &info.session_id, now);
    assert_eq!(
        (left.status.as_str(), left.problem.as_deref()),
        ("interrupted", None)
    );
    assert!(!left.has_failed() && !left.has_ended());
    assert!(verify(&store, &info.session_id).holds());

    let held = claimed(&store, &info.session_id);
    let mut fold = Summarizer::new(info.clone());
    let standing = epochs::replay(&held.dir, &mut fold).expect("readable");
    let recorder = Recorder::reopen(
        &store,
        held,
        &standing,
        info.clone(),
        fold,
        Options::default(),
    );
    let recorder = recorder.expect("made");
    recorder.accept(gone(9, 100, 0));
    finish(&recorder, 1);
    drop(recorder);
    let ended = look(&store, &info.session_id, now);
    assert_eq!(
        (ended.status.as_str(), ended.exit_code),
        ("success", Some(0))
    );
    assert!(!ended.has_failed());
    let verified = verify(&store, &info.session_id);
    assert!(verified.holds(), "{:?}", verified.findings);
}

#[test]
fn l10_a_takeover_that_was_given_up_writes_nothing_when_its_disk_comes_back() {
    let (_dir, store) = made();
    let info = left(&store, 5);
    let path = store.session_path(&info.session_id);
    let before = all(&store, &info.session_id);
    // In the middle of its first write, or while that is made durable.
    for in_sync in [false, true] {
        let disk = Disk::default();
        disk.set(|fault| {
            fault.hold = !in_sync;
            fault.hold_sync = in_sync;
        });
        let options = Options {
            start_deadline: Duration::from_millis(50),
            ..disk.options()
        };
        let held = claimed(&store, &info.session_id);
        let (fold, standing) = replayed(&store, &info.session_id);
        let refused = Recorder::reopen(&store, held, &standing, info.clone(), fold, options);
        assert!(matches!(refused.err(), Some(SessionError::Stuck { .. })));
        assert!(
            matches!(store.claim(&info.session_id), Ok(SessionClaim::Taken)),
            "as long as it could still write, nobody else has the session"
        );
        disk.set(|fault| {
            fault.hold = false;
            fault.hold_sync = false;
        });
        wait_for("the session", || {
            matches!(store.claim(&info.session_id), Ok(SessionClaim::Held(_)))
        });
        let journals = |found: &[(String, Vec<u8>)]| {
            let ours = |(name, _): &&(String, Vec<u8>)| name != "lease";
            found.iter().filter(ours).cloned().collect::<Vec<_>>()
        };
        assert!(
            journals(&all(&store, &info.session_id)) == journals(&before),
            "held in its sync: {in_sync}, and there is {:?} now",
            files(&path)
        );
    }
}

#[test]
fn l13_after_an_end_nothing_is_held_and_a_flush_later_does_no_harm() {
    let (_dir, store) = made();
    let info = info_at(&store, at("2026-11-21T00:00:00Z"));
    let recorder = going_on(&store, &info);
    finish(&recorder, 1);
    let before = all(&store, &info.session_id);
    let begun = Instant::now();
    let flushed = recorder.flush(soon());
    assert!(flushed.complete, "{flushed:?}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(all(&store, &info.session_id) == before);

    // Its recorder is still there, and it can be removed: nothing of the session is held.
    let id = info.session_id;
    remove(&store, &id, Which::Finished, |_| false).expect("removed");
    assert!(!store.session_path(&id).exists());
    assert!(recorder.flush(soon()).complete);
    assert_eq!(recorder.accept(fork(1)).late, 1);
    let report = recorder.finish(end("again"), soon());
    assert_eq!(report.end, EndOutcome::Durable);
    drop(recorder);
    assert!(!store.session_path(&id).exists());
    assert_eq!(store.session_ids().expect("listed"), []);
}
