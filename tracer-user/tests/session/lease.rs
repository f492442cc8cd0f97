//! Who observes a session: one observer at a time, known dead the moment it is.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
};

use tracer::session::{
    SessionId, Store,
    crash::{told, words::LastWords},
    lease::{self, Claim, Lease, LeaseError},
    recorder::{Recorder, SessionError},
    status::{Status, examine},
    store::{ClaimedSession, SessionClaim, StoreError},
};

use crate::support::*;

/// Every file below `dir` with its bytes.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("listed") {
        let path = entry.expect("listed").path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            let bytes = std::fs::read(&path).expect("readable");
            all.insert(path, bytes);
        }
    }
    all
}

pub(crate) fn claim(store: &Store, id: &SessionId) -> Option<ClaimedSession> {
    match store.claim(id).expect("claimed or taken") {
        SessionClaim::Held(claimed) => Some(claimed),
        SessionClaim::Taken => None,
    }
}

const STATE: &str = "TRACER_TEST_LEASE_STATE";

/// Begins a session, says its id and waits to be killed.
#[test]
#[ignore = "the process that the tests of this file start as an observer"]
fn observer() {
    let Some(state) = std::env::var_os(STATE) else {
        return;
    };
    let store = store_in(Path::new(&state));
    let info = info(&store);
    let recorder = Recorder::create(&store, info.clone(), Seen::default()).expect("made");
    recorder.accept_all(&mut (0..100).map(fork).collect());
    assert!(recorder.flush(soon()).complete);
    let mut out = std::io::stdout();
    writeln!(out, "\nsession {}", info.session_id).expect("the parent reads");
    // Until the parent is gone or kills us.
    let _eof = std::io::stdin().read_line(&mut String::new());
}

/// An observer in a process of its own.
pub(crate) struct Observer {
    child: Child,
    pub(crate) id: SessionId,
}

impl Observer {
    pub(crate) fn start(dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("known"))
            .args(["--ignored", "--exact", "lease::observer", "--nocapture"])
            .env(STATE, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let id = out
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("session ")?.parse().ok())
            .expect("the observer began");
        Self { child, id }
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("ours");
        self.child.wait().expect("ours");
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

#[test]
fn l16_a_second_observer_of_a_session_is_refused_and_changes_no_byte() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let info = info(&store);
    let first = Recorder::create(&store, info.clone(), Seen::default()).expect("made");
    first.accept(fork(0));
    assert!(first.flush(soon()).complete);
    let before = contents(dir.path());
    let refuse = || {
        let second = Recorder::create(&store, info.clone(), Seen::default());
        let error = second.err().expect("refused");
        assert!(matches!(error, SessionError::Exists { .. }), "{error}");
        assert!(claim(&store, &info.session_id).is_none(), "it is taken");
    };
    refuse();
    assert_eq!(contents(dir.path()), before);
    first.accept(fork(1));
    let report = first.finish(end("done"), soon());
    assert!(report.failures.is_empty(), "{report:?}");
    let second = Recorder::create(&store, info.clone(), Seen::default());
    assert!(matches!(second.err(), Some(SessionError::Exists { .. })));
    let (entries, stats) = read_journal(first.path());
    assert_eq!((entries.len(), stats.is_clean()), (4, true));
}

#[test]
fn n7_of_many_observers_that_begin_one_session_at_once_one_gets_it() {
    for _ in 0..20 {
        let dir = tempfile::tempdir().expect("a directory");
        let store = store_in(dir.path());
        let info = info(&store);
        let start = Barrier::new(8);
        let won = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    match Recorder::create(&store, info.clone(), Seen::default()) {
                        Ok(recorder) => {
                            won.fetch_add(1, Ordering::Relaxed);
                            recorder.accept(fork(0));
                            let _report = recorder.finish(end("done"), soon());
                        }
                        Err(SessionError::Exists { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                });
            }
        });
        assert_eq!(won.into_inner(), 1);
        let (entries, stats) = read_journal(&store.session_path(&info.session_id));
        assert_eq!((entries.len(), stats.is_clean()), (3, true));
        let strays = std::fs::read_dir(dir.path().join("state/sessions")).expect("listed");
        assert_eq!(strays.count(), 1);
    }
}

