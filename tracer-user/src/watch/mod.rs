//! The watch: what was left behind, who holds what, and telling someone.

pub mod alert;
pub mod busy;
pub mod collect;
pub mod decide;
pub mod forest;
pub mod holders;
pub mod holdings;
pub mod metrics;
pub mod notify;
pub mod orphan;
pub mod patterns;
pub mod state;
#[cfg(test)]
mod tests_proc;
pub mod watcher;
pub mod wording;
