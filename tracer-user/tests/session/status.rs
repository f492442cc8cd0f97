//! What a session's directory alone says of it: running, interrupted, ended or corrupt.

use std::{fs::File, os::unix::fs::FileExt};

use tracer::session::{
    epochs::{self, EpochsError},
    journal::record::{Body, ObserverEnding},
    recorder::{Recorder, SessionError},
    status::{Status, examine},
};

use crate::support::*;

#[test]
fn c14_c25_running_is_a_held_lease_and_ended_is_an_end_record_the_moment_finish_returns() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let info = info(&store);
    let recorder = Recorder::create(&store, info.clone(), Seen::default()).expect("made");
    let session = store.existing_session(&info.session_id).expect("there");
    let just_begun = examine(&session);
    assert_eq!(
        (just_begun.status, just_begun.held),
        (Status::Running, true)
    );
    let _report = recorder.finish(end("done"), soon());
    let ended = examine(&session);
    let Status::Ended(entry) = &ended.status else {
        panic!("{ended:?}");
    };
    let Body::End(last) = &entry.body else {
        panic!("{ended:?}");
    };
    assert_eq!(last.ending, ObserverEnding::Completed);
    assert!(!ended.held && ended.settled);
    drop(recorder);
}

#[test]
fn only_an_end_record_ends_a_session_whatever_its_tail_looks_like() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let info = left(&store, 10);
    let session = store.existing_session(&info.session_id).expect("there");
    let path = store.session_path(&info.session_id);
    // A line longer than any piece that is looked at first.
    append(&path, "journal.0.jsonl", &vec![b'x'; 3 << 20]);
    assert_eq!(examine(&session).status, Status::Interrupted);
    let fake = br#"
{"seq":11,"t_boot_ns":1,"kind":"end","observer_ending":"completed","crc":"00000000"}
"#;
    append(&path, "journal.0.jsonl", fake);
    assert_eq!(examine(&session).status, Status::Interrupted);

    let (recorder, _) = reopen(&store, &info);
    let _report = recorder.finish(end("done"), soon());
    assert!(matches!(examine(&session).status, Status::Ended(_)));
    append(&path, "journal.1.jsonl", b"torn by somebody else");
    assert!(matches!(examine(&session).status, Status::Ended(_)));
    let end_line = bytes(&path, "journal.1.jsonl");
    let at = end_line.len() - 21 - 500;
    let journal = File::options()
        .write(true)
        .open(path.join("journal.1.jsonl"))
        .expect("there");
    journal.write_all_at(b"#", at as u64).expect("written");
    assert_eq!(
        examine(&session).status,
        Status::Interrupted,
        "a damaged end is none"
    );
}

#[test]
fn r6_sessions_without_a_readable_journal_are_corrupt_and_nothing_panics() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let info = left(&store, 1);
    let session = store.existing_session(&info.session_id).expect("there");
    let journal = store.session_path(&info.session_id).join("journal.0.jsonl");
    std::fs::write(&journal, b"\0\xff\n\n{}\n").expect("written");
    assert!(matches!(examine(&session).status, Status::Corrupt(_)));
    std::fs::remove_file(&journal).expect("there");
    assert!(matches!(examine(&session).status, Status::Corrupt(_)));
    let none = epochs::replay(&session, &mut ());
    assert!(matches!(none, Err(EpochsError::None { .. })));
    std::os::unix::fs::symlink("/etc/passwd", &journal).expect("made");
    assert!(matches!(examine(&session).status, Status::Corrupt(_)));
    let link = epochs::replay(&session, &mut ());
    assert!(matches!(link, Err(EpochsError::Store(_))), "{link:?}");
}

#[test]
fn r7_a_session_directory_that_is_not_ours_alone_is_refused_and_left_as_it_is() {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let info = left(&store, 3);
    let path = store.session_path(&info.session_id);
    let before: Vec<_> = files(&path).iter().map(|name| bytes(&path, name)).collect();
    let refused = |what: &str| {
        let error = store.claim(&info.session_id).expect_err(what);
        assert!(
            error.to_string().contains(&*path.to_string_lossy()),
            "{error}"
        );
        assert!(store.existing_session(&info.session_id).is_err(), "{what}");
        let again = Recorder::create(&store, info.clone(), Seen::default());
        assert!(
            matches!(again.err(), Some(SessionError::Exists { .. })),
            "{what}"
        );
        let after: Vec<_> = files(&path).iter().map(|name| bytes(&path, name)).collect();
        assert_eq!(after, before, "{what}");
    };
    chown(&path, Some(12_345), None).expect("this test runs as root");
    refused("somebody else's");
    chown(&path, Some(0), None).expect("root");
    let mode = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode));
    mode(0o720).expect("ours");
    refused("for the group to write");
    mode(0o700).expect("ours");
    let elsewhere = dir.path().join("elsewhere");
    std::fs::rename(&path, &elsewhere).expect("moved");
    symlink(&elsewhere, &path).expect("made");
    refused("a symbolic link");
}
