//! Whether an image bears the expected name, and by which rule.

use super::Rule;
use crate::target::wrappers::Image;

/// The rule by which an image bears the expected name.
pub(super) fn matches(name: &[u8], image: &Image<'_>) -> Option<Rule> {
    const COMM_MAX: usize = 15;
    let comm_is = if name.len() > COMM_MAX {
        // The kernel cut the comm; the file's whole name, where known, decides between programs
        // that begin alike.
        let other_file = image
            .file()
            .is_some_and(|file| file != name && file.starts_with(image.comm));
        image.comm == &name[..COMM_MAX] && !other_file
    } else {
        image.comm == name
    };
    if comm_is {
        Some(Rule::Comm)
    } else if image.file() == Some(name) {
        Some(Rule::Exe)
    } else if image.argv0() == Some(name) {
        Some(Rule::Argv0)
    } else if image.script() == Some(name) {
        Some(Rule::Script)
    } else {
        None
    }
}
