//! `cargo xtask tidy`: the house rules that no compiler checks.
//!
//! Direction of imports, owners of foreign crates, purity, length, names, manifests, and that the map of
//! cases names tests that exist. The tables are in [`house`], the checks in [`rules`] and [`cases`] are
//! pure, and this file only reads the sources and prints.

mod cases;
mod house;
mod lex;
mod manifest;
mod rules;
mod scan;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::program::{self, say};

/// Arguments of `cargo xtask tidy`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Violation {
    /// Path below the workspace.
    file: String,
    /// Line, from 1; 0 for the file as a whole.
    line: usize,
    /// What is wrong and what to do.
    what: String,
}

/// A file as the checks see it.
#[derive(Debug)]
struct File {
    /// Path below the workspace, with `/`.
    path: String,
    /// Its text.
    text: String,
}

/// Prints every violation; fails when there is one.
pub(crate) fn main(_args: &Args) -> Result<()> {
    check(&program::root())
}

/// Checks the workspace at `root`.
pub(crate) fn check(root: &Path) -> Result<()> {
    let mut sources = Vec::new();
    let mut manifests = Vec::new();
    for member in house::MEMBERS {
        let folder = root.join(member);
        manifests.push(read(root, &folder.join("Cargo.toml"))?);
        for part in ["src", "tests", "benches", "examples", "fuzz_targets"] {
            for path in walk(&folder.join(part))? {
                sources.push(read(root, &path)?);
            }
        }
        let script = folder.join("build.rs");
        if script.exists() {
            sources.push(read(root, &script)?);
        }
    }
    let root_manifest = read(root, &root.join("Cargo.toml"))?;
    let mut found = manifest::check_root(&root_manifest);
    found.extend(manifests.iter().flat_map(manifest::check_member));
    found.extend(sources.iter().flat_map(rules::check_file));
    found.extend(rules::check_tables(&sources));
    found.extend(cases::check(&read(root, &root.join(cases::MAP))?, &sources));
    let endings = read(root, &root.join(cases::ENDINGS.0))?;
    found.extend(cases::check_endings(&endings, &sources));

    for violation in &found {
        let Violation { file, line, what } = violation;
        match line {
            0 => say(format!("{file}: {what}")),
            line => say(format!("{file}:{line}: {what}")),
        }
    }
    say(format!(
        "tidy: {} files, {} violations",
        sources.len(),
        found.len()
    ));
    if found.is_empty() {
        Ok(())
    } else {
        Err(crate::Failed.into())
    }
}

fn read(root: &Path, path: &Path) -> Result<File> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let below = path.strip_prefix(root).unwrap_or(path);
    Ok(File {
        path: below.to_string_lossy().replace('\\', "/"),
        text,
    })
}

/// Every Rust file below a folder, in order; none when there is no such folder.
fn walk(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        if !folder.is_dir() {
            continue;
        }
        let listing = || format!("listing {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(listing)? {
            let path = entry.with_context(listing)?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
