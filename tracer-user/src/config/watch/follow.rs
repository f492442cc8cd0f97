//! Which trees are followed: what may be said of a cgroup, a container and a name.

use std::path::PathBuf;

/// Fewest digits by which a container is known: as many as its engine shows.
const CONTAINER_MIN: usize = 12;
/// Digits of a whole container id.
const CONTAINER_MAX: usize = 64;

/// Trees that the kernel side picks up by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FollowSettings {
    /// Cgroups of version 2, with all below them: a directory, or a path as in `/proc/PID/cgroup`.
    pub cgroups: Vec<PathBuf>,
    /// Containers, by the beginning of their ids.
    pub containers: Vec<String>,
    /// Names of programs, as executed.
    pub comms: Vec<String>,
}

impl FollowSettings {
    /// Whether nothing is followed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cgroups.is_empty() && self.containers.is_empty() && self.comms.is_empty()
    }
}

/// A cgroup.
///
/// # Errors
/// What it has to be.
pub fn cgroup(text: &str) -> Result<PathBuf, &'static str> {
    let path = PathBuf::from(text);
    let is_plain = !text.contains('\0') && !text.split('/').any(|part| part == "..");
    (path.is_absolute() && is_plain)
        .then_some(path)
        .ok_or("an absolute path without .., such as /system.slice/agents.service")
}

/// A container's id or its beginning; in small letters.
///
/// # Errors
/// What it has to be.
pub fn container(text: &str) -> Result<String, &'static str> {
    let fits = (CONTAINER_MIN..=CONTAINER_MAX).contains(&text.len());
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    (fits && is_hex)
        .then(|| text.to_ascii_lowercase())
        .ok_or("a container id or its beginning: 12 to 64 digits of 0-9 and a-f")
}

/// A program's name.
///
/// # Errors
/// What it has to be.
pub fn comm(text: &str) -> Result<String, &'static str> {
    let is_name = !text.is_empty() && !text.contains(['/', '\0']);
    is_name
        .then(|| text.to_owned())
        .ok_or("a program's name without its directory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_never_be_found_is_refused() {
        assert_eq!(container("0123456789AB").as_deref(), Ok("0123456789ab"));
        for bad in ["", "0123456789a", "0123456789ag", &"a".repeat(65)] {
            assert!(container(bad).is_err(), "{bad}");
        }
        for bad in ["", "a/b", "/../etc", "/a/.."] {
            assert!(cgroup(bad).is_err(), "{bad}");
        }
        assert!(cgroup("/a.slice/b").is_ok());
        assert!(comm("").is_err() && comm("/bin/sh").is_err() && comm("a b").is_ok());
    }
}
