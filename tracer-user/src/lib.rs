//! tracer: a flight recorder for process trees on Linux.
//!
//! Read [`observe`] first: it is the main path, from the command line to the end record, and every
//! other module is one room off it. `ARCHITECTURE.md` has the picture.

// So that what tests share can be compiled inside and outside of this crate.
#[cfg(test)]
extern crate self as tracer;

pub mod anomaly;
pub mod cli;
mod collections;
pub mod config;
pub mod event;
pub mod observe;
pub mod probe;
pub mod procfs;
pub mod sampler;
pub mod session;
pub mod snapshot;
pub mod target;
pub mod tree;
pub mod units;
pub mod verdict;
pub mod watch;
