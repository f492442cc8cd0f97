//! The memory cgroup of each process, with its use and limit, each cgroup read once a tick.
//!
//! Sources: cgroups(7), `proc_pid_cgroup(5)`. A limit of a cgroup above holds as well, so the lowest of
//! all is told; limits hardly ever change and are looked up again at most once a second.

use std::{
    collections::{HashMap, hash_map::Entry},
    fs, io,
    path::Path,
};

use super::aftermath::cgroup::{MemoryCgroups, parse_bytes_as_kb};
use crate::procfs::{ProcRoot, ReadEnd};

/// Limits are believed for so long, ns.
const LIMITS_FOR_NS: u64 = 1_000_000_000;
/// Cgroups whose limits are remembered: more than a tree is ever in.
const REMEMBERED: usize = 1024;

/// What is told of the cgroup of a process.
#[derive(Debug)]
pub(super) struct CgroupFacts {
    pub(super) path: String,
    pub(super) memory_kb: Result<u64, ReadEnd>,
    /// -1 is unlimited.
    pub(super) limit_kb: i64,
}

/// Reads cgroups; what was read holds for one tick.
#[derive(Debug, Default)]
pub(super) struct Cgroups {
    /// The hierarchy that counts memory, if there is one and it has been looked for.
    memory: Option<MemoryCgroups>,
    is_looked_for: bool,
    used: HashMap<String, Option<u64>>,
    limits: HashMap<String, Limit>,
    /// By what stands for the cgroups of a process on the kernel side.
    paths: HashMap<u64, String>,
    now_ns: u64,
}

#[derive(Debug, Clone, Copy)]
struct Limit {
    kb: i64,
    read_ns: u64,
}

impl Cgroups {
    /// Begins a tick at this time of any clock that only goes on.
    pub(super) fn begin(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
        self.used.clear();
        self.paths.clear();
        if self.limits.len() > REMEMBERED {
            self.limits.clear();
        }
    }

    /// The cgroup of a process, by the `text` of its file. `key`: what stands for its cgroups on the kernel side; a path
    /// read for one process this tick serves all with the same.
    pub(super) fn of(
        &mut self,
        root: &ProcRoot,
        key: Option<u64>,
        text: impl FnOnce() -> Result<String, ReadEnd>,
    ) -> Result<CgroupFacts, ReadEnd> {
        if let Some(path) = key.and_then(|key| self.paths.get(&key)) {
            let path = path.clone();
            return Ok(self.facts(root, path));
        }
        let text = text()?;
        let path = match self.hierarchy(root) {
            Some(hierarchy) => hierarchy.of(&text),
            // Nobody counts memory: the unified hierarchy is where the process is, or any.
            None => text
                .lines()
                .rev()
                .find_map(|line| line.splitn(3, ':').nth(2).map(str::to_owned)),
        };
        let path = path.ok_or_else(|| failed("it is in no cgroup that counts memory"))?;
        if let Some(key) = key {
            self.paths.insert(key, path.clone());
        }
        Ok(self.facts(root, path))
    }

    fn hierarchy(&mut self, root: &ProcRoot) -> Option<&MemoryCgroups> {
        if !std::mem::replace(&mut self.is_looked_for, true) {
            let mounts = root.text(c"self/mountinfo");
            self.memory = mounts.and_then(|mounts| MemoryCgroups::find(&mounts));
        }
        self.memory.as_ref()
    }

    fn facts(&mut self, root: &ProcRoot, path: String) -> CgroupFacts {
        let now_ns = self.now_ns;
        self.hierarchy(root);
        let Some(hierarchy) = &self.memory else {
            return CgroupFacts {
                path,
                memory_kb: Err(failed("no memory cgroup hierarchy is mounted")),
                limit_kb: -1,
            };
        };
        let used = match self.used.entry(path.clone()) {
            Entry::Occupied(read) => *read.get(),
            Entry::Vacant(unread) => *unread.insert(used(hierarchy, &path)),
        };
        let remembered = self
            .limits
            .get(&path)
            .filter(|limit| now_ns.saturating_sub(limit.read_ns) < LIMITS_FOR_NS);
        let limit_kb = if let Some(limit) = remembered {
            limit.kb
        } else {
            let kb = lowest_limit(hierarchy, &path);
            let read_ns = now_ns;
            self.limits.insert(path.clone(), Limit { kb, read_ns });
            kb
        };
        CgroupFacts {
            path,
            memory_kb: used.ok_or_else(|| failed("this cgroup does not tell its memory")),
            limit_kb,
        }
    }
}

fn used(hierarchy: &MemoryCgroups, path: &str) -> Option<u64> {
    let file = if hierarchy.is_unified() {
        "memory.current"
    } else {
        "memory.usage_in_bytes"
    };
    let text = fs::read_to_string(hierarchy.folder(path)?.join(file)).ok()?;
    text.trim().parse::<u64>().ok().map(|bytes| bytes / 1024)
}

/// The lowest limit of a cgroup and those above it, as far as they can be seen.
fn lowest_limit(hierarchy: &MemoryCgroups, path: &str) -> i64 {
    let file = if hierarchy.is_unified() {
        "memory.max"
    } else {
        "memory.limit_in_bytes"
    };
    let limits = Path::new(path).ancestors().filter_map(|above| {
        let folder = hierarchy.folder(above.to_str()?)?;
        parse_bytes_as_kb(&fs::read_to_string(folder.join(file)).ok()?)
    });
    limits
        .min()
        .and_then(|kb| i64::try_from(kb).ok())
        .unwrap_or(-1)
}

fn failed(why: &'static str) -> ReadEnd {
    ReadEnd::Failed(io::Error::other(why))
}
