//! The bytes of a record at their limits: cut anywhere, damaged anywhere, filled with anything.

use std::io::Read;

use tracer::{
    event::EventKind,
    session::{
        SessionId,
        enrollment::{Enrollment, EnrollmentError},
        journal::{
            Body, Encoder, JournalReader, Record,
            reader::{BadLine, LINE_MAX},
            record::{Crash, Note},
        },
    },
    units::BootNs,
};

use crate::support::*;

fn lines(records: &[Record]) -> Vec<u8> {
    let mut out = Vec::new();
    for (seq, record) in (0..).zip(records) {
        Encoder::default().line(&mut out, seq, record.t, &record.body);
    }
    out
}

fn read(journal: impl Read) -> (Vec<Body>, tracer::session::journal::reader::ReadStats) {
    let mut reader = JournalReader::new(journal).starting_at(0);
    let mut bodies = Vec::new();
    while let Some(entry) = reader.next_entry().expect("memory") {
        bodies.push(entry.body);
    }
    (bodies, reader.stats())
}

fn note(text: &str) -> Record {
    let note = Note {
        text: text.to_owned(),
        ..Note::default()
    };
    Record {
        t: BootNs(1),
        body: Body::Note(Box::new(note)),
    }
}

fn crash() -> Record {
    let crash = Crash {
        cause: "panic".to_owned(),
        detail: "at x".to_owned(),
    };
    Record {
        t: BootNs(9),
        body: Body::Crash(Box::new(crash)),
    }
}

#[test]
fn n2_a_kill_at_each_byte_of_the_crash_record_leaves_what_came_before() {
    let records = [fork(0), exec(1), exit(2), crash()];
    let all = lines(&records);
    let before = lines(&records[..3]);
    for cut in before.len()..all.len() {
        let (bodies, stats) = read(&all[..cut]);
        assert_eq!(bodies.len(), 3, "cut at {cut}");
        assert!(
            !bodies.iter().any(Body::is_terminal),
            "half a crash is none"
        );
        assert_eq!(stats.torn, (cut - before.len()) as u64);
        assert_eq!((stats.bad_lines, stats.missing), (0, 0));
    }
    let (bodies, stats) = read(all.as_slice());
    assert!(bodies.last().is_some_and(Body::is_terminal) && stats.is_clean());
}

#[test]
fn every_flipped_bit_of_an_enrollment_is_found_or_changes_nothing() {
    let ours = enrollment("20261121T054512.123456Z-0a1b2c3d");
    let mut bytes = ours.encode();
    let mut found = 0;
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            match Enrollment::parse(&bytes) {
                Ok(read) => assert_eq!(read, ours, "byte {at} bit {bit}"),
                Err(_) => found += 1,
            }
            bytes[at] ^= 1 << bit;
        }
    }
    // Only in the checksum's own key and in the newline may a flip be harmless.
    let harmless = bytes.len() * 8 - found;
    assert!(
        harmless <= 8 * b",\"crc\":\"xxxxxxxx\"}\n".len(),
        "{harmless} were not found"
    );
}

#[test]
fn an_enrollment_cut_at_any_byte_is_none() {
    let ours = enrollment("20261121T054512.123456Z-0a1b2c3d");
    let bytes = ours.encode();
    for cut in 0..bytes.len() - 1 {
        let read = Enrollment::parse(&bytes[..cut]);
        assert!(
            matches!(read, Err(EnrollmentError::Malformed(_))),
            "cut at {cut}: {read:?}"
        );
    }
    assert_eq!(
        Enrollment::parse(&bytes[..bytes.len() - 1]),
        Ok(ours),
        "the newline is no content"
    );
}

#[test]
fn an_enrollment_without_a_checksum_is_read_and_a_wrong_one_is_told() {
    let by_hand = br#"{"schema_version":3,"pid":9,"boot_id":"b"}"#;
    assert_eq!(Enrollment::parse(by_hand).expect("schema 3").pid, 9);
    for wrong in [
        &br#"{"schema_version":3,"pid":9,"boot_id":"b","crc":"00000000"}"#[..],
        br#"{"schema_version":3,"pid":9,"boot_id":"b","crc":7}"#,
        br#"{"crc":"00000000","schema_version":3,"pid":9,"boot_id":"b"}"#,
    ] {
        assert_eq!(Enrollment::parse(wrong), Err(EnrollmentError::Checksum));
    }
}

#[test]
fn r6_whatever_stands_in_its_place_is_told_and_never_a_panic() {
    for wrong in [
        &b""[..],
        b"\n",
        b"\0",
        b"null",
        b"[]",
        b"\"x\"",
        b"{}",
        b"{\"schema_version\":3}",
        b"{\"schema_version\":\"3\",\"pid\":1,\"boot_id\":\"b\"}",
        b"{\"schema_version\":3,\"pid\":-1,\"boot_id\":\"b\"}",
        b"{\"schema_version\":3,\"pid\":4294967296,\"boot_id\":\"b\"}",
        b"{\"schema_version\":3,\"pid\":1,\"boot_id\":7}",
        b"{\"schema_version\":3,\"pid\":1,\"boot_id\":\"b\",\"labels\":[]}",
        b"{\"schema_version\":3,\"pid\":1,\"boot_id\":\"b\",\"cmdline_hex\":\"0\"}",
        b"{\"schema_version\":3,\"schema_version\":3,\"pid\":1,\"boot_id\":\"b\"}",
        b"{\"schema_version\":3,\"pid\":1,\"boot_id\":\"b\"}{}",
        b"\xff\xfe",
    ] {
        let text = String::from_utf8_lossy(wrong);
        let parsed = Enrollment::parse(wrong);
        assert!(
            matches!(parsed, Err(EnrollmentError::Malformed(_))),
            "{text}: {parsed:?}"
        );
        let (bodies, stats) = read(wrong);
        assert!(
            bodies.is_empty() && stats.torn == wrong.len() as u64,
            "{text}"
        );
    }
    let mut deep = br#"{"schema_version":3,"pid":1,"boot_id":"b","x":"#.to_vec();
    deep.extend(std::iter::repeat_n(b'[', 1 << 20));
    assert!(matches!(
        Enrollment::parse(&deep),
        Err(EnrollmentError::Malformed(_))
    ));
}

