//! Names of another recorder's files: `*_trace_{pid}.jsonl` beside `*_enrollment_{pid}.json`.
//!
//! A pair has the same beginning and the same pid. Names are bytes that somebody else chose: they are
//! compared and shown, never built into a path. Pure.

use std::collections::BTreeMap;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Trace,
    Enrollment,
}

/// The two names of one recording.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pair {
    /// Its pid.
    pub pid: u32,
    /// Name of the rows' file; `None` when it is not there.
    pub trace: Option<Vec<u8>>,
    /// Name of the enrollment; `None` when it is not there.
    pub enrollment: Option<Vec<u8>>,
}

impl Pair {
    /// The name people know it by.
    #[must_use]
    pub fn name(&self) -> String {
        let name = self.trace.as_ref().or(self.enrollment.as_ref());
        String::from_utf8_lossy(name.map_or(&b""[..], Vec::as_slice)).into_owned()
    }
}

/// Sorts names into pairs; other names are left out.
pub fn pairs<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> Vec<Pair> {
    let mut pairs: BTreeMap<(Vec<u8>, u32), Pair> = BTreeMap::new();
    for name in names {
        let Some((prefix, kind, pid)) = parse(name) else {
            continue;
        };
        let pair = pairs.entry((prefix.to_vec(), pid)).or_default();
        pair.pid = pid;
        match kind {
            Kind::Trace => pair.trace = Some(name.to_vec()),
            Kind::Enrollment => pair.enrollment = Some(name.to_vec()),
        }
    }
    pairs.into_values().collect()
}

fn parse(name: &[u8]) -> Option<(&[u8], Kind, u32)> {
    // A temporary file is hidden or ends otherwise.
    if name.starts_with(b".") || name.contains(&b'/') {
        return None;
    }
    let (stem, kind, mark) = match name.strip_suffix(b".jsonl") {
        Some(stem) => (stem, Kind::Trace, &b"_trace_"[..]),
        None => (
            name.strip_suffix(b".json")?,
            Kind::Enrollment,
            &b"_enrollment_"[..],
        ),
    };
    let at = stem.windows(mark.len()).rposition(|part| part == mark)?;
    let digits = &stem[at + mark.len()..];
    // One spelling for a pid: 07 and 7 would be two names of one process.
    if digits.is_empty() || digits[0] == b'0' || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let pid = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((&stem[..at], kind, pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(names: &[&str]) -> Vec<Pair> {
        pairs(names.iter().map(|name| name.as_bytes()))
    }

    #[test]
    fn a_pair_has_one_beginning_and_one_pid() {
        let found = sorted(&[
            "a_trace_7.jsonl",
            "b_enrollment_7.json",
            "a_enrollment_7.json",
        ]);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].trace.as_deref(), Some(&b"a_trace_7.jsonl"[..]));
        assert_eq!(
            found[0].enrollment.as_deref(),
            Some(&b"a_enrollment_7.json"[..])
        );
        assert_eq!((found[1].trace.as_ref(), found[1].pid), (None, 7));
    }

    #[test]
    fn only_a_plain_pid_makes_a_name() {
        for name in [
            "a_trace_.jsonl",
            "a_trace_07.jsonl",
            "a_trace_0.jsonl",
            "a_trace_-7.jsonl",
            "a_trace_7.jsonl.tmp",
            "a_trace_4294967296.jsonl",
            "a_trace_7\n.jsonl",
            ".a_trace_7.jsonl",
            "../a_trace_7.jsonl",
            "a_trace_7.json",
            "a_enrollment_7.jsonl",
            "trace_7.jsonl",
        ] {
            assert_eq!(sorted(&[name]), [], "{name:?}");
        }
        assert_eq!(sorted(&["_trace_7.jsonl"]).len(), 1);
        assert_eq!(sorted(&["a_trace_1_trace_7.jsonl"])[0].pid, 7);
    }

    #[test]
    fn a_name_with_a_newline_is_one_name() {
        let found = sorted(&["x\ny_trace_7.jsonl"]);
        assert_eq!(found[0].name(), "x\ny_trace_7.jsonl");
    }
}
