//! What dead observers leave behind, and who may clear it away.

use std::{
    io::Read,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracer::session::{
    Store, birth,
    derive::Fold,
    epochs, publish,
    recorder::{EndOutcome, Options, Recorder, Tee},
    settle,
    status::{Status, examine, examine_claimed},
};

use crate::{
    lease::{Observer, claim},
    support::*,
};

/// Names as [`publish`] gives them to files on their way, and some that only look so.
const STRAYS: [&str; 3] = [
    ".summary.json.0123456789abcdef.tmp",
    ".enrollment.json.ffffffffffffffff.tmp",
    ".lease.00000000000000aa.tmp",
];
const OTHERS: [&str; 5] = [
    ".summary.json.0123456789abcdeF.tmp",
    ".summary.json.tmp",
    ".mine.0123456789abcdef.tmp",
    "summary.json.0123456789abcdef.tmp",
    ".tmp",
];

#[test]
fn c19_unfinished_files_of_a_dead_observer_are_swept_by_their_name_and_nothing_else_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut observer = Observer::start(dir.path());
    let store = store_in(dir.path());
    let path = store.session_path(&observer.id);
    for name in STRAYS.iter().chain(&OTHERS) {
        std::fs::write(path.join(name), "half").expect("written");
    }
    assert!(
        claim(&store, &observer.id).is_none(),
        "a living one keeps its files"
    );
    observer.kill();
    let claimed = claim(&store, &observer.id).expect("free");
    let swept = publish::sweep(&claimed.dir, &claimed.lease).expect("swept");
    assert_eq!(swept, STRAYS.len());
    for name in STRAYS {
        assert!(!path.join(name).exists(), "{name}");
    }
    for name in OTHERS {
        assert!(path.join(name).exists(), "{name}");
    }
}

#[test]
fn c19_sessions_of_observers_that_died_being_born_are_swept_and_those_of_living_ones_are_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let sessions = dir.path().join("state/sessions");
    let disk = crate::faulty::Disk::default();
    disk.set(|fault| fault.hold = true);
    let living = info(&store);
    std::thread::scope(|scope| {
        let starting = scope.spawn(|| {
            Recorder::create_with(&store, living.clone(), Seen::default(), disk.options())
        });
        wait_for("the first write", || disk.is_waiting());
        assert_eq!(store.session_ids().expect("listed"), [], "it has not begun");

        // The dead: one without anything, one with a free lease and half a record.
        let empty = sessions.join(format!(".{}.new", info(&store).session_id));
        let half = sessions.join(format!(".{}.new", info(&store).session_id));
        let foreign = sessions.join(format!(".{}.new", info(&store).session_id));
        for dead in [&empty, &half, &foreign] {
            std::fs::create_dir(dead).expect("made");
        }
        for file in ["lease", "journal.0.jsonl", STRAYS[2]] {
            std::fs::write(half.join(file), "half").expect("written");
        }
        std::fs::write(foreign.join("precious"), "mine").expect("written");
        assert_eq!(birth::sweep(&store).expect("listed"), 2);
        assert!(!empty.exists() && !half.exists());
        assert!(foreign.join("precious").exists());

        disk.set(|fault| fault.hold = false);
        let recorder = starting.join().expect("no panic").expect("made");
        assert_eq!(store.session_ids().expect("listed"), [living.session_id]);
        let report = recorder.finish(end("done"), soon());
        assert!(report.failures.is_empty(), "{report:?}");
    });
}

#[test]
fn nobody_is_told_of_a_session_that_a_kill_would_leave_nothing_of() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let disk = crate::faulty::Disk::default();
    disk.set(|fault| fault.hold_sync = true);
    let options = Options {
        tee: Some(Tee::spawn(Box::new(writer)).expect("a thread")),
        ..disk.options()
    };
    std::thread::scope(|scope| {
        let starting =
            scope.spawn(|| Recorder::create_with(&store, info(&store), Seen::default(), options));
        wait_for("the first sync", || disk.is_waiting());
        assert_eq!(store.session_ids().expect("listed"), []);
        // Its first record is written, and nobody can find it.
        let mut ready = [PollFd::new(&reader, PollFlags::IN)];
        let short = Timespec {
            tv_sec: 0,
            tv_nsec: 50_000_000,
        };
        assert_eq!(poll(&mut ready, Some(&short)), Ok(0));

        disk.set(|fault| fault.hold_sync = false);
        let recorder = starting.join().expect("no panic").expect("made");
        let report = recorder.finish(end("done"), soon());
        assert!(!report.timed_out, "{report:?}");
        drop(recorder);
        let mut told = String::new();
        reader.read_to_string(&mut told).expect("a pipe");
        assert_eq!(told.lines().count(), 2, "session and end");
    });
}

#[test]
fn c19_sweepers_never_take_a_session_from_an_observer_that_is_starting() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sweepers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut rounds = 0_u64;
                    while !over.load(Ordering::Relaxed) {
                        birth::sweep(&store).expect("listed");
                        rounds += 1;
                    }
                    rounds
                })
            })
            .collect();
        let observers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    for n in 0..100 {
                        let recorder =
                            Recorder::create(&store, info(&store), Seen::default()).expect("made");
                        recorder.accept(fork(n));
                        let report = recorder.finish(end("done"), soon());
                        assert!(report.failures.is_empty(), "{report:?}");
                    }
                })
            })
            .collect();
        let ended: Vec<_> = observers
            .into_iter()
            .map(std::thread::ScopedJoinHandle::join)
            .collect();
        over.store(true, Ordering::Relaxed);
        for thread in ended {
            thread.expect("no panic");
        }
        for sweeper in sweepers {
            assert!(sweeper.join().expect("no panic") > 0);
        }
    });
    let ids = store.session_ids().expect("listed");
    assert_eq!(ids.len(), 200);
    for id in ids {
        assert!(read_journal(&store.session_path(&id)).1.is_clean());
    }
}

