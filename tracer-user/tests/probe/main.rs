//! The kernel side on the running kernel, against what `wait4` says. Needs root and eBPF, and fails
//! without them.

#![expect(
    clippy::unwrap_used,
    reason = "what is not as expected ends a test; that is said of #[test] functions only"
)]

mod account;
mod doubts;
mod ends;
mod follow;
mod followed;
mod held;
mod names;
mod orphans;
mod rings;
mod watch;
