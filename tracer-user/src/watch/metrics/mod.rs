//! Metrics for Prometheus: what the watch last measured, as text, and a small server for it.

mod readings;
pub mod server;
mod text;

pub use self::readings::{Degraded, Durations, Readings};
