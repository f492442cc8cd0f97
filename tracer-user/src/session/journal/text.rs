//! JSON text, appended to a byte buffer: the part of encoding that runs for every event.
//!
//! Strings a process chose may be any bytes. They are written as text with U+FFFD for what is not
//! UTF-8, and then a key with the suffix `_hex` beside them has the whole value, so that nothing is
//! lost. Pure.

use super::escape::{is_deceptive, put_escaped};

/// The key in JSON, with the comma before it and the colon after it, at compile time.
macro_rules! key {
    ($name:expr) => {
        concat!(",\"", $name, "\":").as_bytes()
    };
}
pub(crate) use key;

/// How each byte stands in a JSON string: 0 as itself, `u` as `\u00XX`, `?` for the first byte of
/// characters of which some are [deceptive](is_deceptive), else `\` and that letter.
const ESCAPE: [u8; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 32 {
        table[i] = b'u';
        i += 1;
    }
    table[0x7f] = b'u';
    let lead = [0xc2, 0xd8, 0xe2, 0xef, 0xf3];
    let mut i = 0;
    while i < lead.len() {
        table[lead[i]] = b'?';
        i += 1;
    }
    table[b'\n' as usize] = b'n';
    table[b'\r' as usize] = b'r';
    table[b'\t' as usize] = b't';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
};

const HEX: &[u8; 16] = b"0123456789abcdef";

const EIGHT_DIGITS: u64 = 100_000_000;
/// What makes eight digits text.
const ASCII: u64 = u64::from_le_bytes([b'0'; 8]);

/// Appends a number.
pub(crate) fn put_u64(out: &mut Vec<u8>, n: u64) {
    if n >= EIGHT_DIGITS {
        put_u64(out, n / EIGHT_DIGITS);
        let digits = eight_digits(n % EIGHT_DIGITS) | ASCII;
        out.extend_from_slice(&digits.to_le_bytes());
        return;
    }
    let digits = eight_digits(n);
    // All but the last digit of 0 are left out too.
    let zeros = (digits | (1 << 56)).trailing_zeros() / 8;
    let text = (digits | ASCII) >> (8 * zeros);
    let end = out.len() + 8 - zeros as usize;
    out.extend_from_slice(&text.to_le_bytes());
    out.truncate(end);
}

/// The digits of a number below 10^8, the first one in the lowest byte.
///
/// It is cut into halves, both of them into pairs, and all pairs into digits: each step is done to all parts
/// at once, as none of them grows into the next. So there is no table and no loop, and all digits are stored at
/// once, where byte after byte would be waited for by whoever reads them.
fn eight_digits(n: u64) -> u64 {
    let halves = (n / 10_000) | ((n % 10_000) << 32);
    // Divided by 100, exactly below 10^4.
    let high = ((halves * 10_486) >> 20) & 0x7f_0000_007f;
    let pairs = high | ((halves - 100 * high) << 16);
    // Divided by 10, exactly below 100.
    let high = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    high | ((pairs - 10 * high) << 8)
}

/// Appends a number that may be negative.
pub(crate) fn put_i64(out: &mut Vec<u8>, n: i64) {
    if n < 0 {
        out.push(b'-');
    }
    put_u64(out, n.unsigned_abs());
}

/// Appends `null` or the number.
pub(crate) fn put_opt_u64(out: &mut Vec<u8>, n: Option<u64>) {
    match n {
        Some(n) => put_u64(out, n),
        None => out.extend_from_slice(b"null"),
    }
}

/// ASCII that stands in a JSON string as it is.
const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut i = 0;
    while i < 128 {
        table[i] = ESCAPE[i] == 0;
        i += 1;
    }
    table
};

/// Whether all of it stands in a JSON string as it is, as nearly everything does.
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| PLAIN[usize::from(byte)])
}

/// Appends a string.
pub(crate) fn put_str(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    put_text(out, text);
    out.push(b'"');
}

/// Appends what stands between the quotes of a string.
fn put_text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
        return;
    }
    let mut from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let how = ESCAPE[usize::from(byte)];
        if how == 0 {
            continue;
        }
        let wide = text.get(at..).and_then(|rest| rest.chars().next());
        if how == b'?' && !wide.is_some_and(is_deceptive) {
            continue;
        }
        out.extend_from_slice(&bytes[from..at]);
        if let Some(wide) = wide.filter(|_| how == b'?') {
            put_escaped(out, wide);
            from = at + wide.len_utf8();
            continue;
        }
        if how == b'u' {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&hex(byte));
        } else {
            out.extend_from_slice(&[b'\\', how]);
        }
        from = at + 1;
    }
    out.extend_from_slice(&bytes[from..]);
}

/// Appends bytes as a string; whether the string says everything.
pub(crate) fn put_lossy(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    out.push(b'"');
    let mut whole = true;
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else {
        for chunk in bytes.utf8_chunks() {
            put_text(out, chunk.valid());
            if !chunk.invalid().is_empty() {
                out.extend_from_slice("\u{fffd}".as_bytes());
                whole = false;
            }
        }
    }
    out.push(b'"');
    whole
}

/// Appends bytes as a string of hex digits.
pub(crate) fn put_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for &byte in bytes {
        out.extend_from_slice(&hex(byte));
    }
    out.push(b'"');
}

