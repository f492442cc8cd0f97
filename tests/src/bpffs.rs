//! A bpffs of a test's own.
//!
//! It is mounted in a mount namespace that only the test's thread, and what that thread starts, is in:
//! nothing of the machine changes, any number of tests can do so at once, and whatever a killed tracer
//! has pinned goes when the last of them is gone.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::sys;

/// The mount; taken away with this.
#[derive(Debug)]
pub struct Bpffs {
    path: PathBuf,
}

impl Bpffs {
    /// Mounts one at `path`, which is made.
    ///
    /// # Errors
    /// Not root, or a kernel without BPF.
    pub fn mount(path: &Path) -> Result<Self> {
        std::fs::create_dir(path).with_context(|| format!("make {}", path.display()))?;
        sys::mount_for_this_thread(c"bpf", &c_path(path)?)
            .context("mount -t bpf in a mount namespace of the test's own (needs root)")?;
        let path = path.to_owned();
        Ok(Self { path })
    }

    /// Where tracer may pin.
    #[must_use]
    pub fn pins(path: &Path) -> PathBuf {
        path.join("tracer")
    }
}

fn c_path(path: &Path) -> Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        if let Ok(at) = c_path(&self.path) {
            // A tracer of a failed test may still use it; it goes when that does.
            let _ = sys::unmount(&at);
        }
    }
}
