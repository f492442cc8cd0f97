//! The journal as text: every record reads back exactly; damage is found, whatever and wherever.

use proptest::{collection::vec, prelude::*};
use serde_json::{Map, Value, json};
use tracer::{
    event::EventKind,
    session::{
        derive::write_proc_trace,
        enrollment::{Enrollment, EnrollmentError},
        journal::{
            Body, Encoder, JournalReader, Record,
            reader::{BadLine, Line},
            record::{Counts, End, Note, ObserverEnding},
        },
    },
    units::BootNs,
};

use crate::{
    arbitrary::{body, data},
    support::*,
};

fn journal(records: &[Record]) -> Vec<u8> {
    let mut out = Vec::new();
    for (seq, record) in (0..).zip(records) {
        Encoder::default().line(&mut out, seq, record.t, &record.body);
    }
    out
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.split(|&byte| byte == b'\n').count() - 1
}

proptest! {
    #[test]
    fn every_record_reads_back_exactly(bodies in vec((any::<u64>(), body()), 1..6)) {
        let records: Vec<_> =
            bodies.into_iter().map(|(t, body)| Record { t: BootNs(t), body }).collect();
        let lines = journal(&records);
        let mut reader = JournalReader::new(lines.as_slice()).starting_at(0);
        for (seq, record) in (0..).zip(&records) {
            let entry = reader.next_entry().expect("memory").expect("there");
            prop_assert_eq!(entry.seq, seq);
            prop_assert_eq!(entry.t, record.t);
            prop_assert_eq!(&entry.body, &record.body);
        }
        prop_assert!(reader.next_entry().expect("memory").is_none());
        prop_assert!(reader.stats().is_clean());
    }

    #[test]
    fn every_line_is_json_with_its_keys_once(body in body()) {
        // A later duplicate would win in most readers: the head and the checksum must be the only ones.
        let collides = matches!(&body, Body::Unknown { value, .. }
            if ["seq", "t_boot_ns", "kind", "crc"].iter().any(|key| value.contains_key(*key)));
        prop_assume!(!collides);
        let line = journal(&[Record { t: BootNs(7), body }]);
        prop_assert_eq!(newlines(&line), 1);
        let value: Map<String, Value> = serde_json::from_slice(&line).expect("JSON");
        prop_assert_eq!(&value["seq"], 0);
        prop_assert_eq!(&value["t_boot_ns"], 7);
        prop_assert!(value["crc"].is_string());
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in vec(any::<u8>(), 0..600)) {
        let mut reader = JournalReader::new(bytes.as_slice());
        while reader.next_entry().expect("memory").is_some() {}
        let _refused = Enrollment::parse(&bytes);
    }

    #[test]
    fn no_members_make_a_decoder_panic(
        kind in "(fork|exec|exit|signal|oom|session|target|snapshot|tick|end|gap|x)",
        members in data(),
    ) {
        let body = Body::Unknown { kind: kind.clone(), value: members.clone() };
        let line = journal(&[Record { t: BootNs(1), body }]);
        let entry = JournalReader::new(line.as_slice()).next_entry().expect("memory").expect("good");
        prop_assert_eq!(entry.body.kind(), kind);
    }
}

/// A small session with one of nearly everything.
fn small() -> Vec<Record> {
    let dir = tempfile::tempdir().expect("a directory");
    let info = info(&store_in(dir.path()));
    let text = "torn \u{fffd} \"quoted\" \\ \u{1b}[2J";
    let note = Note {
        topic: "x".to_owned(),
        text: text.to_owned(),
        data: Map::new(),
    };
    vec![
        Record {
            t: BootNs(1),
            body: Body::Session(Box::new(info)),
        },
        fork(1),
        exec(2),
        row(3),
        exit(4),
        Record {
            t: BootNs(5),
            body: Body::Note(Box::new(note)),
        },
        Record {
            t: BootNs(6),
            body: Body::End(Box::new(End {
                ending: ObserverEnding::Completed,
                cause: "done".to_owned(),
                counts: Counts::default(),
            })),
        },
    ]
}

#[test]
fn r6_n2_cut_at_every_byte_the_whole_records_before_the_cut_are_read() {
    let records = small();
    let lines = journal(&records);
    for cut in 0..=lines.len() {
        let whole = newlines(&lines[..cut]);
        let mut reader = JournalReader::new(&lines[..cut]).starting_at(0);
        for record in &records[..whole] {
            let entry = reader
                .next_entry()
                .expect("memory")
                .expect("a whole record");
            assert_eq!(entry.body, record.body);
        }
        assert!(reader.next_entry().expect("memory").is_none());
        let stats = reader.stats();
        let end = lines[..cut]
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1);
        assert_eq!(
            (stats.good_bytes, stats.torn),
            (end as u64, (cut - end) as u64)
        );
        assert_eq!((stats.bad_lines, stats.missing), (0, 0));
    }
}

