//! The recorder itself, its own thread and whoever uses it, run in thousands of orders.
//!
//! What is a thread elsewhere is one of shuttle's here (`sync`), and every call on the journal's file lets
//! the others run before and after it. Files are real, in a directory of their own. A deadlock, a
//! lost wake-up or a wrong record in any order is a failure, and the order is printed.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use shuttle::thread;

use super::{EndInfo, EndOutcome, FinishReport, Options, Recorder};
use crate::{
    event::{EventKind, Fork},
    session::{
        StateDir, Store,
        crash::told,
        journal::{
            JournalReader,
            decode::decode_body,
            info::SessionInfo,
            reader::Entry,
            record::{Body, ObserverEnding, Record},
            writer::JournalFile,
        },
    },
    units::{BootNs, Comm, ProcKey, Process, Tgid},
};

/// How often each model runs unless `TRACER_MODEL_RUNS` says.
const RUNS: usize = 100;
/// How many times a run goes against the order it would have by priority.
const DEPTH: usize = 4;

/// A file on which every call is a moment for others.
struct Stage(Box<dyn JournalFile>);

impl JournalFile for Stage {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.append_if(bytes, &mut || true)?.unwrap_or(0))
    }

    fn append_if(
        &mut self,
        bytes: &[u8],
        still: &mut dyn FnMut() -> bool,
    ) -> io::Result<Option<usize>> {
        thread::yield_now();
        // In two parts, where it has two: a reader may look between them.
        let half = bytes.len().div_ceil(2);
        let result = self.0.append_if(&bytes[..half], still);
        thread::yield_now();
        result
    }

    fn sync(&mut self) -> io::Result<()> {
        thread::yield_now();
        Ok(())
    }
}

fn info(store: &Store) -> SessionInfo {
    let id = store
        .new_session_id("2026-11-21T05:45:12Z".parse().unwrap())
        .unwrap();
    let line = format!(
        r#"{{"format":1,"session_id":"{id}","epoch":0,"boot_id":"b","clock":{{"boot_ns":5,
        "wall":"2026-11-21T05:45:12Z","clk_tck":100,"boottime_offset_ns":0}},"observer":{{"pid":1,
        "version":"0"}},"root":{{"pid":2,"comm":"a","cmdline":"a"}},"mode":"run","command":["a"],
        "cwd":"/","interval_ns":1,"labels":{{}},"backend":"ebpf","degraded":[],"hostname":"h","uid":0}}"#
    );
    match decode_body("session", line.as_bytes()) {
        Some(Body::Session(info)) => *info,
        other => panic!("{other:?}"),
    }
}

fn record(producer: u32, n: u32) -> Record {
    let process = |pid| Process {
        key: ProcKey {
            init: pid,
            start: BootNs(1),
        },
        tgid: Tgid(pid),
        inner: pid,
    };
    Record {
        t: BootNs(u64::from(n) + 10),
        body: Body::Event(EventKind::Fork(Fork {
            child: process(1_000 * producer + n),
            creator: process(producer),
            parent: process(producer),
            comm: Comm::from_bytes(b"model"),
            depth: 1,
            uid: 0,
            adopted: false,
        })),
    }
}

fn by() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

struct Model {
    room: tempfile::TempDir,
    recorder: Arc<Recorder<()>>,
}

impl Model {
    fn new() -> Self {
        let room = tempfile::tempdir().unwrap();
        let state = StateDir::resolve(Some(room.path().join("state")), |_| None, 0).unwrap();
        let store = Store::open(&state).unwrap();
        let options = Options {
            file_layer: Some(Box::new(|file| Box::new(Stage(file)))),
            start_deadline: Duration::from_secs(600),
            ..Options::default()
        };
        let recorder = Recorder::create_with(&store, info(&store), (), options).unwrap();
        Self {
            room,
            recorder: Arc::new(recorder),
        }
    }

    /// A thread that hands over records, and how many were taken.
    fn producer(&self, producer: u32, records: u32) -> thread::JoinHandle<u64> {
        let recorder = Arc::clone(&self.recorder);
        thread::spawn(move || {
            let taken = (0..records).map(|n| recorder.accept(record(producer, n)).taken);
            taken.sum()
        })
    }

    fn crash(&self, cause: &'static str) -> thread::JoinHandle<FinishReport<()>> {
        let recorder = Arc::clone(&self.recorder);
        thread::spawn(move || recorder.crash(&told(cause, ""), by()))
    }

    fn finish(&self) -> thread::JoinHandle<FinishReport<()>> {
        let recorder = Arc::clone(&self.recorder);
        let info = EndInfo {
            ending: ObserverEnding::Completed,
            cause: "model".to_owned(),
            t: BootNs(99),
        };
        thread::spawn(move || recorder.finish(info, by()))
    }

    /// Ends what is left and reads the journal: whole, in order, one ending behind everything.
    fn journal(self, taken: u64) -> Vec<Entry> {
        let Self { room, recorder } = self;
        let path = recorder.path().join("journal.0.jsonl");
        drop(recorder);
        let mut reader = JournalReader::new(std::fs::File::open(path).unwrap()).starting_at(0);
        let mut entries = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            entries.push(entry);
        }
        assert!(reader.stats().is_clean(), "{:?}", reader.stats());
        let forks = |entry: &&Entry| entry.body.kind() == "fork";
        assert_eq!(entries.iter().filter(forks).count() as u64, taken);
        let mut last = [0; 8];
        for entry in entries.iter().filter(forks) {
            let Body::Event(EventKind::Fork(fork)) = &entry.body else {
                continue;
            };
            let producer = fork.creator.tgid.0 as usize;
            assert!(entry.t.0 > last[producer], "each producer's own order");
            last[producer] = entry.t.0;
        }
        drop(room);
        entries
    }
}

