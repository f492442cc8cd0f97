//! Programs from `PyPI`, installed once for all tests of a build: `target/…/pytest-VERSION`.
//!
//! Whoever comes first installs, under a lock; the others wait for it. What an installation that was
//! broken off has left is thrown away.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::{need, wait::wait_for};

/// The version that tests are written for.
const PYTEST: &str = "pytest==8.4.2";
/// pip has to reach `PyPI`, and the machine may be slow.
const INSTALL: Duration = Duration::from_secs(300);

/// `pytest`, as its script in a virtual environment.
///
/// # Errors
/// Python has no `venv`, or `PyPI` cannot be reached.
pub fn pytest() -> Result<PathBuf> {
    let test = std::env::current_exe().context("find the test's own executable")?;
    let folder = test.parent().and_then(Path::parent);
    let folder = folder.context("a target directory")?;
    let place = folder.join(PYTEST.replace("==", "-"));
    let lock = File::create(place.with_extension("lock"))?;
    wait_for(
        "pytest's installation by another test",
        INSTALL,
        || match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(())),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno.into()),
        },
    )?;
    let (program, whole) = (place.join("bin/pytest"), place.join("whole"));
    if !whole.exists() {
        let python = need::program("python3", "python3")?;
        run(
            Command::new(python)
                .args(["-m", "venv", "--clear"])
                .arg(&place),
            "python3 -m venv: apt-get install python3-venv",
        )?;
        let pip = [
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--only-binary=:all:",
            PYTEST,
        ];
        run(
            Command::new(place.join("bin/pip")).args(pip),
            "pip install: is PyPI to be reached?",
        )?;
        ensure!(program.is_file(), "{} is not there", program.display());
        fs::write(&whole, "")?;
    }
    Ok(program)
}

fn run(command: &mut Command, what: &str) -> Result<()> {
    let done = command.output().with_context(|| what.to_owned())?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{what}\n{said}");
    Ok(())
}
