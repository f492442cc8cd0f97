//! A test's own room: one temporary directory with everything the test and its tracer write.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::bpffs::Bpffs;
use crate::facts::Facts;
use crate::launch::Launch;
use crate::session::Session;
use crate::truth::{Fact, read_truth};
use crate::{need, place};

/// The directory, removed at the end.
#[derive(Debug)]
pub struct Room {
    /// Before the folder it is in.
    _bpffs: Option<Bpffs>,
    folder: TempDir,
}

impl Room {
    /// A room for a test that tracks processes.
    ///
    /// # Errors
    /// The machine lacks what tracking needs, or there is no place for temporary files.
    pub fn new() -> Result<Self> {
        need::live_kernel()?;
        let folder = Self::without_kernel()?.folder;
        let bpffs = Bpffs::mount(&folder.path().join("bpf"))?;
        Ok(Self {
            _bpffs: Some(bpffs),
            folder,
        })
    }

    /// A room for a test that does not need tracking to work.
    ///
    /// # Errors
    /// There is no place for temporary files.
    pub fn without_kernel() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("tracer-test-").tempdir()?;
        // Tests with --user let another user write logs here; the name cannot be guessed.
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777))?;
        Ok(Self {
            _bpffs: None,
            folder,
        })
    }

    /// Leaves the files for a person to look at; where they are. What was pinned goes.
    #[must_use]
    pub fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    /// A file of the room.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The state directory of the room's tracers.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Where the room's tracers pin, each session in a directory of its own.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        Bpffs::pins(&self.path("bpf"))
    }

    /// The truth log of the room's fixtures.
    #[must_use]
    pub fn truth_path(&self) -> PathBuf {
        self.path("truth")
    }

    /// `tracer run`, to be given options and a command.
    ///
    /// # Errors
    /// The program is not built.
    pub fn run(&self) -> Result<Launch> {
        self.tracer("run")
    }

    /// `tracer attach --pid`.
    ///
    /// # Errors
    /// The program is not built.
    pub fn attach(&self, pid: i32) -> Result<Launch> {
        Ok(self.tracer("attach")?.args(["--pid", &pid.to_string()]))
    }

    /// A tracer subcommand with the room's state directory and, where it pins, bpffs.
    ///
    /// # Errors
    /// The program is not built.
    pub fn tracer(&self, verb: &str) -> Result<Launch> {
        let launch = self.program(place::tracer()?).args([verb, "--state-dir"]);
        let launch = launch.args([self.state()]);
        Ok(match verb {
            "run" | "attach" | "recover" | "sessions" => launch.arg("--bpffs").arg(self.pins()),
            _ => launch,
        })
    }

    /// Any program, with the room's truth log.
    #[must_use]
    pub fn program(&self, file: impl AsRef<OsStr>) -> Launch {
        Launch::new(file.as_ref(), self.folder.path(), &self.truth_path())
    }

    /// A fixture, with the room's truth log.
    ///
    /// # Errors
    /// It is not built.
    pub fn fixture(&self, name: &str) -> Result<Launch> {
        Ok(self.program(place::fixture(name)?))
    }

    /// What the fixtures wrote down.
    ///
    /// # Errors
    /// There is no log, or it is broken.
    pub fn truth(&self) -> Result<Vec<(u64, Fact)>> {
        read_truth(&self.truth_path())
    }

    /// The truth as counted facts.
    ///
    /// # Errors
    /// As [`Self::truth`].
    pub fn true_facts(&self) -> Result<Facts> {
        Ok(Facts::of_truth(&self.truth()?))
    }

    /// Directories of all sessions in the state directory.
    ///
    /// # Errors
    /// The directory cannot be listed; missing counts as empty.
    pub fn session_folders(&self) -> Result<Vec<PathBuf>> {
        let sessions = self.state().join("sessions");
        if !sessions.exists() {
            return Ok(Vec::new());
        }
        let entries =
            std::fs::read_dir(&sessions).with_context(|| format!("list {}", sessions.display()))?;
        let mut folders: Vec<PathBuf> = entries
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        // One that begins this very moment does not have its name yet.
        folders.retain(|path| {
            !path
                .file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
        });
        Ok(folders)
    }

    /// The one session directory.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn session_folder(&self) -> Result<PathBuf> {
        match self.session_folders()?.as_slice() {
            [one] => Ok(one.clone()),
            found => bail!(
                "one session expected in {}, found {found:?}",
                self.state().display()
            ),
        }
    }

    /// The one session, ended and complete on disk.
    ///
    /// # Errors
    /// There is not exactly one, or its journal or summary is broken.
    pub fn session(&self) -> Result<Session> {
        Session::read(&self.session_folder()?)
    }

    /// Writes an executable script.
    ///
    /// # Errors
    /// The room cannot be written.
    pub fn script(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path(name);
        write_script(&path, text)?;
        Ok(path)
    }
}

/// Writes an executable file.
///
/// # Errors
/// As the file system says.
pub fn write_script(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(std::fs::set_permissions(
        path,
        PermissionsExt::from_mode(0o755),
    )?)
}