#[test]
fn r8_the_longest_line_is_read_and_one_byte_more_is_told() {
    let length = |text: usize| lines(&[note(&"x".repeat(text))]).len() - 1;
    let fixed = length(1_000) - 1_000;
    for (line, readable) in [
        (LINE_MAX - 1, true),
        (LINE_MAX, true),
        (LINE_MAX + 1, false),
    ] {
        let long = note(&"x".repeat(line - fixed));
        let journal = lines(&[fork(0), long.clone(), fork(2)]);
        let (bodies, stats) = read(journal.as_slice());
        assert_eq!(bodies.len(), if readable { 3 } else { 2 }, "{line} bytes");
        assert_eq!(bodies.contains(&long.body), readable, "{line} bytes");
        let told = (!readable).then_some(BadLine::TooLong);
        assert_eq!(
            (stats.first_bad, stats.missing),
            (told, u64::from(!readable)),
            "{line} bytes"
        );
    }
}

#[test]
fn r8_what_was_cut_keeps_its_flag_and_its_true_length() {
    let mut record = exec(0);
    let Body::Event(EventKind::Exec(exec)) = &mut record.body else {
        unreachable!()
    };
    exec.argv_truncated = true;
    exec.filename_truncated = true;
    (exec.argc, exec.argv_bytes) = (70_000, u64::MAX);
    let (bodies, _) = read(lines(&[record.clone()]).as_slice());
    assert_eq!(bodies, [record.body]);
}

#[test]
fn r21_every_byte_a_process_may_choose_is_kept_and_none_leaves_its_string() {
    let every: Vec<u8> = (0..=u8::MAX).collect();
    let fake = {
        let crash = lines(&[fork(0), crash()]);
        let at = crash
            .iter()
            .position(|&byte| byte == b'\n')
            .expect("two lines");
        // A whole crash record with the right number and the right checksum, as an argument.
        [b"\n", &crash[at + 1..]].concat()
    };
    for hostile in [
        every,
        fake,
        b"\",\"kind\":\"crash\",\"x\":\"".to_vec(),
        "\u{202e}\u{9b}2J".into(),
    ] {
        let mut record = exec(0);
        let Body::Event(EventKind::Exec(exec)) = &mut record.body else {
            unreachable!()
        };
        exec.argv = vec![hostile.clone(), Vec::new(), hostile.clone()];
        exec.filename.clone_from(&hostile);
        exec.comm = tracer::units::Comm::from_bytes(&hostile);
        let mut told = note(&String::from_utf8_lossy(&hostile));
        told.t = BootNs(u64::MAX);
        let records = [record, told, fork(2)];
        let journal = lines(&records);
        assert_eq!(journal.split(|&byte| byte == b'\n').count(), 4);
        assert!(
            std::str::from_utf8(&journal)
                .expect("UTF-8")
                .chars()
                .all(|character| {
                    character == '\n' || !tracer::session::journal::escape::is_deceptive(character)
                })
        );
        let (bodies, stats) = read(journal.as_slice());
        assert!(bodies.iter().eq(records.iter().map(|record| &record.body)));
        assert!(stats.is_clean() && !bodies.iter().any(Body::is_terminal));
    }
}

#[test]
fn c7_no_text_but_an_id_of_ours_names_a_session_and_two_ids_are_two_directories() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store_in(dir.path());
    let id = "20261121T054512.123456Z-0a1b2c3d";
    let long = "x".repeat(10_000);
    for text in [
        "",
        ".",
        "..",
        "/",
        "a/b",
        "a_b",
        "../x",
        "sessions",
        &long,
        "\0",
        "20261121T054512.123456Z-0a1b2c3d/",
        "./20261121T054512.123456Z-0a1b2c3d",
        "20261121T054512.123456Z-0A1B2C3D",
        "20261121T054512.123456Z-0a1b2c3d\n",
        "20261121T054512.123456Z-0a1b2c3\u{ff44}",
        "20261121T054512.123456z-0a1b2c3d",
        " 20261121T054512.123456Z-0a1b2c3d",
    ] {
        assert!(text.parse::<SessionId>().is_err(), "{text:?}");
    }
    let one: SessionId = id.parse().expect("an id");
    let other: SessionId = id.replace("3d", "3e").parse().expect("an id");
    assert_ne!(store.session_path(&one), store.session_path(&other));
    let sessions = dir.path().join("state/sessions");
    for id in [one, other] {
        assert_eq!(store.session_path(&id).parent(), Some(sessions.as_path()));
        assert_eq!(
            store.session_path(&id).file_name(),
            Some(id.as_str().as_ref())
        );
    }
}
