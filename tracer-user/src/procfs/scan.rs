//! Numbers in the bytes of `/proc` files.
//!
//! The kernel prints plain ASCII; anything else is refused rather than guessed at. Pure.

/// A decimal number that fills `digits` entirely.
pub(crate) fn parse_u64(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, &byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// A decimal number with an optional minus.
pub(crate) fn parse_i64(digits: &[u8]) -> Option<i64> {
    match digits.strip_prefix(b"-") {
        Some(rest) => 0_i64.checked_sub_unsigned(parse_u64(rest)?),
        None => i64::try_from(parse_u64(digits)?).ok(),
    }
}

/// A decimal number that must fit 32 bits.
pub(crate) fn parse_u32(digits: &[u8]) -> Option<u32> {
    u32::try_from(parse_u64(digits)?).ok()
}

/// A hexadecimal number of at most 64 bits that fills `digits` entirely.
pub(crate) fn parse_hex(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, &byte| {
        let digit = char::from(byte).to_digit(16)?;
        Some((value << 4) | u64::from(digit))
    })
}

/// The words of a line, separated by any run of blanks.
pub(crate) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_whole_or_not_at_all() {
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        assert_eq!(parse_u64(b""), None);
        assert_eq!(parse_u64(b"12 "), None);
        assert_eq!(parse_u64(b"+1"), None);
        assert_eq!(parse_i64(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_i64(b"-9223372036854775809"), None);
        assert_eq!(parse_i64(b"-"), None);
        assert_eq!(parse_i64(b"--1"), None);
        assert_eq!(parse_u32(b"4294967296"), None);
        assert_eq!(parse_hex(b"ffffffffffffffff"), Some(u64::MAX));
        assert_eq!(parse_hex(b"0ffffffffffffffff"), None);
        assert_eq!(parse_hex(b"0x10"), None);
    }

    #[test]
    fn words_do_not_depend_on_the_blanks_between_them() {
        let found: Vec<_> = words(b"  a \t bc\n").collect();
        assert_eq!(found, [b"a".as_slice(), b"bc"]);
        assert_eq!(words(b" \n ").count(), 0);
    }
}