#[test]
fn n3_a_killed_observer_leaves_an_interrupted_session_that_one_recoverer_gets() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut observer = Observer::start(dir.path());
    let store = store_in(dir.path());
    let session = store.existing_session(&observer.id).expect("there");

    let running = examine(&session);
    assert_eq!(running.status, Status::Running);
    let holder = running.holder.expect("signed");
    assert_eq!(holder.pid, observer.child.id());
    assert_eq!(
        (holder.epoch, holder.session_id),
        (0, observer.id.to_string())
    );
    assert!(claim(&store, &observer.id).is_none());
    assert_eq!(
        examine(&session).status,
        Status::Running,
        "looking takes nothing"
    );

    observer.kill();
    let dead = examine(&session);
    assert_eq!((dead.status, dead.held), (Status::Interrupted, false));

    let start = Barrier::new(8);
    let done = Barrier::new(8);
    let won = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let store = store_in(dir.path());
                start.wait();
                let held = claim(&store, &observer.id);
                won.fetch_add(usize::from(held.is_some()), Ordering::Relaxed);
                done.wait();
            });
        }
    });
    assert_eq!(won.into_inner(), 1);
    assert!(
        claim(&store, &observer.id).is_some(),
        "and it is free again"
    );
}

#[test]
fn a_duplicate_of_the_leases_descriptor_writes_and_does_not_prolong_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let info = info(&store);
    let recorder = Recorder::create(&store, info.clone(), Seen::default()).expect("made");
    // The recorder keeps one ready for last words, also after its end.
    let session = store.existing_session(&info.session_id).expect("there");
    assert!(lease::is_taken(&session).expect("examined"));
    let _report = recorder.finish(end("done"), soon());
    assert!(!lease::is_taken(&session).expect("examined"));
    let _report = recorder.crash(&told("SIGLATE", ""), soon());
    assert!(!lease::is_taken(&session).expect("examined"));
    let lines = lease::read_lines(&session).expect("read");
    let words = LastWords::parse(lines.last().expect("two")).expect("a crash line");
    assert_eq!(words.crash.cause, "SIGLATE");
    let holder = lease::last_holder(&session).expect("read").expect("signed");
    assert_eq!(holder.pid, std::process::id());
}

#[test]
fn a_lease_that_is_no_plain_file_of_ours_is_refused_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let info = info(&store);
    drop(Recorder::create(&store, info.clone(), Seen::default()).expect("made"));
    let path = store.session_path(&info.session_id).join("lease");
    let precious = dir.path().join("precious");
    std::fs::write(&precious, "mine").expect("written");
    let set: [(&str, &dyn Fn()); 5] = [
        ("symlink", &|| {
            std::os::unix::fs::symlink(&precious, &path).expect("made");
        }),
        ("hard link", &|| {
            std::fs::hard_link(&precious, &path).expect("made");
        }),
        ("directory", &|| std::fs::create_dir(&path).expect("made")),
        ("pipe", &|| {
            let mode = rustix::fs::Mode::RWXU;
            let kind = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).expect("made");
        }),
        ("foreign", &|| {
            std::fs::write(&path, "").expect("made");
            std::os::unix::fs::chown(&path, Some(12_345), None).expect("this test runs as root");
        }),
    ];
    for (what, make) in set {
        if path.is_dir() {
            std::fs::remove_dir(&path).expect("removed");
        } else {
            std::fs::remove_file(&path).expect("removed");
        }
        make();
        let error = store.claim(&info.session_id).expect_err(what);
        assert!(
            matches!(
                error,
                LeaseError::File(StoreError::NotPlain { .. } | StoreError::WrongOwner { .. })
            ),
            "{what}: {error}"
        );
        let session = store.existing_session(&info.session_id).expect("there");
        assert!(
            matches!(examine(&session).status, Status::Corrupt(_)),
            "{what}"
        );
    }
    assert_eq!(std::fs::read(&precious).expect("there"), b"mine");
}

#[test]
fn a_claim_on_a_session_that_is_being_removed_holds_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let info = info(&store);
    drop(Recorder::create(&store, info.clone(), Seen::default()).expect("made"));
    let session = store.existing_session(&info.session_id).expect("there");
    let Claim::Held(remover) = Lease::claim(&session).expect("free") else {
        panic!("free");
    };
    let path = store.session_path(&info.session_id);
    std::fs::remove_dir_all(&path).expect("removed");
    let late = Lease::claim(&session);
    assert!(late.is_err(), "{late:?}");
    drop(remover);
    assert!(Lease::claim(&session).is_err());
    assert!(!path.exists());
}
