//! Disks that break under a session, for real: an ext4 of its own that is frozen, or that the kernel
//! makes read-only after an error.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use tracer::session::{
    recorder::{EndOutcome, Notice, Recorder},
    status::{Status, examine},
    store::SessionClaim,
};

use crate::support::*;

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(
        output.status.success(),
        "this test mounts file systems: run it as root, with loop devices\n{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A small ext4 in a file; thawed and unmounted when dropped.
struct Ext4 {
    dir: tempfile::TempDir,
    frozen: bool,
}

impl Ext4 {
    fn mounted() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let image = dir.path().join("image");
        let file = std::fs::File::create(&image).expect("made");
        file.set_len(16 << 20).expect("sparse");
        let image = image.to_str().expect("text");
        // Without a journal of its own, so that nothing but our calls decides when it writes.
        run("mkfs.ext4", &["-q", "-O", "^has_journal", image]);
        let disk = Self { dir, frozen: false };
        let path = disk.path();
        std::fs::create_dir(&path).expect("made");
        let path = path.to_str().expect("text");
        run("mount", &["-o", "loop,errors=remount-ro", image, path]);
        disk
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("mounted")
    }

    /// Every write waits, uninterruptibly, until [`Self::thaw`].
    fn freeze(&mut self) {
        self.frozen = true;
        run("fsfreeze", &["-f", self.path().to_str().expect("text")]);
    }

    fn thaw(&mut self) {
        if std::mem::take(&mut self.frozen) {
            run("fsfreeze", &["-u", self.path().to_str().expect("text")]);
        }
    }

    /// The kernel finds an error in it and makes it read-only, with our files open.
    fn break_it(&self) {
        let mounts = std::fs::read_to_string("/proc/self/mounts").expect("readable");
        let path = self.path();
        let device = mounts
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(_, rest)| rest.starts_with(path.to_str().expect("text")))
            .map(|(device, _)| Path::new(device).file_name().expect("a device").to_owned())
            .expect("mounted");
        let trigger = Path::new("/sys/fs/ext4").join(device);
        std::fs::write(trigger.join("trigger_fs_error"), "a test").expect("root");
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        self.thaw();
        let _unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[test]
fn n12_on_a_hung_file_system_everything_returns_by_its_deadline_and_says_so() {
    let mut disk = Ext4::mounted();
    let store = store_in(&disk.path());
    let info = info(&store);
    let recorder = Recorder::create(&store, info.clone(), Seen::default()).expect("made");
    recorder.accept_all(&mut (0..10).map(fork).collect());
    assert!(recorder.flush(soon()).complete);
    disk.freeze();

    let began = Instant::now();
    for n in 10..1_010 {
        assert_eq!(recorder.accept(fork(n)).taken, 1);
    }
    assert!(recorder.has_room());
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "producers do not wait for the disk"
    );

    let began = Instant::now();
    let flushed = recorder.flush(began + Duration::from_millis(300));
    assert!(!flushed.complete && flushed.written == 11, "{flushed:?}");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );

    let mut told = Vec::new();
    wait_for("a word about the disk", || {
        told.extend(recorder.notices());
        !told.is_empty()
    });
    assert!(matches!(told[..], [Notice::Stuck { .. }]), "{told:?}");

    let began = Instant::now();
    let report = recorder.finish(end("asked"), began + Duration::from_millis(300));
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    assert!(report.timed_out);
    assert_eq!(
        report.end,
        EndOutcome::NotWritten("the disk does not answer".to_owned())
    );
    // Who reads meanwhile sees a session that has not ended, and does not hang either.
    let session = store.existing_session(&info.session_id).expect("there");
    assert_eq!(examine(&session).status, Status::Running);

    disk.thaw();
    wait_for("the rest of the record", || {
        matches!(examine(&session).status, Status::Ended(_)) && !examine(&session).held
    });
    let (entries, stats) = read_journal(recorder.path());
    assert!(stats.is_clean(), "{stats:?}");
    let gaps = recorder.finish(end("again"), soon()).dropped;
    // What the queue held when time was up is counted in a gap; nothing is missing and unsaid.
    let forks = entries
        .iter()
        .filter(|entry| entry.body.kind() == "fork")
        .count() as u64;
    assert_eq!(forks + gaps, 1_010);
}

#[test]
fn c27_on_a_hung_file_system_many_sessions_end_within_one_deadline() {
    let mut disk = Ext4::mounted();
    let store = store_in(&disk.path());
    let recorders: Vec<_> = (0..8)
        .map(|_| Recorder::create(&store, info(&store), Seen::default()).expect("made"))
        .collect();
    disk.freeze();
    let began = Instant::now();
    let deadline = began + Duration::from_millis(500);
    std::thread::scope(|scope| {
        for recorder in &recorders {
            scope.spawn(move || {
                recorder.accept(fork(0));
                assert!(recorder.finish(end("asked"), deadline).timed_out);
            });
        }
    });
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    disk.thaw();
    for recorder in &recorders {
        // The deadline stays passed; the end comes all the same.
        wait_for("the late end", || {
            let report = recorder.finish(end("again"), soon());
            matches!(report.end, EndOutcome::Durable | EndOutcome::Written)
        });
    }
}

#[test]
fn r1_on_a_disk_that_turns_read_only_the_session_goes_on_and_is_found_interrupted() {
    let disk = Ext4::mounted();
    let store = store_in(&disk.path());
    let info = info(&store);
    let recorder = Recorder::create(&store, info.clone(), Seen::default()).expect("made");
    recorder.accept_all(&mut (0..10).map(fork).collect());
    assert!(recorder.flush(soon()).complete);
    disk.break_it();
    let mut told = Vec::new();
    for n in 10..2_000 {
        assert_eq!(recorder.accept(fork(n)).late, 0);
        told.extend(recorder.notices());
    }
    wait_for("EROFS", || {
        told.extend(recorder.notices());
        !told.is_empty()
    });
    let [Notice::WriteFailed { error, .. }] = &told[..] else {
        panic!("told once: {told:?}");
    };
    assert!(error.contains("Read-only"), "{error}");
    let began = Instant::now();
    let report = recorder.finish(end("done"), began + Duration::from_millis(500));
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    let EndOutcome::NotWritten(why) = &report.end else {
        panic!("{report:?}");
    };
    assert!(why.contains("Read-only"), "{why}");
    drop(recorder);

    // What was on disk can be read there; going on with it is refused with the reason.
    let (entries, stats) = read_journal(&store.session_path(&info.session_id));
    assert_eq!((entries.len(), stats.is_clean()), (11, true));
    let store = store_in(&disk.path());
    assert_eq!(store.session_ids().expect("listed"), [info.session_id]);
    let session = store.existing_session(&info.session_id).expect("there");
    // A finish that ran out of time leaves the thread to end by itself.
    wait_for("a free lease", || !examine(&session).held);
    assert_eq!(examine(&session).status, Status::Interrupted);
    match store.claim(&info.session_id) {
        Ok(SessionClaim::Taken) => panic!("nobody has it"),
        // A lock needs no write; the next epoch does.
        Ok(SessionClaim::Held(_)) | Err(_) => {}
    }
    let refused = Recorder::create(&store, crate::support::info(&store), Seen::default());
    let error = refused.err().expect("read-only");
    let cause = std::error::Error::source(&error)
        .expect("a cause")
        .to_string();
    assert!(cause.contains("Read-only"), "{error}: {cause}");
}
