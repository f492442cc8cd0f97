//! The recorder on a disk that fails, fills up, hangs or vanishes: the producer never waits, what
//! was lost is counted in the record itself, and it goes on by itself.

use std::{
    io,
    os::unix::fs::symlink,
    path::Path,
    process::Command,
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use crate::support::*;
use tracer::session::{
    StateDir, Store,
    derive::Fold,
    journal::{
        record::{Body, Record},
        writer::JournalFile,
    },
    recorder::{EndOutcome, Notice, Options, Recorder, SessionError},
    store::StoreError,
};
use tracer::units::BootNs;

/// What the disk does; the test's hand on it.
#[derive(Default)]
struct Fault {
    /// Calls wait while this is set.
    hold: bool,
    /// Appends take at most this many bytes in all, then say ENOSPC.
    room: Option<usize>,
    /// What sync says.
    sync: Option<i32>,
    /// Most bytes one append takes.
    at_most: Option<usize>,
    waiting: bool,
}

#[derive(Clone, Default)]
struct Disk(Arc<(Mutex<Fault>, Condvar)>);

impl Disk {
    fn set(&self, change: impl FnOnce(&mut Fault)) {
        change(&mut self.0.0.lock().expect("not poisoned"));
        self.0.1.notify_all();
    }

    fn is_waiting(&self) -> bool {
        self.0.0.lock().expect("not poisoned").waiting
    }

    fn options(&self) -> Options {
        let disk = self.clone();
        Options {
            file_layer: Some(Box::new(move |file| Box::new(Layer { file, disk }))),
            ..Options::default()
        }
    }
}

struct Layer {
    file: Box<dyn JournalFile>,
    disk: Disk,
}

impl Layer {
    fn gate(&self) -> std::sync::MutexGuard<'_, Fault> {
        let (fault, changed) = &*self.disk.0;
        let mut fault = fault.lock().expect("not poisoned");
        while fault.hold {
            fault.waiting = true;
            fault = changed.wait(fault).expect("not poisoned");
        }
        fault.waiting = false;
        fault
    }
}

