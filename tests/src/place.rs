//! Where the programs are: beside the test executable, so that the same files run from a cargo
//! target directory and from an initramfs.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Environment variable that names the `tracer` program to test.
pub const TRACER_BIN: &str = "TRACER_BIN";

fn beside_the_test(name: &str) -> Result<Option<PathBuf>> {
    let test = std::env::current_exe().context("find the test's own executable")?;
    // cargo puts tests in deps/, programs one folder above; an initramfs may hold all in one.
    Ok(test
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file()))
}

/// The `tracer` program.
///
/// # Errors
/// It is not there; the message says how to build it.
pub fn tracer() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(TRACER_BIN) {
        let path = PathBuf::from(path);
        if path.is_file() {
            return Ok(path);
        }
        bail!("{TRACER_BIN} names {}, which is not a file", path.display());
    }
    beside_the_test("tracer")?.context(
        "no `tracer` beside the test executable: run `cargo build -p tracer` first, \
         or set TRACER_BIN",
    )
}

/// A fixture of this package.
///
/// # Errors
/// It is not there.
pub fn fixture(name: &str) -> Result<PathBuf> {
    beside_the_test(name)?.with_context(|| {
        format!("no fixture `{name}` beside the test executable: run `cargo build -p tracer-tests`")
    })
}

/// A fixture's path as text, for command lines.
///
/// # Errors
/// It is not there, or its path is not UTF-8.
pub fn fixture_text(name: &str) -> Result<String> {
    text(&fixture(name)?)
}

/// A path as text.
///
/// # Errors
/// It is not UTF-8.
pub fn text(path: &Path) -> Result<String> {
    path.to_str()
        .map(str::to_owned)
        .with_context(|| format!("{} is not UTF-8", path.display()))
}
