//! Recovery of sessions whose observer left no end: once, without touching what it wrote.

use std::sync::{
    Barrier,
    atomic::{AtomicBool, Ordering},
};

use serde_json::Value;
use tracer::{
    session::{
        SessionId,
        journal::{
            Body, Record,
            notes::{Recovered, UNWATCHED},
            record::Note,
        },
        recorder::Recorder,
        recover::{Options, Outcome, Recovery, Report, Unattended},
        status::{self, Status},
        store::{ClaimedSession, SessionClaim},
        summary::Summarizer,
    },
    units::BootNs,
};

use crate::{crashed::*, support::*};

#[test]
fn a_session_without_end_is_ended_by_one_more_epoch_and_nothing_of_the_old_one_changes() {
    let room = tempfile::tempdir().expect("a directory");
    let store = store_in(room.path());
    let (id, path) = crashed(&store);
    let before = std::fs::read(path.join("journal.0.jsonl")).expect("there");

    let (outcome, gate, reason) = only(&recover(&store));
    assert_eq!((outcome, gate), (Outcome::Recovered, None), "{reason}");
    assert_eq!(std::fs::read(path.join("journal.0.jsonl")).unwrap(), before);
    assert_eq!(kinds(&path, 1), ["session", "gap", "note", "end"]);

    let summary = json(&path.join("summary.json"));
    assert_eq!(summary["session_id"], id.as_str());
    assert_eq!(summary["subtype"], "crashed");
    assert_eq!(summary["termination_reason"], "CRASHED");
    assert_eq!(summary["kill_reason"], "exception");
    assert_eq!(summary["exit_code"], -1);
    assert_eq!(summary["success"], false);
    assert_eq!(summary["verdict"]["outcome"], "unknown");
    assert_eq!(summary["observer"]["ending"], "crashed");
    assert_ne!(summary["observer"]["cause"], Value::Null);
    assert_eq!(summary["completeness"]["status"], "incomplete");
    assert_eq!(summary["labels"]["ci"], "a/b \"c\"");
    assert_eq!(summary["start_ts"], "2026-11-21T05:45:12.123456Z");
    // The last record of the observer, not the time of the recovery, is the end.
    assert_eq!(summary["end_ts"], "2026-11-21T05:45:12.123456Z");
    assert_eq!(summary["completeness"]["forks"], 20);

    let dir = store.existing_session(&id).expect("there");
    let examined = status::examine(&dir);
    assert!(matches!(examined.status, Status::Ended(_)) && examined.settled);
}

#[test]
fn a_second_recovery_does_nothing() {
    let room = tempfile::tempdir().expect("a directory");
    let store = store_in(room.path());
    crashed(&store);
    recover(&store);
    let before = all_bytes(room.path());
    let report = recover(&store);
    assert_eq!((report.found.len(), report.count(Outcome::Whole)), (0, 1));
    assert_eq!(all_bytes(room.path()), before);
}

#[test]
fn of_four_recoverers_at_once_each_session_is_recovered_by_one() {
    let room = tempfile::tempdir().expect("a directory");
    let store = store_in(room.path());
    let sessions: Vec<_> = (0..12).map(|_| crashed(&store)).collect();
    let start = Barrier::new(4);
    let recovered: u64 = std::thread::scope(|scope| {
        let each = || {
            let store = store_in(room.path());
            start.wait();
            recover(&store).count(Outcome::Recovered)
        };
        let all: Vec<_> = (0..4).map(|_| scope.spawn(each)).collect();
        all.into_iter().map(|one| one.join().expect("ran")).sum()
    });
    assert_eq!(recovered, 12);
    let index = std::fs::read_to_string(room.path().join("state/sessions.jsonl")).expect("rows");
    for (id, path) in sessions {
        assert_eq!(kinds(&path, 1), ["session", "gap", "note", "end"]);
        assert!(!path.join("journal.2.jsonl").exists());
        assert_eq!(
            index.matches(&format!("\"session_id\":\"{id}\"")).count(),
            1
        );
    }
}

