//! The hash of everything that decides what the kernel side's object looks like.
//!
//! Sources of the two crates, the locked versions of all they depend on, the build's settings. Not the
//! whole `Cargo.lock`: a new version of something only user space needs must not make the object stale.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use super::toolchain::{COMPILER_VERSION, LINKER_VERSION};

/// The crates the object is built from.
const CRATES: [&str; 2] = ["tracer-ebpf", "tracer-common"];

/// SHA-256 of these bytes, in hex.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Hash of the kernel side's sources under `root`, built with these settings.
pub(super) fn hash(root: &Path, settings: &[&str]) -> Result<String> {
    let mut digest = Sha256::new();
    let mut add = |name: &str, bytes: &[u8]| {
        // Lengths keep the end of one part from being taken for the beginning of the next.
        for part in [name.as_bytes(), bytes] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
    };
    for name in CRATES {
        let mut files = vec![root.join(name).join("Cargo.toml")];
        collect(&root.join(name).join("src"), &mut files)?;
        files.sort();
        for file in files {
            let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
            let place = file.strip_prefix(root).unwrap_or(&file);
            add(&place.to_string_lossy(), &bytes);
        }
    }
    let lock_path = root.join("Cargo.lock");
    let lock = fs::read_to_string(&lock_path).with_context(|| lock_path.display().to_string())?;
    for package in locked(&lock, CRATES[0]) {
        add("Cargo.lock", package.as_bytes());
    }
    for setting in settings.iter().chain(&[COMPILER_VERSION, LINKER_VERSION]) {
        add("setting", setting.as_bytes());
    }
    Ok(hex(&digest.finalize()))
}

/// All files below a folder.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// The entries of a lock file for `name` and all it depends on, in order.
fn locked<'a>(lock: &'a str, name: &str) -> Vec<&'a str> {
    let mut packages: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1).map(str::trim) {
        let name = package
            .lines()
            .find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
        packages
            .entry(name.unwrap_or_default())
            .or_default()
            .push(package);
    }
    let mut wanted = vec![name];
    let mut seen = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        if !seen.insert(name) {
            continue;
        }
        // Where two versions of a package are locked, both count: too much rather than too little.
        for package in packages.get(name).into_iter().flatten() {
            wanted.extend(package.lines().filter_map(dependency));
        }
    }
    seen.iter()
        .filter_map(|name| packages.get(name))
        .flatten()
        .copied()
        .collect()
}

/// The name in a line ` "name 1.2.3",` of a dependency list.
fn dependency(line: &str) -> Option<&str> {
    let text = line.strip_prefix(" \"")?.strip_suffix("\",")?;
    text.split(' ').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"version = 4

[[package]]
name = "kernel"
version = "0.1.0"
dependencies = [
 "deep 2.0.0",
 "shared",
]

[[package]]
name = "deep"
version = "2.0.0"
dependencies = [
 "shared",
]

[[package]]
name = "shared"
version = "1.0.0"

[[package]]
name = "user-only"
version = "9.0.0"
dependencies = [
 "shared",
]
"#;

    #[test]
    fn only_what_the_kernel_side_depends_on_is_hashed() {
        let names: Vec<_> = locked(LOCK, "kernel")
            .into_iter()
            .filter_map(|package| package.lines().next())
            .collect();
        assert_eq!(
            names,
            [
                r#"name = "deep""#,
                r#"name = "kernel""#,
                r#"name = "shared""#
            ]
        );
    }

    #[test]
    fn a_changed_source_a_changed_setting_and_a_moved_byte_change_the_hash() {
        let root = tempfile::tempdir().unwrap();
        for name in CRATES {
            fs::create_dir_all(root.path().join(name).join("src")).unwrap();
            fs::write(root.path().join(name).join("Cargo.toml"), "ab").unwrap();
            fs::write(root.path().join(name).join("src/lib.rs"), "c").unwrap();
        }
        fs::write(root.path().join("Cargo.lock"), LOCK).unwrap();
        let before = hash(root.path(), &["x"]).unwrap();
        assert_eq!(before, hash(root.path(), &["x"]).unwrap());
        assert_ne!(before, hash(root.path(), &["y"]).unwrap());
        fs::write(root.path().join("tracer-common/src/lib.rs"), "bc").unwrap();
        fs::write(root.path().join("tracer-common/Cargo.toml"), "a").unwrap();
        assert_ne!(before, hash(root.path(), &["x"]).unwrap());
    }
}