#[test]
fn every_flipped_bit_is_found_and_no_record_says_anything_else() {
    let records = small();
    let mut lines = journal(&records);
    for at in 0..lines.len() {
        for bit in 0..8 {
            lines[at] ^= 1 << bit;
            let mut reader = JournalReader::new(lines.as_slice()).starting_at(0);
            let mut read = 0;
            while let Some(entry) = reader.next_entry().expect("memory") {
                let place = usize::try_from(entry.seq).expect("small");
                assert_eq!(entry.body, records[place].body, "byte {at} bit {bit}");
                assert_eq!(entry.t, records[place].t);
                read += 1;
            }
            assert!(read < records.len(), "byte {at} bit {bit} went unnoticed");
            assert!(!reader.stats().is_clean());
            lines[at] ^= 1 << bit;
        }
    }
}

#[test]
fn a_reader_of_a_running_session_goes_on_where_the_file_ended() {
    let lines = journal(&small());
    let (early, late) = lines.split_at(lines.len() / 2);
    let mut both = Growing {
        parts: vec![late.to_vec(), early.to_vec()],
        at: 0,
    };
    let mut reader = JournalReader::new(&mut both);
    let mut read = 0;
    for _ in 0..2 {
        while reader.next_entry().expect("memory").is_some() {
            read += 1;
        }
    }
    assert_eq!(read, 7);
    assert!(reader.stats().is_clean());
}

/// Says "end of file" between its parts.
struct Growing {
    parts: Vec<Vec<u8>>,
    at: usize,
}

impl std::io::Read for Growing {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let Some(part) = self.parts.last() else {
            return Ok(0);
        };
        if self.at == part.len() {
            self.parts.pop();
            self.at = 0;
            return Ok(0);
        }
        let take = into.len().min(part.len() - self.at);
        into[..take].copy_from_slice(&part[self.at..self.at + take]);
        self.at += take;
        Ok(take)
    }
}

#[test]
fn repeated_missing_and_overlong_lines_are_counted_each_in_its_way() {
    let lines = journal(&[fork(0), fork(1), fork(2), fork(3)]);
    let each: Vec<&[u8]> = lines.split_inclusive(|&byte| byte == b'\n').collect();
    let read = |parts: &[&[u8]]| {
        let joined = parts.concat();
        let mut reader = JournalReader::new(joined.as_slice()).starting_at(0);
        let mut seqs = Vec::new();
        while let Some(entry) = reader.next_entry().expect("memory") {
            seqs.push(entry.seq);
        }
        (seqs, reader.stats())
    };
    let (seqs, stats) = read(&[each[0], each[1], each[1], each[2]]);
    assert_eq!((seqs, stats.bad_lines), (vec![0, 1, 2], 1));
    assert_eq!(stats.first_bad, Some(BadLine::Repeated));
    let (seqs, stats) = read(&[each[0], each[3]]);
    assert_eq!((seqs, stats.missing), (vec![0, 3], 2));
    let long = vec![b'x'; (16 << 20) + 5];
    let (seqs, stats) = read(&[each[0], &long, b"\n", each[1]]);
    assert_eq!((seqs, stats.bad_lines), (vec![0, 1], 1));
    assert_eq!(stats.first_bad, Some(BadLine::TooLong));
    // What a power failure leaves: blocks of zeroes.
    let (seqs, stats) = read(&[each[0], &[0; 4096]]);
    assert_eq!((seqs, stats.torn, stats.torn_lines), (vec![0], 4096, 1));
}

#[test]
fn json_with_a_right_checksum_as_deep_as_the_line_is_long_is_only_a_bad_line() {
    let mut line = b"{\"seq\":0,\"t_boot_ns\":1,\"kind\":\"note\",\"x\":".to_vec();
    line.extend(std::iter::repeat_n(b'[', 100_000));
    let crc = crc(&line);
    line.extend_from_slice(format!(",\"crc\":\"{crc:08x}\"}}\n").as_bytes());
    assert!(Line::parse(&line[..line.len() - 1]).is_ok());
    let mut reader = JournalReader::new(line.as_slice());
    assert!(reader.next_entry().expect("memory").is_none());
    assert_eq!(reader.stats().first_bad, Some(BadLine::Json));
}

