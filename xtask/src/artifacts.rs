//! What cargo built and where, from cargo's own messages: nothing is guessed from `target/`.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::program;

/// One executable that cargo built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Artifact {
    /// Folder of the package that it belongs to.
    pub(crate) package_dir: PathBuf,
    /// Name of the target: of the program, library or test file.
    pub(crate) name: String,
    /// A test binary, with the harness as its `main`.
    pub(crate) is_test: bool,
    /// An integration test: a target of its own in a `tests` folder.
    pub(crate) is_integration: bool,
    /// The file.
    pub(crate) executable: PathBuf,
}

impl Artifact {
    /// Name of the package's folder.
    pub(crate) fn package(&self) -> String {
        let name = self.package_dir.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

/// The part of a cargo message that is read here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Runs `cargo ARGS` (`build …` or `test --no-run …`) and returns the executables.
///
/// # Errors
/// cargo could not be started or failed; it has then said why on stderr.
pub(crate) fn build(args: &[&str]) -> Result<Vec<Artifact>> {
    let mut command = program::cargo();
    command
        .args(args)
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let line = program::line(&command);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start `{line}`"))?;
    let messages = child.stdout.take().context("cargo has no stdout")?;
    let mut artifacts = Vec::new();
    for message in BufReader::new(messages).lines() {
        let message = message.with_context(|| format!("reading what `{line}` says"))?;
        artifacts.extend(parse_message(&message));
    }
    let status = child
        .wait()
        .with_context(|| format!("waiting for `{line}`"))?;
    ensure!(status.success(), "`{line}`: {status}");
    Ok(artifacts)
}

/// The executable that one message tells of, if it does.
fn parse_message(message: &str) -> Option<Artifact> {
    let message: Message = serde_json::from_str(message).ok()?;
    if message.reason != "compiler-artifact" {
        return None;
    }
    let target = message.target?;
    Some(Artifact {
        package_dir: message.manifest_path?.parent().map(Path::to_path_buf)?,
        is_integration: target.kind.iter().any(|kind| kind == "test"),
        name: target.name,
        is_test: message.profile?.test,
        executable: message.executable?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = r#"{"reason":"compiler-artifact","package_id":"x","manifest_path":"/w/tests/Cargo.toml",
        "target":{"kind":["test"],"name":"core"},"profile":{"opt_level":"0","test":true},
        "features":[],"filenames":[],"executable":"/w/target/debug/deps/core-1","fresh":true}"#;

    #[test]
    fn an_executable_is_known_by_package_target_and_file() {
        let artifact = parse_message(MESSAGE).unwrap();
        assert_eq!(artifact.package(), "tests");
        assert_eq!(artifact.name, "core");
        assert!(artifact.is_test && artifact.is_integration);
        assert_eq!(
            artifact.executable,
            Path::new("/w/target/debug/deps/core-1")
        );
    }

    #[test]
    fn libraries_build_scripts_and_other_messages_are_not_executables() {
        let library = MESSAGE.replace(r#""/w/target/debug/deps/core-1""#, "null");
        assert_eq!(parse_message(&library), None);
        assert_eq!(
            parse_message(r#"{"reason":"build-finished","success":true}"#),
            None
        );
        assert_eq!(parse_message("not json"), None);
    }
}
