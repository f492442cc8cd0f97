//! Secrets, read when they are needed and held no longer than that.
//!
//! From a file or a variable of the environment, never from the configuration itself. Nothing here says
//! what is in one: errors name the place only.

use std::{
    env,
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

use thiserror::Error;

use crate::config::notify::Secret;

/// No secret is longer.
const LONGEST: u64 = 16 << 10;

/// Why there is no secret.
#[derive(Debug, Error)]
pub(super) enum SecretError {
    #[error("read the secret in {path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("the secret in {0} is empty or has several lines")]
    Odd(String),
    #[error("the environment has no variable {0}, which should hold the secret")]
    Environment(String),
}

/// A secret's text; prints as nothing.
pub(super) struct Text(String);

impl Text {
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

/// Reads it. A line's end after it does not belong to it.
pub(super) fn read(secret: &Secret) -> Result<Text, SecretError> {
    let (text, place) = match secret {
        Secret::File(path) => {
            let mut text = String::new();
            File::open(path)
                .and_then(|file| file.take(LONGEST).read_to_string(&mut text))
                .map_err(|source| SecretError::File {
                    path: path.clone(),
                    source,
                })?;
            (text, path.display().to_string())
        }
        Secret::Environment(name) => {
            let text = env::var(name).map_err(|_| SecretError::Environment(name.clone()))?;
            (text, name.clone())
        }
    };
    let text = text.trim();
    if text.is_empty() || text.contains(char::is_control) {
        return Err(SecretError::Odd(place));
    }
    Ok(Text(text.to_owned()))
}
