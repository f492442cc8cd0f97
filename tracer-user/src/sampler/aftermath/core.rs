//! Where a core dump went: `core_pattern` filled in, and looked for.
//!
//! Source: core(5). A pattern that asks for what is not known any more (the user, the image's path) is
//! not guessed at.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::verdict::aftermath::CorePlace;

/// What a pattern may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreFacts<'a> {
    /// Pid in the process's own namespace.
    pub pid_inner: u32,
    /// Pid in the initial namespace.
    pub pid_init: u32,
    /// Its name.
    pub comm: &'a str,
    /// Signal.
    pub signal: i32,
    /// Host name.
    pub hostname: &'a str,
    /// Seconds since 1970 when it ended.
    pub time_s: u64,
    /// Where it may have been when it ended, the likeliest first.
    pub folders: &'a [PathBuf],
    /// Not older than this, seconds since 1970.
    pub not_before_s: u64,
}

/// Looks for the core of a process that has just dumped one.
#[must_use]
pub fn find_core(pattern: &str, uses_pid: bool, facts: &CoreFacts<'_>) -> CorePlace {
    if let Some(command) = pattern.strip_prefix('|') {
        let program = command.split_whitespace().next().unwrap_or_default();
        return CorePlace::Piped(program.to_owned());
    }
    // The time in a name is that of the dump, which takes a while.
    for back in 0..=2 {
        let time_s = facts.time_s.saturating_sub(back);
        let Some(name) = expand(pattern, uses_pid, facts, time_s) else {
            return CorePlace::Unknown;
        };
        let places: Vec<PathBuf> = if name.starts_with('/') {
            vec![PathBuf::from(&name)]
        } else {
            facts.folders.iter().map(|at| at.join(&name)).collect()
        };
        if let Some(found) = places.iter().find(|at| is_new_file(at, facts.not_before_s)) {
            return CorePlace::File(found.to_string_lossy().into_owned());
        }
    }
    CorePlace::Unknown
}

/// A core from before is no core of this process.
fn is_new_file(path: &Path, not_before_s: u64) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| {
        meta.is_file() && u64::try_from(meta.mtime()).is_ok_and(|time| time >= not_before_s)
    })
}

/// The file name that a pattern stands for; `None` when it asks for what is not known.
fn expand(pattern: &str, uses_pid: bool, facts: &CoreFacts<'_>, time_s: u64) -> Option<String> {
    let mut name = String::new();
    let mut rest = pattern.chars();
    let mut has_pid = false;
    // A slash in a name would make folders: the kernel writes another character for it.
    let plain = |text: &str| text.replace('/', "!");
    while let Some(character) = rest.next() {
        if character != '%' {
            name.push(character);
            continue;
        }
        match rest.next() {
            // A lone one at the end is dropped.
            None => break,
            Some('%') => name.push('%'),
            Some('p') => {
                has_pid = true;
                name.push_str(&facts.pid_inner.to_string());
            }
            Some('P') => name.push_str(&facts.pid_init.to_string()),
            Some('e') => name.push_str(&plain(facts.comm)),
            Some('s') => name.push_str(&facts.signal.to_string()),
            Some('h') => name.push_str(&plain(facts.hostname)),
            Some('t') => name.push_str(&time_s.to_string()),
            Some(_) => return None,
        }
    }
    if uses_pid && !has_pid {
        name.push('.');
        name.push_str(&facts.pid_inner.to_string());
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(folders: &[PathBuf]) -> CoreFacts<'_> {
        CoreFacts {
            pid_inner: 7,
            pid_init: 4711,
            comm: "a/b",
            signal: 11,
            hostname: "host",
            time_s: 1000,
            folders,
            not_before_s: 0,
        }
    }

    #[test]
    fn patterns_are_filled_in_or_given_up() {
        let facts = facts(&[]);
        let name = |pattern, uses_pid| expand(pattern, uses_pid, &facts, 999);
        assert_eq!(name("core", true).as_deref(), Some("core.7"));
        assert_eq!(
            name("/c/%e-%p-%P-%s-%h-%t-%%", true).as_deref(),
            Some("/c/a!b-7-4711-11-host-999-%")
        );
        assert_eq!(name("core.%u", false), None);
        assert_eq!(name("core%", false).as_deref(), Some("core"));
    }

    #[test]
    fn a_core_is_named_only_when_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let folders = [folder.path().to_owned()];
        let at = folder.path().join("core.7");
        assert_eq!(
            find_core("core", true, &facts(&folders)),
            CorePlace::Unknown
        );
        fs::write(&at, "x").unwrap();
        assert_eq!(
            find_core("core", true, &facts(&folders)),
            CorePlace::File(at.to_string_lossy().into_owned())
        );
        let stale = CoreFacts {
            not_before_s: u64::MAX,
            ..facts(&folders)
        };
        assert_eq!(find_core("core", true, &stale), CorePlace::Unknown);
        assert_eq!(
            find_core("|/lib/systemd/systemd-coredump %P", false, &facts(&folders)),
            CorePlace::Piped("/lib/systemd/systemd-coredump".to_owned())
        );
    }
}
