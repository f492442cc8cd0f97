//! What reads bytes from strangers, as functions that must survive any bytes.
//!
//! A target panics when something is wrong, and that is more than a crash: what it could read it also
//! writes and reads back, and both must say the same. It returns a fingerprint of what the input led
//! to, which stands in for coverage where there is none.
//!
//! Two ways to run them, over the same `corpus`:
//!
//! * `cargo xtask fuzz [--seconds N] [TARGET…]`: any stable compiler, mutations without coverage; CI
//!   does it for a few seconds a target.
//! * `cargo +nightly fuzz run --features libfuzzer TARGET`: libFuzzer, for hours.
#![expect(
    clippy::expect_used,
    reason = "a target that panics is how a fuzzer is told"
)]

pub mod enrollment;
pub mod event;
pub mod journal;
pub mod mutation;
pub mod redact;
pub mod stat;
pub mod status;

use std::hash::{DefaultHasher, Hash, Hasher};

/// Reads any bytes, and says what came of it.
pub type Target = fn(&[u8]) -> u64;

/// All targets, by the name of their corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("journal", journal::target),
    ("enrollment", enrollment::target),
    ("event", event::target),
    ("stat", stat::target),
    ("status", status::target),
    ("redact", redact::target),
];

/// A number for what happened: the same for inputs that took about the same way.
fn fingerprint(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// About how many: 0, 1, 2, 3–4, 5–8, …
fn about(count: usize) -> u32 {
    count
        .checked_next_power_of_two()
        .map_or(u32::MAX, usize::trailing_zeros)
        + u32::from(count > 0)
}
