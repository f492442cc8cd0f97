//! What a watcher knows beyond its own end: who has been told of what. Text in, values out.
//!
//! The state is on disk before the news go out, and the news are in it until they are with the notifiers:
//! a watcher that is killed between the two tells them again, with the same time, rather than never.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    alert::Alert,
    decide::{Key, Open},
};

/// The form of the file.
const VERSION: u32 = 1;

/// A condition that was told and is not over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// What and who.
    pub key: Key,
    /// When, and how often.
    pub open: Open,
    /// What was told last.
    pub alert: Alert,
}

/// Everything that is kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    version: u32,
    /// The boot that all times and starts are of.
    pub boot_id: String,
    /// What is open.
    pub open: Vec<Told>,
    /// News that nobody may have been told of yet.
    pub pending: Vec<Alert>,
}

/// A state that cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// No JSON of this form.
    #[error("it is damaged")]
    Damaged(#[source] serde_json::Error),
    /// A later tracer's.
    #[error("it is of version {0}, this tracer knows {VERSION}: use a later one")]
    Version(u32),
}

impl State {
    /// Of this boot.
    #[must_use]
    pub fn new(boot_id: &str, open: Vec<Told>, pending: Vec<Alert>) -> Self {
        Self {
            version: VERSION,
            boot_id: boot_id.to_owned(),
            open,
            pending,
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn parse(text: &[u8]) -> Result<Self, StateError> {
        let state: Self = serde_json::from_slice(text).map_err(StateError::Damaged)?;
        match state.version {
            VERSION => Ok(state),
            other => Err(StateError::Version(other)),
        }
    }

    /// As text.
    ///
    /// # Errors
    /// Not to be expected: all keys are strings.
    pub fn to_text(&self) -> Result<Vec<u8>, StateError> {
        serde_json::to_vec(self).map_err(StateError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rubbish_and_the_future_are_refused() {
        assert!(matches!(State::parse(b"{"), Err(StateError::Damaged(_))));
        let later = br#"{"version":2,"boot_id":"x","open":[],"pending":[]}"#;
        assert!(matches!(State::parse(later), Err(StateError::Version(2))));
        let state = State::new("x", Vec::new(), Vec::new());
        assert_eq!(State::parse(&state.to_text().unwrap()).unwrap(), state);
    }
}
