//! Characters that deceive whoever looks at a journal, and JSON without them.
//!
//! Two writers fill a journal: `text` by hand, and serde for what comes rarely. Both escape the same.
//! Pure.

use std::io;

use serde::Serialize;

use super::text::{hex, is_plain};

/// Whether a terminal obeys this character or a reader is misled by it: controls (C0, DEL, C1), what
/// changes the direction of text or ends a line (Unicode annexes 9 and 14), and what cannot be seen.
/// In JSON these are always escaped, so that a journal can be looked at with anything.
#[must_use]
pub fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}'
                | '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{2069}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Appends `\uXXXX`, twice above U+FFFF.
pub(super) fn put_escaped(out: &mut Vec<u8>, character: char) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        out.extend_from_slice(b"\\u");
        for byte in unit.to_be_bytes() {
            out.extend_from_slice(&hex(byte));
        }
    }
}

/// How serde writes JSON here: compact, and with the same escapes as [`put_str`].
pub(crate) struct Escaping;

impl serde_json::ser::Formatter for Escaping {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if is_plain(fragment.as_bytes()) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut from = 0;
        for (at, found) in fragment.match_indices(is_deceptive) {
            writer.write_all(&fragment.as_bytes()[from..at])?;
            let mut escaped = Vec::with_capacity(12);
            found
                .chars()
                .for_each(|character| put_escaped(&mut escaped, character));
            writer.write_all(&escaped)?;
            from = at + found.len();
        }
        writer.write_all(&fragment.as_bytes()[from..])
    }
}

/// Appends any value as JSON; `None`, and nothing appended, for what JSON cannot say.
pub(crate) fn put_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Option<()> {
    let start = out.len();
    let mut writer = serde_json::Serializer::with_formatter(&mut *out, Escaping);
    if value.serialize(&mut writer).is_err() {
        out.truncate(start);
        return None;
    }
    Some(())
}

/// A value as indented JSON for people, with the same escapes, and a newline behind it.
///
/// # Errors
/// For what JSON cannot say.
pub fn pretty<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Vec<u8>> {
    let plain = serde_json::to_string_pretty(value)?;
    let mut out = Vec::with_capacity(plain.len() + 1);
    for piece in plain.split_inclusive(is_deceptive) {
        // The newlines are the layout's: in a string they are escaped already.
        match piece.chars().next_back() {
            Some(last) if last != '\n' && is_deceptive(last) => {
                out.extend_from_slice(&piece.as_bytes()[..piece.len() - last.len_utf8()]);
                put_escaped(&mut out, last);
            }
            _ => out.extend_from_slice(piece.as_bytes()),
        }
    }
    out.push(b'\n');
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::session::journal::text::put_str;

    fn written(put: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        put(&mut out);
        String::from_utf8(out).expect("JSON text is UTF-8")
    }

    fn deceptive() -> impl Strategy<Value = String> {
        let marks = "\0\u{1b}\n\u{7f}\u{80}\u{9f}\u{a0}\u{61c}\u{200d}\u{2028}\u{202e}\u{feff}\u{e0041}é\"\\";
        let marks: Vec<char> = marks.chars().collect();
        proptest::collection::vec(proptest::sample::select(marks), 0..12)
            .prop_map(|marks| marks.into_iter().collect())
    }

    proptest! {
        #[test]
        fn v6_both_ways_of_writing_leave_nothing_deceptive(text in deceptive()) {
            let by_hand = written(|out| put_str(out, &text));
            let by_serde = written(|out| put_json(out, &text).expect("a string"));
            let indented = pretty(&[&text]).expect("strings");
            let indented = String::from_utf8(indented).expect("JSON text is UTF-8");
            prop_assert!(!indented.replace('\n', "").contains(is_deceptive), "{:?}", indented);
            prop_assert_eq!(&serde_json::from_str::<Vec<String>>(&indented).expect("JSON")[0], &text);
            for json in [&by_hand, &by_serde] {
                prop_assert!(!json.contains(is_deceptive), "{:?}", json);
                prop_assert_eq!(&serde_json::from_str::<String>(json).expect("JSON"), &text);
            }
        }
    }
}
