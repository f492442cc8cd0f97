//! An alert as one line of JSON.
//!
//! Whoever named a process chose what is in it: what a terminal would obey or show in another order is
//! escaped, which is the same JSON to every reader.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Serializer, ser::Formatter};

/// Writes strings with everything escaped that is not plainly a letter.
struct Plain;

impl Formatter for Plain {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut start = 0;
        for (at, letter) in fragment
            .char_indices()
            .filter(|(_, letter)| deceives(*letter))
        {
            out.write_all(&fragment.as_bytes()[start..at])?;
            for unit in letter.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            start = at + letter.len_utf8();
        }
        out.write_all(&fragment.as_bytes()[start..])
    }
}

/// Controls beyond ASCII's, and what has no width or turns the direction of text: Unicode's general
/// categories Cc, Cf, Zl and Zp, as far as a terminal or a browser acts on them.
pub(super) fn deceives(letter: char) -> bool {
    matches!(
        u32::from(letter),
        0..=0x1f | 0x7f..=0x9f | 0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x180e
            | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff | 0xfff9..=0xfffb
            | 0x1_bca0..=0x1_bca3 | 0x1_d173..=0x1_d17a | 0xe_0000..=0xe_007f
    )
}

/// The value as JSON, without a newline.
pub(super) fn encode(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(512);
    value.serialize(&mut Serializer::with_formatter(&mut bytes, Plain))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_deceives_a_terminal_is_escaped_and_read_back_the_same() {
        let text = "a\u{1b}[2J\u{9b}\u{202e}b\u{e0001}\"é\n";
        let bytes = encode(&text).expect("JSON");
        let line = String::from_utf8(bytes).expect("UTF-8");
        assert_eq!(line, "\"a\\u001b[2J\\u009b\\u202eb\\udb40\\udc01\\\"é\\n\"");
        assert_eq!(serde_json::from_str::<String>(&line).expect("JSON"), text);
    }
}
