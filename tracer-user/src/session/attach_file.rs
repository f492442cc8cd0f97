//! The caller's own files beside the record: `attachments/NAME`.
//!
//! Copied at the end of a session, and by recovery where the observer could not, because the session's
//! first record names them. The caller chose the path and we copy what is there with our own rights,
//! so only a regular file counts: never what a symbolic link at its place leads to, never a pipe or a
//! device. What became of each is a `note` in the journal. Never copied in part: a file that is too
//! large is left where it is, and said.

use thiserror::Error;

/// Most files a session keeps.
pub const ATTACHMENTS_MAX: usize = 64;
/// Longest name, bytes.
pub const NAME_MAX: usize = 100;

/// Why a name is not one for an attached file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{name:?} {why}; give one plain file name, such as usage.json")]
pub struct NameError {
    name: String,
    why: &'static str,
}

/// Checks that `name` is one plain file name: no path, no hidden file, nothing a terminal or a file
/// system gives a meaning.
///
/// # Errors
/// [`NameError`] says what is wrong.
pub fn check_name(name: &str) -> Result<(), NameError> {
    let why = if name.is_empty() {
        "is empty"
    } else if name.len() > NAME_MAX {
        "is longer than 100 bytes"
    } else if name.contains('/') {
        "is a path"
    } else if name.starts_with('.') {
        // `.` and `..`, and the names of files that are not finished.
        "begins with a dot"
    } else if name.chars().any(char::is_control) {
        "holds a control character"
    } else {
        return Ok(());
    };
    Err(NameError {
        name: name.chars().take(NAME_MAX).collect(),
        why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_plain_file_name() {
        for good in ["usage.json", "a", "Größe 1", "-x", &"x".repeat(100)] {
            assert_eq!(check_name(good), Ok(()), "{good:?}");
        }
        for bad in [
            "",
            ".",
            "..",
            ".hidden",
            "a/b",
            "/etc/passwd",
            "../a",
            "a\nb",
            "a\0b",
            "a\u{1b}[2J",
            &"x".repeat(101),
        ] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
