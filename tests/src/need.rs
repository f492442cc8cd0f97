//! What a live test needs from the machine. Missing means failed, with the name of what is missing.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// Root and a kernel with BTF: what tracking needs.
///
/// # Errors
/// Says which of them is missing.
pub fn live_kernel() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "live tests need root: run `cargo xtask test`, which uses sudo only to execute them"
    );
    let btf = Path::new("/sys/kernel/btf/vmlinux");
    ensure!(
        btf.exists(),
        "{} is missing: this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)",
        btf.display()
    );
    Ok(())
}

/// A program on `PATH`; `package` is the Debian package that has it.
///
/// # Errors
/// It is not there; the message names the package.
pub fn program(name: &str, package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("`{name}` is not on PATH: apt-get install {package}"))
}
