//! Pins on the running kernel: what an observer leaves goes on, is read whole, and goes without a trace.
//! Needs root. Every test has a bpffs of its own, in a mount namespace of its own, which goes with it.

#![expect(clippy::unwrap_used, reason = "in a test, what must hold")]

mod place;
mod unread;