/// The kind of the one terminal record, which is the last one; a crash's cause.
fn ending(entries: &[Entry]) -> String {
    let terminal = entries.iter().filter(|entry| entry.body.is_terminal());
    assert_eq!(terminal.count(), 1);
    match &entries[entries.len() - 1].body {
        Body::Crash(crash) => crash.cause.clone(),
        Body::End(_) => "end".to_owned(),
        other => panic!("{other:?} is no ending"),
    }
}

fn check(model: impl Fn() + Send + Sync + 'static) {
    let runs = std::env::var("TRACER_MODEL_RUNS").ok();
    let runs = runs.and_then(|runs| runs.parse().ok()).unwrap_or(RUNS);
    let model = Arc::new(model);
    let random = Arc::clone(&model);
    shuttle::check_random(move || random(), runs / 2);
    shuttle::check_pct(move || model(), runs.div_ceil(2), DEPTH);
}

#[test]
fn c2_whatever_the_order_a_crash_is_the_ending_and_has_all_that_was_taken_before_it() {
    check(|| {
        let model = Model::new();
        let producers = [model.producer(1, 3), model.producer(2, 3)];
        let report = model.crash("SIGMODEL").join().unwrap();
        assert_eq!(
            (&report.end, report.later_crashes),
            (&EndOutcome::Durable, 0)
        );
        let taken = producers
            .map(|producer| producer.join().unwrap())
            .iter()
            .sum();
        let entries = model.journal(taken);
        assert_eq!(ending(&entries), "SIGMODEL");
        assert_eq!(entries.len() as u64, taken + 2);
    });
}

#[test]
fn whatever_the_order_of_an_end_and_a_crash_there_is_one_ending_and_both_are_told_which() {
    check(|| {
        let model = Model::new();
        let producer = model.producer(1, 2);
        let (finish, crash) = (model.finish(), model.crash("SIGMODEL"));
        let (finish, crash) = (finish.join().unwrap(), crash.join().unwrap());
        let taken = producer.join().unwrap();
        assert_eq!(
            (&finish.end, &crash.end),
            (&EndOutcome::Durable, &EndOutcome::Durable)
        );
        assert_eq!(finish.crash, crash.crash);
        let ended = ending(&model.journal(taken));
        match &crash.crash {
            Some(crash) => assert_eq!(ended, crash.cause),
            None => assert_eq!((ended.as_str(), crash.later_crashes), ("end", 1)),
        }
    });
}

#[test]
fn c15_whatever_the_order_of_two_crashes_one_is_the_cause_and_the_other_a_note_before_it() {
    check(|| {
        let model = Model::new();
        let crashes = [model.crash("SIGONE"), model.crash("SIGTWO")];
        let reports = crashes.map(|crash| crash.join().unwrap());
        let cause = reports[0].crash.as_ref().unwrap().cause.clone();
        assert_eq!(reports[1].crash.as_ref().unwrap().cause, cause);
        let entries = model.journal(0);
        assert_eq!(ending(&entries), cause);
        // Too late for a note, it is in the lease.
        let notes = entries.iter().filter(|entry| entry.body.kind() == "note");
        assert!(notes.count() <= 1);
    });
}

#[test]
fn c3_whatever_the_order_what_was_taken_last_is_written_with_nothing_after_it() {
    check(|| {
        let model = Model::new();
        let taken: u64 = [model.producer(1, 2), model.producer(2, 2)]
            .map(|producer| producer.join().unwrap())
            .iter()
            .sum();
        assert_eq!(taken, 4);
        // Nobody flushes, nobody ends: a wake-up that was lost would leave this going on for ever. The
        // owner is met writing, lingering and asleep.
        for n in 0..4 {
            while model.recorder.progress().written < 5 + u64::from(n) {
                thread::yield_now();
            }
            assert_eq!(model.recorder.accept(record(3, n)).taken, 1);
        }
        while model.recorder.progress().written < 9 {
            thread::yield_now();
        }
        let entries = model.journal(taken + 4);
        assert!(
            entries.iter().all(|entry| !entry.body.is_terminal()),
            "interrupted"
        );
    });
}

#[test]
fn whatever_the_order_a_flush_that_says_complete_has_all_that_was_taken_before_it() {
    check(|| {
        let model = Model::new();
        let other = model.producer(2, 2);
        let recorder = Arc::clone(&model.recorder);
        let flusher = thread::spawn(move || {
            let taken = recorder.accept(record(1, 0)).taken;
            let report = recorder.flush(by());
            // A crash that comes before the record refuses it; the flush returns all the same.
            assert!(!report.complete || report.durable > taken);
            taken
        });
        let crash = model.crash("SIGMODEL");
        let taken = flusher.join().unwrap() + other.join().unwrap();
        assert_eq!(crash.join().unwrap().end, EndOutcome::Durable);
        assert_eq!(ending(&model.journal(taken)), "SIGMODEL");
    });
}