#[test]
fn r6_what_is_no_text_is_no_record_although_its_checksum_is_right() {
    let row =
        b"{\"seq\":0,\"t_boot_ns\":1,\"kind\":\"snapshot\",\"event\":\"snapshot\",\"later\":\"?\"";
    for (byte, text) in [(b'x', true), (b'\xff', false)] {
        let mut line: Vec<u8> = row.to_vec();
        let at = line.iter().position(|&byte| byte == b'?').expect("there");
        line[at] = byte;
        let crc = crc(&line);
        line.extend_from_slice(format!(",\"crc\":\"{crc:08x}\"}}\n").as_bytes());
        let mut reader = JournalReader::new(line.as_slice());
        // Of a key that nobody reads, at that.
        assert_eq!(reader.next_entry().expect("memory").is_some(), text);
        let bad = (!text).then_some(BadLine::Json);
        assert_eq!(reader.stats().first_bad, bad);
        let mut trace = Vec::new();
        write_proc_trace(line.as_slice(), &mut trace).expect("memory");
        assert_eq!(trace.is_empty(), !text, "and no row of the trace");
    }
}

/// CRC-32 (IEEE 802.3), bit by bit: not the code under test.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        })
    })
}

#[test]
fn keys_of_public_records_are_as_documented() {
    let value =
        |record: Record| -> Value { serde_json::from_slice(&journal(&[record])).expect("JSON") };
    let fork = value(fork(5));
    assert_eq!(fork["kind"], "fork");
    assert_eq!(fork["pid"], 7);
    assert_eq!(fork["starttime_ticks"], 100);
    assert_eq!(fork["start_boottime_ns"], 1_000_000_007);
    assert_eq!(
        (&fork["ppid"], &fork["creator_pid"]),
        (&json!(1), &json!(1))
    );
    assert!(fork.get("pid_init").is_none() && fork.get("pid_inner").is_none());
    let exit = value(exit(5));
    assert_eq!(
        (&exit["status"], &exit["exit_code"]),
        (&json!(0x700), &json!(7))
    );
    assert_eq!(
        (&exit["signal"], &exit["core_dumped"]),
        (&Value::Null, &json!(false))
    );
    assert_eq!(exit["wall_us"], 123_456);
    let mut killed = small()[4].clone();
    let Body::Event(EventKind::Exit(exit)) = &mut killed.body else {
        unreachable!()
    };
    exit.status = 0x8b;
    exit.process.inner = 1;
    let killed = value(killed);
    assert_eq!(
        (&killed["signal"], &killed["core_dumped"]),
        (&json!("SIGSEGV"), &json!(true))
    );
    assert_eq!(
        (&killed["exit_code"], &killed["pid_inner"]),
        (&Value::Null, &json!(1))
    );
    let mut odd = exec(1);
    let Body::Event(EventKind::Exec(exec)) = &mut odd.body else {
        unreachable!()
    };
    exec.argv = vec![b"ok".to_vec(), b"\xff\x00".to_vec()];
    let odd = value(odd);
    assert_eq!(odd["argv"], json!(["ok", "\u{fffd}\u{0}"]));
    assert_eq!(odd["argv_hex"], json!([null, "ff00"]));
}

#[test]
fn rows_are_copied_into_the_trace_as_they_are() {
    let lines = journal(&[fork(0), row(123_456), exit(1)]);
    let mut out = Vec::new();
    let stats = write_proc_trace(lines.as_slice(), &mut out).expect("memory");
    assert_eq!(stats.records, 3);
    let traced: Value = serde_json::from_slice(&out).expect("one row of JSON");
    assert_eq!(traced["ts"], "2026-11-21T05:45:00.123456Z");
    assert_eq!(
        (&traced["seq"], &traced["event"]),
        (&json!(1), &json!("snapshot"))
    );
    assert!(traced.get("crc").is_none() && traced.get("kind").is_none());
}

#[test]
fn enrollments_of_three_schemas_are_read_and_others_refused_by_name() {
    let ours = enrollment("20261121T054512.123456Z-0a1b2c3d");
    let text = ours.encode();
    assert_eq!(Enrollment::parse(&text), Ok(ours));
    let value: Value = serde_json::from_slice(&text).expect("JSON");
    assert_eq!(value["schema_version"], 3);
    assert_eq!(value["enrolled_at"], "2026-11-21T05:45:12.200000Z");
    assert_eq!(value["cmdline"], "python3 -c print(1)");
    let old = br#"{"schema_version":2,"pid":9,"boot_id":"b\n","kitchen_id":"k","order_id":"o"}"#;
    let old = Enrollment::parse(old).expect("schema 2");
    assert_eq!(
        (
            old.labels["kitchen_id"].as_str(),
            old.labels["order_id"].as_str()
        ),
        ("k", "o")
    );
    assert_eq!((old.starttime_ticks, old.boot_id.as_str()), (None, "b"));
    let later = br#"{"schema_version":4,"pid":9,"boot_id":"b"}"#;
    assert_eq!(Enrollment::parse(later), Err(EnrollmentError::Schema(4)));
    assert!(matches!(
        Enrollment::parse(b"[]"),
        Err(EnrollmentError::Malformed(_))
    ));
}
