//! Memory cgroups of both versions: where a process's is, its limit, use and counters.
//!
//! Sources: cgroups(7), Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst. Paths come
//! from `/proc/<pid>/cgroup` or the kernel's log and are joined to where the hierarchy is mounted.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A limit as large as this is none: v1 says 2^63 rounded down to a page.
const NO_LIMIT_KB: u64 = 1 << 52;

/// Which version counts memory, and where it is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryCgroups {
    mount: PathBuf,
    /// Part of the hierarchy that is mounted there.
    root: String,
    unified: bool,
}

/// A cgroup's memory, as much of it as could be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryState {
    /// Limit, KiB; `None` when there is none.
    pub limit_kb: Option<u64>,
    /// In use, KiB.
    pub usage_kb: Option<u64>,
    /// Processes that the OOM killer has ended in it.
    pub oom_kills: Option<u64>,
    /// All of it is killed together.
    pub group: bool,
}

impl MemoryCgroups {
    /// Finds the hierarchy, from the text of `mountinfo`.
    #[must_use]
    pub fn find(mountinfo: &str) -> Option<Self> {
        let mounts = mountinfo.lines().filter_map(parse_mount);
        let mut unified = None;
        for (kind, options, root, mount) in mounts {
            let found = |unified| Self {
                mount: PathBuf::from(unescape(mount)),
                root: unescape(root),
                unified,
            };
            match kind {
                "cgroup" if options.split(',').any(|option| option == "memory") => {
                    return Some(found(false));
                }
                "cgroup2" => unified = unified.or_else(|| Some(found(true))),
                _ => {}
            }
        }
        unified
    }

    /// The memory cgroup of a process, from its `cgroup` file.
    #[must_use]
    pub fn of(&self, cgroup: &str) -> Option<String> {
        cgroup.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            let fits = if self.unified {
                controllers.is_empty()
            } else {
                controllers.split(',').any(|name| name == "memory")
            };
            fits.then(|| path.trim_end_matches(" (deleted)").to_owned())
        })
    }

    /// Version 2 counts.
    pub(crate) fn is_unified(&self) -> bool {
        self.unified
    }

    /// Reads a cgroup by its path in the hierarchy.
    #[must_use]
    pub fn read(&self, path: &str) -> Option<MemoryState> {
        let folder = self.folder(path)?;
        let text = |file: &str| fs::read_to_string(folder.join(file)).ok();
        let kb = |file: &str| text(file).and_then(|text| parse_bytes_as_kb(&text));
        let state = if self.unified {
            MemoryState {
                limit_kb: kb("memory.max"),
                usage_kb: kb("memory.current"),
                oom_kills: text("memory.events").and_then(|text| counter(&text, "oom_kill")),
                group: text("memory.oom.group").is_some_and(|text| text.trim() == "1"),
            }
        } else {
            MemoryState {
                limit_kb: kb("memory.limit_in_bytes"),
                usage_kb: kb("memory.usage_in_bytes"),
                oom_kills: text("memory.oom_control").and_then(|text| counter(&text, "oom_kill")),
                group: false,
            }
        };
        (state != MemoryState::default()).then_some(state)
    }

    pub(crate) fn folder(&self, path: &str) -> Option<PathBuf> {
        let below = match self.root.as_str() {
            "/" => path,
            root => path.strip_prefix(root)?,
        };
        // Paths come from the kernel, which writes no such part but for what a namespace hides.
        let plain = Path::new(below)
            .components()
            .all(|part| !matches!(part, std::path::Component::ParentDir));
        plain.then(|| self.mount.join(below.trim_start_matches('/')))
    }
}

/// Kind, options, root and mount point of one line of `mountinfo` (`proc_pid_mountinfo(5)`).
fn parse_mount(line: &str) -> Option<(&str, &str, &str, &str)> {
    let (mount, kind) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let (root, point) = (mount.next()?, mount.next()?);
    let mut kind = kind.split(' ');
    let (name, options) = (kind.next()?, kind.nth(1)?);
    Some((name, options, root, point))
}

/// Undoes the octal escapes of blanks and their like.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

pub(crate) fn parse_bytes_as_kb(text: &str) -> Option<u64> {
    // "max" is no number, and no limit.
    let kb = text.trim().parse::<u64>().ok()? / 1024;
    (kb < NO_LIMIT_KB).then_some(kb)
}

fn counter(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        (key == name).then(|| value.trim().parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
27 26 0:23 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
30 26 0:28 /docker/x /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory
31 26 0:29 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids";

    #[test]
    fn the_hierarchy_that_counts_memory_is_found() {
        let found = MemoryCgroups::find(HYBRID).unwrap();
        assert!(!found.unified);
        assert_eq!(
            found
                .of("9:pids:/\n4:memory:/docker/x/job\n0::/\n")
                .as_deref(),
            Some("/docker/x/job")
        );
        assert_eq!(
            found.folder("/docker/x/job"),
            Some(PathBuf::from("/sys/fs/cgroup/memory/job"))
        );
        assert_eq!(found.folder("/elsewhere"), None);
        assert_eq!(found.folder("/docker/x/../../y"), None);
        let unified = MemoryCgroups::find(HYBRID.lines().next().unwrap()).unwrap();
        assert!(unified.unified);
        assert_eq!(unified.of("0::/a b (deleted)\n").as_deref(), Some("/a b"));
        assert_eq!(MemoryCgroups::find("nothing"), None);
    }

    #[test]
    fn no_limit_is_no_number() {
        assert_eq!(parse_bytes_as_kb("max\n"), None);
        assert_eq!(parse_bytes_as_kb("9223372036854771712\n"), None);
        assert_eq!(parse_bytes_as_kb("25165824\n"), Some(24_576));
        let control = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(counter(control, "oom_kill"), Some(3));
    }
}
