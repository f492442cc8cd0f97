//! The `end` record: always the same number of bytes, whatever it says.
//!
//! Ending a session is one append. A constant size makes its cost and the room it needs known
//! beforehand. Blanks before the checksum, which JSON allows, fill the line up. Pure.

use crate::session::journal::{
    encode::{TAIL_BYTES, put_field, put_number, put_object},
    record::{Counts, End},
    text::{key, put_str},
};

/// Bytes of an `end` line, newline included.
pub(crate) const END_LINE_BYTES: usize = 1024;
/// Most bytes of the cause as it stands in the line. Head, counts and tail need less than 600.
const CAUSE_BYTES: usize = 360;
/// Most bytes of an ending's name.
const ENDING_BYTES: usize = 40;

/// Appends the members of an `end` record, and blanks so that the line that began at `start` will
/// have its constant size.
pub(crate) fn put(out: &mut Vec<u8>, start: usize, end: &End) {
    put_field(
        out,
        key!("observer_ending"),
        clip(end.ending.as_str(), ENDING_BYTES),
    );
    put_field(out, key!("cause"), clip(&end.cause, CAUSE_BYTES));
    out.extend_from_slice(key!("counts"));
    put_object(out, |out| put_counts(out, &end.counts));
    let used = out.len() - start + TAIL_BYTES + 1;
    out.resize(out.len() + END_LINE_BYTES.saturating_sub(used), b' ');
}

fn put_counts(out: &mut Vec<u8>, counts: &Counts) {
    put_number(out, key!("records"), counts.records);
    put_number(out, key!("forks"), counts.forks);
    put_number(out, key!("execs"), counts.execs);
    put_number(out, key!("exits"), counts.exits);
    put_number(out, key!("signals"), counts.signals);
    put_number(out, key!("ooms"), counts.ooms);
    put_number(out, key!("accounts"), counts.accounts);
    put_number(out, key!("snapshots"), counts.snapshots);
    put_number(out, key!("ticks"), counts.ticks);
    put_number(out, key!("anomalies"), counts.anomalies);
    put_number(out, key!("lost"), counts.lost);
    put_number(out, key!("dropped"), counts.dropped);
}

/// The longest beginning of `text` that takes at most `max` bytes as a JSON string.
fn clip(text: &str, max: usize) -> &str {
    let mut escaped = Vec::with_capacity(max);
    let mut used = 2;
    for (at, character) in text.char_indices() {
        escaped.clear();
        put_str(&mut escaped, character.encode_utf8(&mut [0; 4]));
        used += escaped.len() - 2;
        if used > max {
            return &text[..at];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        session::journal::{
            encode::Encoder,
            record::{Body, ObserverEnding},
        },
        units::BootNs,
    };

    #[test]
    fn an_end_line_has_its_size_whatever_it_says() {
        let most = Counts {
            records: u64::MAX,
            forks: u64::MAX,
            execs: u64::MAX,
            exits: u64::MAX,
            signals: u64::MAX,
            ooms: u64::MAX,
            accounts: u64::MAX,
            snapshots: u64::MAX,
            ticks: u64::MAX,
            anomalies: u64::MAX,
            lost: u64::MAX,
            dropped: u64::MAX,
        };
        for (seq, cause, counts) in [
            (1, String::new(), Counts::default()),
            (u64::MAX, "\u{1}".repeat(5_000), most),
            (u64::MAX, "é\"".repeat(5_000), most),
        ] {
            let ending = ObserverEnding::Other("\u{2}".repeat(300));
            let body = Body::End(Box::new(End {
                ending,
                cause,
                counts,
            }));
            let mut line = Vec::new();
            Encoder::default().line(&mut line, seq, BootNs(seq), &body);
            assert_eq!(line.len(), END_LINE_BYTES);
        }
    }
}
