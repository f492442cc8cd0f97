//! A journal: read as it is, and with checksums that are right, as an enemy would write them.

use tracer::session::{
    derive::{Fold as _, write_proc_trace},
    journal::{
        Body, Encoder, JournalReader,
        encode::TAIL_BYTES,
        reader::{Entry, Line, ReadStats},
    },
    redact::Redactor,
    summary::Summarizer,
};

use crate::{about, fingerprint};

/// Reads, folds, derives, and writes what was read once more.
///
/// # Panics
/// When a reader contradicts itself, or a record is not what was written.
#[must_use]
pub fn target(data: &[u8]) -> u64 {
    let (_, raw) = read(data);
    let sealed = seal(data);
    let (entries, stats) = read(&sealed);
    for entry in &entries {
        written_and_read(entry);
    }
    if let Some(Entry {
        body: Body::Session(info),
        ..
    }) = entries.first()
    {
        let mut fold = Summarizer::new((**info).clone());
        for Entry { seq, t, body } in &entries {
            fold.apply(*seq, *t, body);
        }
        let summary = fold.finish();
        assert_eq!(summary.session_id, info.session_id.to_string());
    }
    let mut rows = Vec::new();
    let derived = write_proc_trace(sealed.as_slice(), &mut rows).expect("memory");
    assert_eq!(derived.good_bytes, stats.good_bytes);
    let kinds: Vec<&str> = entries
        .iter()
        .map(|entry| entry.body.kind())
        .take(4)
        .collect();
    fingerprint((
        raw.first_bad.map(|bad| bad as u8),
        stats.first_bad.map(|bad| bad as u8),
        kinds,
        about(entries.len()),
        stats.later_ends.min(3),
        entries
            .iter()
            .filter(|entry| matches!(entry.body, Body::Unknown { .. }))
            .count()
            .min(3),
    ))
}

fn read(data: &[u8]) -> (Vec<Entry>, ReadStats) {
    let mut reader = JournalReader::new(data);
    let mut entries: Vec<Entry> = Vec::new();
    while let Some(entry) = reader.next_entry().expect("memory") {
        if let Some(last) = entries.last() {
            assert!(entry.seq > last.seq, "{} after {}", entry.seq, last.seq);
        }
        entries.push(entry);
    }
    let stats = reader.stats();
    assert_eq!(stats.records, entries.len() as u64);
    assert_eq!(stats.good_bytes + stats.torn, data.len() as u64);
    assert_eq!(
        stats.first_bad.is_some(),
        stats.bad_lines + bad_torn(data, stats) > 0,
        "{stats:?}"
    );
    (entries, stats)
}

/// Whole lines among the torn bytes; the unfinished one is no bad line.
fn bad_torn(data: &[u8], stats: ReadStats) -> u64 {
    let good = usize::try_from(stats.good_bytes).expect("it is in memory");
    data[good..].split(|&byte| byte == b'\n').count() as u64 - 1
}

/// The same lines with the checksums they should have, so that what is behind the checksum is reached.
fn seal(data: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(data.len() + 64);
    for line in data.split_inclusive(|&byte| byte == b'\n') {
        let Some(line) = line.strip_suffix(b"\n") else {
            sealed.extend_from_slice(line);
            continue;
        };
        let tail = line
            .len()
            .checked_sub(TAIL_BYTES)
            .map(|at| line.split_at(at));
        let body = match tail {
            Some((body, tail)) if tail.starts_with(b",\"crc\":") => body,
            _ => line.strip_suffix(b"}").unwrap_or(line),
        };
        sealed.extend_from_slice(body);
        sealed.extend_from_slice(
            format!(",\"crc\":\"{:08x}\"}}\n", crc32fast::hash(body)).as_bytes(),
        );
    }
    sealed
}

/// A record that could be read is written to one line that says the same.
pub(crate) fn written_and_read(entry: &Entry) {
    let mut line = Vec::new();
    Encoder::default().line(&mut line, entry.seq, entry.t, &entry.body);
    let raw = line.strip_suffix(b"\n").expect("a line");
    assert!(!raw.contains(&b'\n'), "more than one line");
    let text = std::str::from_utf8(raw).expect("JSON is UTF-8");
    assert!(
        !text.contains(tracer::session::journal::escape::is_deceptive),
        "{text}"
    );
    let parsed = Line::parse(raw).expect("our own line");
    assert_eq!((parsed.seq, parsed.t), (entry.seq, entry.t));
    // Keys of later versions may stand twice, serde rounds what is no whole number, and words that do
    // not fit into an end record of constant size are cut.
    let exact = !matches!(
        entry.body,
        Body::Unknown { .. }
            | Body::Snapshot { .. }
            | Body::Tick(_)
            | Body::Anomaly(_)
            | Body::Note(_)
            | Body::End(_)
    );
    let again = parsed.body();
    assert!(again.is_some(), "{text}");
    if exact {
        assert_eq!(again.as_ref(), Some(&entry.body), "{text}");
    }
    if let (Body::End(end), Some(Body::End(again))) = (&entry.body, &again) {
        assert_eq!(again.counts, end.counts, "{text}");
    }
    let mut record = tracer::session::journal::Record {
        t: entry.t,
        body: entry.body.clone(),
    };
    Redactor::new(true).record(&mut record);
    assert_eq!(record.body.kind(), entry.body.kind());
}
