//! Last words: how an observer that crashes still says so.
//!
//! A panic ends the record through the recorder, as any other end ([`panics`]). A fatal signal leaves
//! no time for that: its handler appends one line to the session's lease ([`slot`], [`line`]; [`words`] reads it back), and the
//! process then dies of the signal as it would have without us. `SIGKILL` and a power failure leave
//! nothing but a free lease.

pub mod line;
pub mod panics;
pub mod slot;
pub mod stack;
pub mod words;

/// The cause of a crash that gave none.
pub const NO_CAUSE: &str = "unknown";

/// A crash as it is told: never without a cause, and bounded.
#[must_use]
pub fn told(cause: &str, detail: &str) -> crate::session::journal::record::Crash {
    let cause = cause.trim();
    crate::session::journal::record::Crash {
        cause: clip(if cause.is_empty() { NO_CAUSE } else { cause }, CAUSE_MAX).to_owned(),
        detail: clip(detail, DETAIL_MAX).to_owned(),
    }
}

/// Most bytes of a cause.
const CAUSE_MAX: usize = 200;
/// Most bytes of a detail: a panic can carry any amount of text.
const DETAIL_MAX: usize = 2_000;

fn clip(text: &str, max: usize) -> &str {
    let mut ends = (0..=max.min(text.len())).rev();
    let end = ends.find(|&at| text.is_char_boundary(at));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_without_a_cause_has_one_all_the_same() {
        for nothing in ["", " ", "\n\t"] {
            assert_eq!(told(nothing, "").cause, NO_CAUSE);
        }
    }

    #[test]
    fn what_a_panic_says_is_cut_between_characters() {
        let crash = told(&"é".repeat(500), &"é".repeat(5_000));
        assert_eq!(crash.cause.len(), CAUSE_MAX);
        assert_eq!(crash.detail.len(), DETAIL_MAX);
        let odd = told("x", &format!("a{}", "é".repeat(5_000)));
        assert_eq!(odd.detail.len(), DETAIL_MAX - 1);
    }
}
