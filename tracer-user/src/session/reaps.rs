//! `reaps.jsonl` beside the sessions: what was ended on purpose, when, and what came of it.
//!
//! Appended, never changed. Each line stands for itself; a torn last line has no meaning.

use std::io;

use serde::Serialize;

/// The file, in the state directory.
pub const FILE: &str = "reaps.jsonl";

/// One line, to be written at once.
///
/// # Errors
/// Not to be expected: what is written has names for keys.
pub fn line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}
