//! The watch: what was left behind, who holds what, and telling someone.

pub mod alert;
pub mod metrics;
pub mod notify;
