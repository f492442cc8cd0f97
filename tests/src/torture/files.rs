//! A directory with all its bytes: kept, compared, laid out again.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Everything below a directory, by relative path; a directory has no bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files(BTreeMap<PathBuf, Option<Vec<u8>>>);

impl Files {
    /// Reads what is below `root`, where nobody is writing; nothing where there is no such directory.
    ///
    /// # Errors
    /// As the file system says.
    pub fn read(root: &Path) -> Result<Self> {
        let mut files = Self::default();
        if root.exists() {
            files.add(root, Path::new(""))?;
        }
        Ok(files)
    }

    fn add(&mut self, root: &Path, below: &Path) -> Result<()> {
        let folder = root.join(below);
        let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let path = below.join(entry?.file_name());
            let full = root.join(&path);
            if full.is_dir() {
                self.0.insert(path.clone(), None);
                self.add(root, &path)?;
            } else {
                let bytes = fs::read(&full).with_context(|| full.display().to_string())?;
                self.0.insert(path, Some(bytes));
            }
        }
        Ok(())
    }

    /// Puts all of it below `root`, which is made, for the owner alone.
    ///
    /// # Errors
    /// As the file system says.
    pub fn lay_out(&self, root: &Path) -> Result<()> {
        let make = |path: &Path| DirBuilder::new().mode(0o700).create(path);
        make(root)?;
        // A directory's path sorts before those in it.
        for (path, bytes) in &self.0 {
            let path = root.join(path);
            match bytes {
                None => make(&path)?,
                Some(bytes) => {
                    let mut new = OpenOptions::new();
                    let file = new.write(true).create_new(true).mode(0o600).open(&path);
                    file?.write_all(bytes)?;
                }
            }
        }
        Ok(())
    }

    /// What is in one directory of it.
    #[must_use]
    pub fn within(&self, folder: &Path) -> Self {
        let inside = self.0.iter().filter_map(|(path, bytes)| {
            let path = path.strip_prefix(folder).ok()?;
            (!path.as_os_str().is_empty()).then(|| (path.to_owned(), bytes.clone()))
        });
        Self(inside.collect())
    }

    /// Names of what is in one directory of it.
    #[must_use]
    pub fn names(&self, folder: &Path) -> Vec<String> {
        let own = self.0.keys().filter(|path| path.parent() == Some(folder));
        own.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect()
    }

    /// The bytes of a file.
    #[must_use]
    pub fn bytes(&self, path: &Path) -> Option<&[u8]> {
        self.0.get(path)?.as_deref()
    }

    /// The first path at which the two are not the same; `None` when they are.
    #[must_use]
    pub fn difference<'a>(&'a self, other: &'a Self) -> Option<&'a Path> {
        let (Self(ours), Self(theirs)) = (self, other);
        let paths = ours.keys().chain(theirs.keys());
        paths
            .filter(|path| ours.get(*path) != theirs.get(*path))
            .min()
            .map(PathBuf::as_path)
    }
}
