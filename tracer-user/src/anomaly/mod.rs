//! What is wrong with the tree while it is wrong: a condition that begins, lasts and ends.
//!
//! Pure: rows, events and times go in, [`Change`]s come out. A [`Detector`] is told what was seen and
//! keeps no more than what it needs of those that live. Which number counts as too high is in one
//! table, [`thresholds`]; what each kind means is in docs/anomalies.md.
//!
//! Each anomaly opens once and closes once. A value that could not be read is no value: it neither opens
//! nor closes anything, and does not count as a row.

mod change;
mod consecutive;
mod detector;
mod episode;
mod identity;
mod kind;
mod ledger;
mod load;
mod memory;
pub mod oom;
mod retry;
mod state;
pub mod thresholds;
mod tree;
mod watch;
mod words;

pub use self::{
    change::{Change, Detail, Ended, Phase, Span, Subject},
    detector::{Detector, Life, Ongoing},
    identity::Pinned,
    kind::{Kind, Severity},
    ledger::OPENINGS_MAX,
    thresholds::Thresholds,
    tree::Relative,
    words::{about, phrase},
};

#[cfg(test)]
mod tests;