impl JournalFile for Layer {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut fault = self.gate();
        let mut take = bytes.len().min(fault.at_most.unwrap_or(usize::MAX));
        if let Some(room) = &mut fault.room {
            if *room == 0 {
                return Err(io::Error::from_raw_os_error(libc::ENOSPC));
            }
            take = take.min(*room);
            *room -= take;
        }
        drop(fault);
        self.file.append(&bytes[..take])
    }

    fn sync(&mut self) -> io::Result<()> {
        let fault = self.gate().sync;
        match fault {
            Some(error) => Err(io::Error::from_raw_os_error(error)),
            None => self.file.sync(),
        }
    }
}

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
fn what_a_full_queue_leaves_out_while_the_disk_fails_is_a_gap_in_the_record() {
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
fn a_disk_that_hangs_stops_neither_producer_nor_flush_nor_finish() {
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
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
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
fn a_write_held_at_a_gate_while_the_end_is_asked_for_still_comes_before_it() {
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
fn a_session_whose_directory_is_removed_is_told_and_ends() {
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

/// A file system of a few pages; unmounted when dropped.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mounted(kilobytes: u32) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let status = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={kilobytes}k,mode=700"),
                "tmpfs",
            ])
            .arg(dir.path())
            .status()
            .expect("mount(8) is there");
        assert!(status.success(), "this test mounts a tmpfs: run it as root");
        Self(dir)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn on_a_full_tmpfs_the_last_event_lands_when_space_is_freed_without_another_event() {
    let tmpfs = Tmpfs::mounted(512);
    let store = store_in(tmpfs.0.path());
    let recorder = Recorder::create(&store, info(&store), Seen::default()).expect("made");
    let ballast = tmpfs.0.path().join("ballast");
    std::fs::write(&ballast, vec![0_u8; 400 << 10]).expect("fits");
    recorder.accept_all(&mut (0..1_000).map(fork).collect());
    let mut told = Vec::new();
    wait_for("ENOSPC", || {
        told.extend(recorder.notices());
        !told.is_empty()
    });
    assert!(matches!(told[0], Notice::WriteFailed { .. }), "{told:?}");
    assert!(recorder.progress().written < 1_001);
    std::fs::remove_file(&ballast).expect("removed");
    wait_for("the last event", || recorder.progress().written == 1_001);
    let (entries, stats) = read_journal(recorder.path());
    assert!(stats.is_clean(), "{stats:?}");
    assert_eq!(entries[1_000].body, fork(999).body);
    let report = recorder.finish(end("done"), soon());
    assert_eq!(report.end, EndOutcome::Durable);
}

#[test]
fn a_session_that_cannot_begin_leaves_nothing() {
    let tmpfs = Tmpfs::mounted(64);
    let store = store_in(tmpfs.0.path());
    let ballast = tmpfs.0.path().join("ballast");
    // As much as there is; the write that does not fit says so.
    let _full = std::fs::write(&ballast, vec![0_u8; 64 << 10]);
    let refused = Recorder::create(&store, info(&store), Seen::default());
    let error = refused.err().expect("no room").to_string();
    assert!(
        error.contains(&*tmpfs.0.path().to_string_lossy()),
        "{error}"
    );
    assert_eq!(store.session_ids().expect("listed"), []);
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

const LIMITED: &str = "TRACER_TEST_LIMITED_STATE";

/// Records beyond its own file size limit.
#[test]
#[ignore = "the process that a_file_size_limit_is_a_full_disk_and_not_a_signal starts"]
fn limited() {
    let Some(state) = std::env::var_os(LIMITED) else {
        return;
    };
    let store = store_in(Path::new(&state));
    let recorder = Recorder::create(&store, info(&store), Seen::default()).expect("made");
    let limit = rustix::process::Rlimit {
        current: Some(40_000),
        maximum: None,
    };
    rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).expect("lowered");
    recorder.accept_all(&mut (0..1_000).map(fork).collect());
    wait_for("EFBIG", || !recorder.notices().is_empty());
    let none = rustix::process::Rlimit {
        current: None,
        maximum: None,
    };
    rustix::process::setrlimit(rustix::process::Resource::Fsize, none).expect("raised");
    let report = recorder.finish(end("done"), soon());
    assert_eq!(report.end, EndOutcome::Durable);
    assert_eq!(read_journal(recorder.path()).0.len(), 1_002);
}

#[test]
fn a_file_size_limit_is_a_full_disk_and_not_a_signal() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = Command::new(std::env::current_exe().expect("known"))
        .args(["--ignored", "--exact", "faults::limited"])
        .env(LIMITED, dir.path())
        .output()
        .expect("started");
    assert!(output.status.success(), "{output:?}");
}

fn open(path: &Path) -> Result<Store, StoreError> {
    Store::open(&StateDir::resolve(Some(path.to_path_buf()), |_| None, 0).expect("a flag"))
}

#[test]
fn a_state_directory_others_could_tamper_with_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a directory");
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("ours");
    };
    let open_to_all = dir.path().join("open");
    std::fs::create_dir(&open_to_all).expect("made");
    mode(&open_to_all, 0o777);
    assert!(matches!(
        open(&open_to_all),
        Err(StoreError::TooOpen { mode: 0o777, .. })
    ));
    let link = dir.path().join("link");
    symlink(dir.path(), &link).expect("made");
    assert!(matches!(open(&link), Err(StoreError::NotADirectory { .. })));
    let foreign = dir.path().join("foreign");
    std::fs::create_dir(&foreign).expect("made");
    std::os::unix::fs::chown(&foreign, Some(12_345), None).expect("root");
    assert!(matches!(
        open(&foreign),
        Err(StoreError::WrongOwner { owner: 12_345, .. })
    ));
    // The directory of sessions is as good a place for a trap.
    let inner = dir.path().join("inner");
    open(&inner).expect("fresh");
    std::fs::remove_dir(inner.join("sessions")).expect("empty");
    symlink("/tmp", inner.join("sessions")).expect("made");
    assert!(matches!(
        open(&inner),
        Err(StoreError::NotADirectory { .. })
    ));
}

#[test]
fn the_default_state_directory_depends_on_who_asks_and_is_refused_in_tests() {
    let env = |pairs: &'static [(&str, &str)]| {
        move |name: &str| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.into())
        }
    };
    let path = |pairs, uid| {
        StateDir::resolve(None, env(pairs), uid).map(|state| state.path().to_path_buf())
    };
    assert_eq!(path(&[], 0).expect("root"), Path::new("/var/lib/tracer"));
    let home: &[_] = &[("HOME", "/home/u")];
    assert_eq!(
        path(home, 7).expect("home"),
        Path::new("/home/u/.local/state/tracer")
    );
    let xdg: &[_] = &[("XDG_STATE_HOME", "/s"), ("HOME", "/home/u")];
    assert_eq!(path(xdg, 7).expect("xdg"), Path::new("/s/tracer"));
    assert!(matches!(
        path(&[("HOME", "relative")], 7),
        Err(StoreError::NoDefault)
    ));
    let refused: &[_] = &[("TRACER_REFUSE_DEFAULT_STATE", "1")];
    assert!(matches!(
        path(refused, 0),
        Err(StoreError::DefaultRefused { .. })
    ));
}
