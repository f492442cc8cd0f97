//! Where a cgroup or a container is: the directory of cgroup version 2, and its inode number, which is the
//! id that the kernel knows it by.
//!
//! Sources: `cgroups(7)`; for containers, how the engines name their cgroups: the id, alone or behind a
//! word and `-`, with or without `.scope` (`docker-ID.scope`, `cri-containerd-ID.scope`, `crio-ID`,
//! `libpod-ID.scope`, `/docker/ID`). Version 1 has a hierarchy for each controller with ids of its own; it
//! is told, not followed.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::statfs;

/// Where cgroups are mounted: all of version 2, or beside hierarchies of version 1.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// `CGROUP2_SUPER_MAGIC` of include/uapi/linux/magic.h.
const CGROUP2: u64 = 0x6367_7270;
/// `CGROUP_SUPER_MAGIC`.
const CGROUP1: u64 = 0x0027_e0eb;
/// Depth to which cgroups are looked through.
const DEPTH_MAX: usize = 32;
/// Fewest digits of an id; a shorter word is some other name.
const ID_MIN: usize = 12;

/// A cgroup that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cgroup {
    pub(super) path: PathBuf,
    pub(super) id: u64,
}

/// Looks for a cgroup; `None` when it is not there (yet).
pub(super) fn cgroup(path: &Path) -> Result<Option<Cgroup>, String> {
    match kind(path) {
        Some(CGROUP2) => return Ok(at(path)),
        Some(CGROUP1) => return Err(of_version_1(path)),
        _ => {}
    }
    let below = path.strip_prefix("/").unwrap_or(path);
    let found = at(&mount()?.join(below));
    if found.is_none()
        && let Some(other) = version_1()
            .into_iter()
            .find(|mount| mount.join(below).is_dir())
    {
        return Err(of_version_1(&other.join(below)));
    }
    Ok(found)
}

/// Looks for the cgroup of a container; `None` when it is not there (yet). `all`: in those of version 1 too.
pub(super) fn container(id: &str, all: bool) -> Result<Option<Cgroup>, String> {
    let mount = mount()?;
    let mut found = Vec::new();
    search(&mount, id, &mut found, DEPTH_MAX);
    match found.as_slice() {
        [] => {}
        [one] => return Ok(at(one)),
        several => {
            let names = several.iter().map(|path| path.display().to_string());
            let names: Vec<String> = names.collect();
            return Err(format!(
                "more than one container fits: {}; give more of the id, or --follow-cgroup with one of \
                 these",
                names.join(", ")
            ));
        }
    }
    for mount in version_1().iter().filter(|_| all) {
        let mut found = Vec::new();
        search(mount, id, &mut found, DEPTH_MAX);
        if let Some(path) = found.first() {
            return Err(of_version_1(path));
        }
    }
    Ok(None)
}

/// Whether it is still the one.
pub(super) fn is_there(cgroup: &Cgroup) -> bool {
    at(&cgroup.path).is_some_and(|now| now.id == cgroup.id)
}

fn at(path: &Path) -> Option<Cgroup> {
    let id = fs::metadata(path).ok().filter(fs::Metadata::is_dir)?.ino();
    Some(Cgroup {
        path: path.to_owned(),
        id,
    })
}

fn kind(path: &Path) -> Option<u64> {
    statfs(path)
        .ok()
        .and_then(|found| u64::try_from(found.f_type).ok())
}

fn mount() -> Result<PathBuf, String> {
    let found = MOUNTS
        .into_iter()
        .find(|at| kind(Path::new(at)) == Some(CGROUP2));
    found.map(PathBuf::from).ok_or_else(|| {
        format!(
            "there is no cgroup version 2 at {}: boot with systemd.unified_cgroup_hierarchy=1, or \
             mount -t cgroup2 none {}",
            MOUNTS[0], MOUNTS[1]
        )
    })
}

/// Hierarchies of version 1.
fn version_1() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(MOUNTS[0]) else {
        return Vec::new();
    };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.filter(|path| kind(path) == Some(CGROUP1)).collect()
}

fn of_version_1(path: &Path) -> String {
    format!(
        "{} is of cgroup version 1: only version 2 can be followed; use --follow-comm, or boot with \
         systemd.unified_cgroup_hierarchy=1",
        path.display()
    )
}

/// Outermost directories that are of the container.
fn search(at: &Path, id: &str, found: &mut Vec<PathBuf>, depth: usize) {
    let Ok(entries) = fs::read_dir(at) else {
        return;
    };
    for entry in entries.flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if is_of(&entry.file_name().to_string_lossy(), id) {
            found.push(entry.path());
        } else if depth > 0 {
            search(&entry.path(), id, found, depth - 1);
        }
    }
}

/// Whether a cgroup of this name is of a container whose id begins so.
fn is_of(name: &str, id: &str) -> bool {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let (engine, own) = name.rsplit_once('-').unwrap_or(("", name));
    let is_id = own.len() >= ID_MIN && own.bytes().all(|byte| byte.is_ascii_hexdigit());
    // conmon stands beside the container that it watches over, under the same id.
    is_id && own.starts_with(id) && !engine.ends_with("conmon")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f4e8c2b9a10d5e6f7a8b9c0d1e2f3a4b5c6d7e8f9a0b1c2d3e4f5a6b7c8d9e0";

    #[test]
    fn a_container_is_known_by_all_its_engines_names_and_by_its_beginning() {
        for name in [
            format!("docker-{ID}.scope"),
            format!("cri-containerd-{ID}.scope"),
            format!("crio-{ID}"),
            format!("libpod-{ID}.scope"),
            ID.to_owned(),
        ] {
            assert!(is_of(&name, ID) && is_of(&name, &ID[..12]), "{name}");
            assert!(!is_of(&name, "000000000000"), "{name}");
        }
        let short = &ID[..12];
        for name in [
            format!("libpod-conmon-{ID}.scope"),
            format!("crio-conmon-{ID}.scope"),
            format!("{ID}.service"),
            format!("x{ID}"),
            ID[..11].to_owned(),
            String::new(),
        ] {
            assert!(!is_of(&name, short), "{name}");
        }
    }

    #[test]
    fn the_outermost_of_each_container_is_found_and_two_are_two() {
        let folder = tempfile::tempdir().unwrap();
        let other = format!("{}ff{}", &ID[..12], &ID[14..]);
        let outer = folder.path().join(format!("a.slice/docker-{ID}.scope"));
        fs::create_dir_all(outer.join(format!("inner/docker-{ID}.scope"))).unwrap();
        fs::create_dir_all(folder.path().join(format!("docker/{other}"))).unwrap();
        let mut found = Vec::new();
        search(folder.path(), ID, &mut found, DEPTH_MAX);
        assert_eq!(found, [outer]);
        found.clear();
        search(folder.path(), &ID[..12], &mut found, DEPTH_MAX);
        assert_eq!(found.len(), 2);
    }
}
