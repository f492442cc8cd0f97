//! Cgroups of a test's own, below the one it is in.
//!
//! A hierarchy that is not mounted, or not writable, is an error that names it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::room::Room;
use crate::wait::{PATIENCE, wait_for};

/// A cgroup of the test's own, removed at the end.
#[derive(Debug)]
pub struct Cgroup {
    folder: PathBuf,
}

impl Cgroup {
    /// One of cgroup v2, below the test's own.
    ///
    /// # Errors
    /// There is no such hierarchy, or the cgroup cannot be made.
    pub fn unified(room: &Room) -> Result<Self> {
        Self::new(room, "cgroup2", "", "")
    }

    /// One of a v1 controller, below the test's own.
    ///
    /// # Errors
    /// As [`Self::unified`].
    pub fn of(room: &Room, controller: &str) -> Result<Self> {
        Self::new(room, "cgroup", controller, controller)
    }

    /// One of the v1 controller of memory, with a limit.
    ///
    /// # Errors
    /// As [`Self::unified`].
    pub fn limited(room: &Room, mib: u32) -> Result<Self> {
        let cgroup = Self::of(room, "memory")?;
        cgroup.set("memory.limit_in_bytes", &(mib << 20).to_string())?;
        Ok(cgroup)
    }

    fn new(room: &Room, kind: &str, option: &str, controller: &str) -> Result<Self> {
        let mounts = std::fs::read_to_string("/proc/self/mounts")?;
        let mount = mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let (at, found, options) = (words.next()?, words.next()?, words.next()?);
            let fits = option.is_empty() || options.split(',').any(|name| name == option);
            (found == kind && fits).then_some(at)
        });
        let mount = mount.with_context(|| format!("no {kind} {option} hierarchy is mounted"))?;
        let own = std::fs::read_to_string("/proc/self/cgroup")?;
        let own = own.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            let fits = controllers.split(',').any(|name| name == controller);
            fits.then_some(path)
        });
        let own = own.context("no cgroup of that hierarchy")?;
        let name = room.path("").file_name().context("no name")?.to_owned();
        let folder = Path::new(mount)
            .join(own.trim_start_matches('/'))
            .join(name);
        std::fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(Self { folder })
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Writes one of its files.
    ///
    /// # Errors
    /// The file is not there, or refuses the value.
    pub fn set(&self, file: &str, value: &str) -> Result<()> {
        let path = self.folder.join(file);
        std::fs::write(&path, value).with_context(|| format!("write {}", path.display()))
    }

    /// Moves a process into it.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn join(&self, pid: i32) -> Result<()> {
        self.set("cgroup.procs", &pid.to_string())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The last member may still be on its way out.
        let _ = wait_for("an empty cgroup", PATIENCE, || {
            Ok(std::fs::remove_dir(&self.folder).is_ok().then_some(()))
        });
    }
}
