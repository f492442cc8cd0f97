//! Why an alert could not be told this time.

use super::secret::SecretError;

/// What to do about it, and why; no secret is in the words.
#[derive(Debug)]
pub(super) enum Failure {
    /// It may work later.
    Again(String),
    /// It never will.
    Refused(String),
}

impl From<SecretError> for Failure {
    /// The secret may be there later.
    fn from(error: SecretError) -> Self {
        Self::Again(error.to_string())
    }
}