#[test]
fn a_torn_tail_and_bad_lines_cost_themselves_and_are_counted() {
    let room = tempfile::tempdir().expect("a directory");
    let store = store_in(room.path());
    let (_, path) = crashed(&store);
    let journal = path.join("journal.0.jsonl");
    let bytes = std::fs::read(&journal).expect("there");
    let mut lines: Vec<Vec<u8>> = bytes
        .split_inclusive(|&b| b == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    lines[7] = b"\xff\xfe not a line\n".to_vec();
    let last = lines.len() - 1;
    lines[last].truncate(40);
    std::fs::write(&journal, lines.concat()).expect("damaged");
    let before = std::fs::read(&journal).expect("there");
    let (outcome, _, reason) = only(&recover(&store));
    assert_eq!(outcome, Outcome::Recovered);
    assert!(
        reason.contains("1 damaged lines; 1 missing records; 40 bytes"),
        "{reason}"
    );
    assert_eq!(std::fs::read(&journal).expect("there"), before);
    let summary = json(&path.join("summary.json"));
    assert_eq!(summary["completeness"]["forks"], 18);
    let reasons = summary["completeness"]["reasons"].to_string();
    for what in ["1 × damaged line", "1 × missing record", "cut off"] {
        assert!(reasons.contains(what), "{reasons}");
    }
    let next = std::fs::read_to_string(path.join("journal.1.jsonl")).expect("there");
    assert!(
        next.starts_with("{\"seq\":20,"),
        "after the last good line: {next}"
    );
}

#[test]
fn what_is_missing_of_an_ended_session_is_made_and_its_journal_stays() {
    let room = tempfile::tempdir().expect("a directory");
    let store = store_in(room.path());
    let info = own_info(&store);
    let recorder = Recorder::create(&store, info.clone(), Summarizer::new(info)).expect("made");
    recorder.accept_all(&mut vec![fork(1), row(2)]);
    let report = recorder.finish(end("done"), soon());
    assert!(report.failures.is_empty());
    let path = recorder.path().to_owned();
    drop(recorder);
    let before = all_bytes(&path);
    for name in ["summary.json", "proc_trace.jsonl"] {
        std::fs::remove_file(path.join(name)).expect("there");
    }
    assert_eq!(only(&recover(&store)).0, Outcome::Derived);
    assert_eq!(all_bytes(&path), before, "byte for byte");
}

#[test]
fn a_dry_run_says_the_same_and_changes_no_byte() {
    let room = tempfile::tempdir().expect("a directory");
    let memory = tempfile::tempdir_in("/dev/shm").expect("a tmpfs");
    for place in [room.path(), memory.path()] {
        let store = store_in(place);
        crashed(&store);
        let mut reboot = own_info(&store);
        reboot.boot_id = "e0f3a1c2-0000-4000-8000-000000000000".to_owned();
        interrupted(&store, reboot, Vec::new());
        let info = own_info(&store);
        let records = vec![pinned(&info, "claude"), row_of(&info, "script")];
        interrupted(&store, info, records);
        std::fs::create_dir(place.join("state/sessions/.odd.new")).expect("made");
        let before = all_bytes(place);
        let said = recover_with(&store, &dry());
        assert_eq!(all_bytes(place), before);
        let done = recover(&store);
        let outcomes = |report: &Report| -> Vec<_> {
            report
                .found
                .iter()
                .map(|found| (found.name.clone(), found.outcome))
                .collect()
        };
        assert_eq!(outcomes(&said), outcomes(&done));
    }
}

/// A kernel side that kept some events.
struct Kept {
    records: Vec<Record>,
    forgotten: Vec<SessionId>,
}

impl Unattended for Kept {
    fn records(&mut self, _session: &ClaimedSession) -> Result<Option<Vec<Record>>, String> {
        Ok(Some(self.records.clone()))
    }

    fn forget(&mut self, id: &SessionId) -> Result<(), String> {
        self.forgotten.push(*id);
        Ok(())
    }
}

#[test]
fn what_was_recorded_while_nobody_watched_goes_on_where_a_killed_recoverer_stopped() {
    let room = tempfile::tempdir().expect("a directory");
    let store = store_in(room.path());
    let mut info = own_info(&store);
    info.root.pid = 77;
    let mut birth = fork(75);
    if let Body::Event(tracer::event::EventKind::Fork(fork)) = &mut birth.body {
        fork.child = process(77);
    }
    // A recoverer before us was killed after it had written one of them.
    let proc = proc();
    let (id, path) = interrupted(&store, info.clone(), vec![birth]);
    let claimed = match store.claim(&id).expect("ours") {
        SessionClaim::Held(claimed) => claimed,
        SessionClaim::Taken => panic!("nobody has it"),
    };
    let mut fold = Summarizer::new(info.clone());
    let standing = tracer::session::epochs::replay(&claimed.dir, &mut fold).expect("read");
    let options = tracer::session::recorder::Options::default();
    let recorder = Recorder::reopen(&store, claimed, &standing, info, fold, options);
    let recorder = recorder.expect("reopened");
    let note = Note::recovered(&Recovered::default());
    recorder.accept(Record {
        t: BootNs(5_000_000_000),
        body: Body::Note(Box::new(note)),
    });
    recorder.accept(fork(500));
    drop(recorder);

    let mut kept = Kept {
        records: vec![exit(900_000_000)],
        forgotten: Vec::new(),
    };
    let options = Options::default();
    let report = Recovery::new(&store, &proc, own(&proc), &options, &mut kept).run();
    assert_eq!(only(&report.expect("listed")).0, Outcome::Recovered);
    assert_eq!(kept.forgotten, [id]);
    assert_eq!(kinds(&path, 2), ["session", "note", "exit", "end"]);
    let summary = json(&path.join("summary.json"));
    assert_eq!(summary["exit_code"], 7);
    assert_eq!(summary["subtype"], "crashed");
    assert_eq!(summary["completeness"]["forks"], 2);
    // Where the kernel went on, an observer's death alone costs nothing.
    let reasons = &summary["completeness"]["reasons"];
    assert_eq!(reasons, &serde_json::json!(["tracking could not start"]));
    assert_eq!(summary["verdict"]["outcome"], "exited");
    assert_eq!(summary["end_ts"], "2026-11-21T05:45:13.023456Z");
}

/// A kernel side whose pins are still being let go of when they are asked for first.
struct Reluctant(u32);

impl Unattended for Reluctant {
    fn records(&mut self, _session: &ClaimedSession) -> Result<Option<Vec<Record>>, String> {
        self.0 += 1;
        let mut login = exec(1);
        if let Body::Event(tracer::event::EventKind::Exec(exec)) = &mut login.body {
            exec.argv = vec![b"login".to_vec(), b"--password=hunter2".to_vec()];
        }
        match self.0 {
            1 => Err("in use".to_owned()),
            _ => Ok(Some(vec![login])),
        }
    }

    fn forget(&mut self, _id: &SessionId) -> Result<(), String> {
        Err("its pins are left".to_owned())
    }
}

#[test]
fn pins_are_asked_for_again_what_they_kept_is_redacted_and_those_left_are_told_of() {
    let room = tempfile::tempdir().expect("a directory");
    let store = store_in(room.path());
    let mut info = own_info(&store);
    info.redact = true;
    let (_, path) = interrupted(&store, info, vec![fork(1)]);
    let (proc, options) = (proc(), Options::default());
    let mut reluctant = Reluctant(0);
    let report = Recovery::new(&store, &proc, own(&proc), &options, &mut reluctant).run();
    let (outcome, _, reason) = only(&report.expect("listed"));
    assert_eq!(outcome, Outcome::Failed);
    assert!(reason.contains("its pins are left"), "{reason}");
    let text = std::fs::read_to_string(path.join("journal.1.jsonl")).expect("there");
    assert!(
        text.contains("login") && !text.contains("hunter2"),
        "{text}"
    );
    // The record is whole all the same.
    assert_eq!(recover(&store).count(Outcome::Whole), 1);
}

#[test]
fn who_cannot_wait_begins_no_further_session() {
    let room = tempfile::tempdir().expect("a directory");
    let store = store_in(room.path());
    crashed(&store);
    let options = Options {
        stop: std::sync::Arc::new(AtomicBool::new(true)),
        ..Options::default()
    };
    assert_eq!(recover_with(&store, &options).found, []);
    options.stop.store(false, Ordering::Relaxed);
    assert_eq!(recover_with(&store, &options).found.len(), 1);
}

#[test]
fn a_gap_tells_the_stretch_nobody_watched() {
    let room = tempfile::tempdir().expect("a directory");
    let store = store_in(room.path());
    let (_, path) = crashed(&store);
    recover(&store);
    let text = std::fs::read_to_string(path.join("journal.1.jsonl")).expect("there");
    let gap: Value = serde_json::from_str(text.lines().nth(1).expect("a gap")).expect("JSON");
    assert_eq!(gap["reason"], UNWATCHED);
    assert_eq!(gap["first_t_boot_ns"], 5_000_000_019_u64);
    assert!(gap["last_t_boot_ns"].as_u64() >= Some(5_000_000_019));
}
