//! Text for a terminal: what strangers chose, made harmless.
//!
//! Names, command lines and paths are any bytes. A control character in them could move the cursor,
//! set the title or answer for the user; a direction mark makes a line read as another one. Both are
//! shown as escapes, and so is every byte that is no UTF-8. What a reader may take for a line of
//! tracer's own is indented. Pure: everything that is printed passes through here.

use crate::session::journal::escape::is_deceptive;

/// Text with everything a terminal or a reader could mistake escaped, newlines included.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    push(&mut shown, text);
    shown
}

/// The same for bytes; those that are no UTF-8 stand as `\xff`.
pub(super) fn printable_bytes(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        push(&mut shown, chunk.valid());
        for byte in chunk.invalid() {
            shown.extend(std::ascii::escape_default(*byte).map(char::from));
        }
    }
    shown
}

/// Text of several lines, each of them printable. All but the first line are indented: none can pass
/// for a line of its own.
pub(super) fn paragraph(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(|line| printable(line.trim())).collect();
    lines.join("\n    ")
}

fn push(shown: &mut String, text: &str) {
    for character in text.chars() {
        if is_deceptive(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_program_calls_itself_reaches_the_terminal_raw() {
        assert_eq!(
            printable("a\u{1b}[31mb\r\nc\u{202e}d"),
            "a\\u{1b}[31mb\\r\\nc\\u{202e}d"
        );
        assert_eq!(printable("grün 字 👩\u{200d}🚀"), "grün 字 👩\u{200d}🚀");
    }

    #[test]
    fn v6_no_control_no_direction_mark_and_no_stray_byte_gets_through() {
        let controls = (0..0x20).chain(0x7f..0xa0).filter_map(char::from_u32);
        let marks = "\u{61c}\u{200b}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}\u{feff}\u{e0041}";
        for character in controls.chain(marks.chars()) {
            let shown = printable(&character.to_string());
            assert!(shown.is_ascii() && shown.starts_with('\\'), "{shown}");
            assert!(shown.bytes().all(|byte| byte.is_ascii_graphic()), "{shown}");
        }
        for byte in 0..=u8::MAX {
            // In the middle of text, where it belongs to no character.
            let shown = printable_bytes(&[b'a', byte, b'b']);
            assert!(
                shown.bytes().all(|byte| (b' '..0x7f).contains(&byte)),
                "{shown}"
            );
        }
        // C1 in the one-byte form of eight-bit terminals, and as UTF-8.
        assert_eq!(printable_bytes(b"\x9b2J"), "\\x9b2J");
        assert_eq!(printable_bytes("\u{9b}2J".as_bytes()), "\\u{9b}2J");
        assert_eq!(printable_bytes(b"caf\xc3\xa9 \xc3"), "café \\xc3");
    }

    #[test]
    fn a_line_within_a_text_cannot_pass_for_a_line_of_tracers_own() {
        assert_eq!(
            paragraph("seen:\n  a\u{1b}b\ntracer: c"),
            "seen:\n    a\\u{1b}b\n    tracer: c"
        );
    }
}
