//! When records are made safe from a power failure, and what is said of it.

use std::time::Duration;

use tracer::session::recorder::{Durability, EndOutcome, Options, Recorder};

use crate::{faulty::Disk, support::*};

fn recorder(durability: Durability) -> (tempfile::TempDir, Disk, Recorder<Seen>) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let disk = Disk::default();
    let options = Options {
        durability,
        ..disk.options()
    };
    let recorder = Recorder::create_with(&store, info(&store), Seen::default(), options);
    (dir, disk, recorder.expect("made"))
}

#[test]
fn with_none_the_start_a_flush_and_the_end_are_durable_and_nothing_else_is() {
    let (_dir, disk, recorder) = recorder(Durability::None);
    assert_eq!(disk.syncs(), 1, "the session record");
    for n in 0..200 {
        recorder.accept(fork(n));
        wait_for("the write", || recorder.progress().written == n + 2);
    }
    assert_eq!((disk.syncs(), recorder.progress().durable), (1, 1));
    assert!(recorder.flush(soon()).complete);
    assert_eq!((disk.syncs(), recorder.progress().durable), (2, 201));
    let report = recorder.finish(end("done"), soon());
    assert_eq!((report.end, disk.syncs()), (EndOutcome::Durable, 3));
}

#[test]
fn with_an_interval_what_was_written_becomes_durable_with_nobody_asking() {
    let (_dir, disk, recorder) = recorder(Durability::Interval(Duration::from_millis(20)));
    recorder.accept_all(&mut (0..500).map(fork).collect());
    wait_for("the sync", || recorder.progress().durable == 501);
    let syncs = disk.syncs();
    assert!((2..50).contains(&syncs), "{syncs} for 500 records");
    // An idle session costs the disk nothing.
    let quiet = recorder.flush(soon());
    assert!(quiet.complete && disk.syncs() == syncs);
}

#[test]
fn with_always_nothing_written_waits_for_the_next_record_to_become_durable() {
    let (_dir, disk, recorder) = recorder(Durability::Always);
    for n in 0..50 {
        recorder.accept(fork(n));
        wait_for("the sync", || recorder.progress().durable == n + 2);
    }
    assert!(disk.syncs() >= 51);
    disk.set(|fault| fault.hold_sync = true);
    recorder.accept(fork(50));
    wait_for("the write", || recorder.progress().written == 52);
    assert_eq!(
        recorder.progress().durable,
        51,
        "not before the disk says so"
    );
    disk.set(|fault| fault.hold_sync = false);
    wait_for("the sync", || recorder.progress().durable == 52);
}
