//! Values of `summary.json` as text and rounded numbers.

use crate::{session::journal::info::SessionInfo, units::BootNs};

/// RFC 3339 UTC with µs.
pub(super) fn wall(session: &SessionInfo, t: BootNs) -> String {
    format!("{:.6}", session.clock.wall_of(t))
}

/// Words as a shell would need them to get the same ones.
pub(crate) fn quote(words: &[Vec<u8>]) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./=:,@%+".contains(c);
    let quoted: Vec<String> = words
        .iter()
        .map(|word| {
            let word = String::from_utf8_lossy(word);
            if !word.is_empty() && word.chars().all(plain) {
                word.into_owned()
            } else {
                format!("'{}'", word.replace('\'', r"'\''"))
            }
        })
        .collect();
    quoted.join(" ")
}

/// Nanoseconds as seconds, rounded to so many decimals.
pub(super) fn seconds(ns: u64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    #[expect(
        clippy::cast_precision_loss,
        reason = "microseconds of a century fit in 2^52"
    )]
    let seconds = ns as f64 / 1e9;
    (seconds * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_keep_six_decimals() {
        assert!((seconds(1_234_567_891, 6) - 1.234_568).abs() < 1e-12);
    }

    #[test]
    fn a_quoted_command_can_be_pasted_into_a_shell() {
        let words = ["sh", "-c", "echo 'a b'", ""].map(|word| word.as_bytes().to_vec());
        assert_eq!(quote(&words), r"sh -c 'echo '\''a b'\''' ''");
    }
}
