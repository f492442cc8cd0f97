//! Whole sessions, made by the recorder: ended ones with a summary, at chosen times, and their files.

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;
use tracer::{
    event::{EventKind, Exec, Exit, Fork},
    session::{
        SessionId, Store,
        enrollment::Enrollment,
        journal::{
            info::SessionInfo,
            record::{Body, Note, ObserverEnding, Record},
        },
        recorder::{EndInfo, EndOutcome, Recorder},
        summary::Summarizer,
    },
    units::BootNs,
};

use crate::support::*;

pub(crate) type Live = Recorder<Summarizer>;

/// A store of its own, in a directory that goes with the first value.
pub(crate) fn made() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    (dir, store)
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// A session that begins at this time.
pub(crate) fn info_at(store: &Store, wall: Timestamp) -> SessionInfo {
    let mut info = info(store);
    info.clock.wall = wall;
    info.session_id = store.new_session_id(wall).expect("random bytes");
    info.attachments = Vec::new();
    info
}

fn record(ns: u64, body: Body) -> Record {
    Record {
        t: BootNs(5_000_000_000 + ns),
        body,
    }
}

/// A command's whole life: tracking is on, it begins, executes, is looked at three times, ends.
pub(crate) fn life() -> Vec<Record> {
    let (Body::Event(EventKind::Fork(born)), Body::Event(EventKind::Exec(run))) =
        (fork(0).body, exec(0).body)
    else {
        unreachable!("they are what they are called");
    };
    let Body::Event(EventKind::Exit(gone)) = exit(0).body else {
        unreachable!("it is what it is called");
    };
    let process = process(100);
    vec![
        record(1, Body::Note(Box::new(Note::armed()))),
        record(
            2,
            Body::Event(EventKind::Fork(Fork {
                child: process,
                ..born
            })),
        ),
        record(
            3,
            Body::Event(EventKind::Exec(Box::new(Exec { process, ..*run }))),
        ),
        row(4),
        row(5),
        row(6),
        record(
            7,
            Body::Event(EventKind::Exit(Box::new(Exit { process, ..*gone }))),
        ),
    ]
}

/// A session that is going on, with its life in the file.
pub(crate) fn going_on(store: &Store, info: &SessionInfo) -> Live {
    let recorder =
        Recorder::create(store, info.clone(), Summarizer::new(info.clone())).expect("made");
    let enrollment = Enrollment {
        pid: info.root.pid,
        root_pid: Some(info.root.pid),
        ..enrollment(info.session_id.as_str())
    };
    assert!(recorder.enroll(enrollment));
    recorder.accept_all(&mut life());
    assert!(recorder.flush(soon()).complete);
    recorder
}

/// Ends a session that many seconds after its beginning.
pub(crate) fn finish(recorder: &Live, seconds: u64) {
    let report = recorder.finish(
        EndInfo {
            ending: ObserverEnding::Completed,
            cause: "the root ended".to_owned(),
            t: BootNs(5_000_000_000 + seconds * 1_000_000_000),
        },
        soon(),
    );
    assert_eq!(report.end, EndOutcome::Durable);
    assert!(report.failures.is_empty(), "{:?}", report.failures);
}

/// A session that began at this time and ended that many seconds later.
pub(crate) fn ended(store: &Store, wall: &str, seconds: u64) -> SessionId {
    let info = info_at(store, at(wall));
    finish(&going_on(store, &info), seconds);
    info.session_id
}

/// A session whose observer went away without a word.
pub(crate) fn interrupted(store: &Store, wall: &str) -> SessionId {
    let info = info_at(store, at(wall));
    drop(going_on(store, &info));
    info.session_id
}

/// The lines of a file, without their newlines.
pub(crate) fn lines(path: &Path) -> Vec<Vec<u8>> {
    let text = std::fs::read(path).expect("there");
    let text = text.strip_suffix(b"\n").expect("whole lines");
    text.split(|&byte| byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect()
}

pub(crate) fn put_lines(path: &Path, lines: &[Vec<u8>]) {
    let mut text = lines.join(&b'\n');
    text.push(b'\n');
    std::fs::write(path, text).expect("ours");
}

/// A journal line with another text in it, and a checksum that fits.
pub(crate) fn forged(line: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = std::str::from_utf8(line).expect("JSON");
    assert!(text.contains(from), "{from} is not in {text}");
    let body = text[..text.len() - 18].replace(from, to);
    format!(
        "{body},\"crc\":\"{:08x}\"}}",
        crc32fast::hash(body.as_bytes())
    )
    .into_bytes()
}

/// Every file and directory below, with its content.
pub(crate) fn contents(below: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(below).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(contents(&path));
            found.insert(path, Vec::new());
        } else {
            let content = std::fs::read(&path).expect("readable");
            found.insert(path, content);
        }
    }
    found
}