/// A byte as two hex digits.
pub(super) fn hex(byte: u8) -> [u8; 2] {
    [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
}

/// Appends `,"key":"text"`, and `,"key_hex":"…"` when the text does not say everything. The keys
/// come from [`key!`].
pub(crate) fn put_bytes(out: &mut Vec<u8>, key: &[u8], hex_key: &[u8], bytes: &[u8]) {
    out.extend_from_slice(key);
    if !put_lossy(out, bytes) {
        out.extend_from_slice(hex_key);
        put_hex(out, bytes);
    }
}

/// Appends a NUL-separated command line with blanks for NULs, and its hex beside it when blanks do
/// not tell where the arguments end ([`cmdline_from_text`] is the way back).
pub(crate) fn put_cmdline(out: &mut Vec<u8>, key: &[u8], hex_key: &[u8], cmdline: &[u8]) {
    out.extend_from_slice(key);
    let (text, plain) = cmdline_text(cmdline);
    put_str(out, &text);
    if !plain {
        out.extend_from_slice(hex_key);
        put_hex(out, cmdline);
    }
}

/// A NUL-separated command line for people, and whether [`cmdline_from_text`] gives it back.
#[must_use]
pub fn cmdline_text(cmdline: &[u8]) -> (String, bool) {
    let body = cmdline.strip_suffix(b"\0").unwrap_or(cmdline);
    let spaced: Vec<u8> = body
        .iter()
        .map(|&byte| if byte == 0 { b' ' } else { byte })
        .collect();
    let plain = cmdline.is_empty() || (!body.is_empty() && body.len() < cmdline.len());
    match String::from_utf8(spaced) {
        Ok(text) => (text, plain && !body.contains(&b' ')),
        Err(bad) => (String::from_utf8_lossy(bad.as_bytes()).into_owned(), false),
    }
}

/// The command line that [`cmdline_text`] showed without a hex key.
#[must_use]
pub fn cmdline_from_text(text: &str) -> Vec<u8> {
    let mut cmdline: Vec<u8> = text
        .bytes()
        .map(|byte| if byte == b' ' { 0 } else { byte })
        .collect();
    if !cmdline.is_empty() {
        cmdline.push(0);
    }
    cmdline
}

/// Appends `,"key":[…]`, and `,"key_hex":[null,"…"]` when an element is not UTF-8.
pub(crate) fn put_argv(out: &mut Vec<u8>, key: &[u8], hex_key: &[u8], argv: &[Vec<u8>]) {
    let mut whole = true;
    put_list(out, key, argv, |out, arg| whole &= put_lossy(out, arg));
    if !whole {
        put_list(out, hex_key, argv, |out, arg| {
            if std::str::from_utf8(arg).is_ok() {
                out.extend_from_slice(b"null");
            } else {
                put_hex(out, arg);
            }
        });
    }
}

/// Appends `,"key":[…]`.
pub(crate) fn put_list<T>(
    out: &mut Vec<u8>,
    key: &[u8],
    items: &[T],
    mut put: impl FnMut(&mut Vec<u8>, &T),
) {
    out.extend_from_slice(key);
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        put(out, item);
    }
    out.push(b']');
}

/// Bytes of a string of hex digits, as [`put_hex`] wrote it; `None` for anything else.
#[must_use]
pub(crate) fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(put: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        put(&mut out);
        String::from_utf8(out).expect("JSON text is UTF-8")
    }

    #[test]
    fn numbers_are_written_as_the_standard_library_does() {
        for n in [
            0,
            9,
            10,
            99,
            100,
            101,
            1_000,
            123_456_789,
            u64::MAX - 1,
            u64::MAX,
        ] {
            assert_eq!(written(|out| put_u64(out, n)), n.to_string());
        }
        // Each half of eight digits.
        for n in (0..10_000).map(|half| half * 10_001) {
            assert_eq!(written(|out| put_u64(out, n)), n.to_string());
        }
        for n in [0, -1, i64::MIN, i64::MAX] {
            assert_eq!(written(|out| put_i64(out, n)), n.to_string());
        }
    }

    #[test]
    fn no_control_byte_reaches_a_terminal() {
        let line = written(|out| put_str(out, "\u{1b}[2J\u{7f}\"\\\n\0é"));
        assert_eq!(line, r#""\u001b[2J\u007f\"\\\n\u0000é""#);
        let line = written(|out| put_str(out, "é\u{9b}2J\u{202e}a\u{200d}\u{e0041}字"));
        assert_eq!(line, "\"é\\u009b2J\\u202ea\u{200d}\\udb40\\udc41字\"");
    }

    proptest! {
        #[test]
        fn any_string_reads_back(text in any::<String>()) {
            let json = written(|out| put_str(out, &text));
            prop_assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), text);
        }

        #[test]
        fn any_number_reads_back(n in any::<u64>(), shift in 0_u32..64) {
            prop_assert_eq!(written(|out| put_u64(out, n >> shift)), (n >> shift).to_string());
        }

        #[test]
        fn a_command_line_reads_back_whenever_it_says_so(line in "[ab \u{0}]{0,6}") {
            let (text, plain) = cmdline_text(line.as_bytes());
            if plain {
                prop_assert_eq!(cmdline_from_text(&text), line.as_bytes());
            }
        }

        #[test]
        fn hex_reads_back(bytes in any::<Vec<u8>>()) {
            let json = written(|out| put_hex(out, &bytes));
            prop_assert_eq!(parse_hex(json.trim_matches('"')), Some(bytes));
        }
    }
}