const STATE: &str = "TRACER_TEST_STRAYS_STATE";

/// Begins and ends sessions, with everything they have, until it is killed.
#[test]
#[ignore = "the process that c19_c24_whenever_observers_are_killed starts"]
fn busy() {
    let Some(state) = std::env::var_os(STATE) else {
        return;
    };
    let store = store_in(Path::new(&state));
    loop {
        let info = info(&store);
        let recorder = Recorder::create(&store, info.clone(), Seen::default()).expect("made");
        recorder.accept_all(&mut (0..50).map(fork).collect());
        assert!(recorder.enroll(enrollment(info.session_id.as_str())));
        recorder.accept_all(&mut (0..20).map(row).collect());
        let report = recorder.finish(end("done"), soon());
        assert!(report.failures.is_empty(), "{report:?}");
    }
}

/// What recovery does to each session, without its gates.
fn recover(dir: &Path, recovered: &AtomicUsize) {
    let store = store_in(dir);
    birth::sweep(&store).expect("listed");
    for id in store.session_ids().expect("listed") {
        let Some(claimed) = claim(&store, &id) else {
            continue;
        };
        let mut fold = Seen::default();
        let standing = epochs::replay(&claimed.dir, &mut fold).expect("readable");
        let found = examine_claimed(&claimed);
        match found.status {
            Status::Interrupted => {}
            Status::Ended(_) if found.settled => {
                publish::sweep(&claimed.dir, &claimed.lease).expect("swept");
                continue;
            }
            Status::Ended(_) => {
                publish::sweep(&claimed.dir, &claimed.lease).expect("swept");
                let summary = fold.finish();
                let failures =
                    settle::write_all::<Seen>(&store, &claimed.dir, None, &summary, soon());
                assert!(failures.is_empty(), "{failures:?}");
                continue;
            }
            other => panic!("{id}: {other:?}"),
        }
        recovered.fetch_add(1, Ordering::Relaxed);
        let info = standing.session.clone().expect("on disk from the start");
        let options = Options::default();
        let recorder = Recorder::reopen(&store, claimed, &standing, info, fold, options);
        let report = recorder.expect("made").finish(end("recovered"), soon());
        assert_eq!(report.end, EndOutcome::Durable);
        assert!(report.failures.is_empty(), "{report:?}");
    }
}

fn interrupted(store: &Store) -> usize {
    let ids = store.session_ids().expect("listed");
    let open = |id: &&_| {
        let session = store.existing_session(id).expect("there");
        examine(&session).status == Status::Interrupted
    };
    ids.iter().filter(open).count()
}

#[test]
fn c19_c24_whenever_observers_are_killed_every_session_is_recovered_once_and_nothing_strays() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let (mut killed, mut total) = (0, 0);
    let deadline = Instant::now() + Duration::from_secs(120);
    // As many rounds as it takes on a busy machine to have killed them in every phase of theirs.
    while killed < 15 || total < 60 {
        assert!(
            Instant::now() < deadline,
            "{killed} of {total}: too slow to say anything"
        );
        let mut children: Vec<_> = (0..3)
            .map(|_| {
                Command::new(std::env::current_exe().expect("known"))
                    .args(["--ignored", "--exact", "strays::busy"])
                    .env(STATE, dir.path())
                    .stdout(Stdio::null())
                    .spawn()
                    .expect("started")
            })
            .collect();
        for child in &mut children {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            // From before its first session to somewhere in its tenth or so.
            std::thread::sleep(Duration::from_micros(2_000 + random % 15_000));
            assert!(
                child.try_wait().expect("ours").is_none(),
                "it failed by itself"
            );
            child.kill().expect("ours");
            child.wait().expect("ours");
        }
        let open = interrupted(&store);
        killed += open;
        let recovered = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| recover(dir.path(), &recovered));
            }
        });
        assert_eq!(recovered.into_inner(), open, "each exactly once");
        let again = AtomicUsize::new(0);
        recover(dir.path(), &again);
        assert_eq!(again.into_inner(), 0);

        for id in store.session_ids().expect("listed") {
            let path = store.session_path(&id);
            let session = store.existing_session(&id).expect("there");
            let found = examine(&session);
            assert!(matches!(found.status, Status::Ended(_)), "{id}: {found:?}");
            assert!(found.settled && !found.held, "{id}");
            let (seen, standing) = replayed(&store, &id);
            let next = standing.next_seq;
            assert_eq!(seen.seqs, (0..next).collect::<Vec<_>>(), "{id}");
            assert_eq!(seen.kinds["end"], 1);
            for name in files(&path) {
                let known = epochs::epoch_of(&name).is_some()
                    || [
                        "enrollment.json",
                        "lease",
                        "proc_trace.jsonl",
                        "summary.json",
                    ]
                    .contains(&&*name);
                assert!(known, "{id}: {name}");
            }
            total += 1;
            std::fs::remove_dir_all(path).expect("removed");
        }
        let sessions = std::fs::read_dir(dir.path().join("state/sessions")).expect("listed");
        assert_eq!(sessions.count(), 0, "nothing unborn is left");
    }
}
