//! The rules for manifests: versions once, lints for everyone.
//!
//! Reads the lines of a `Cargo.toml` as cargo's own documentation lays it out; a manifest in another
//! dress (inline tables over lines, quoted keys) is told of as a violation, not understood.

use super::house;
use super::{File, Violation};

/// The root manifest lists every member, so that nobody lives outside the rules.
pub(super) fn check_root(file: &File) -> Vec<Violation> {
    let line = file.text.lines().find(|line| line.starts_with("members ="));
    let members: Vec<&str> = line.unwrap_or("").split('"').skip(1).step_by(2).collect();
    if members == house::MEMBERS {
        return Vec::new();
    }
    let what = format!(
        "members are {members:?}, tidy checks {:?}: make them agree",
        house::MEMBERS
    );
    vec![Violation {
        file: file.path.clone(),
        line: 0,
        what,
    }]
}

/// A member inherits the lints and takes every version from the root.
pub(super) fn check_member(file: &File) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut section = "";
    let mut inherits = false;
    let mut tell = |line: usize, what: &str| {
        found.push(Violation {
            file: file.path.clone(),
            line,
            what: what.to_owned(),
        });
    };
    for (number, line) in file.text.lines().enumerate() {
        let number = number + 1;
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_matches(|c| c == '[' || c == ']');
            if section.contains("dependencies.") {
                tell(number, "a table for one dependency: write it on one line");
            }
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let (key, value) = (key.trim(), value.trim());
        if section == "lints" && key == "workspace" && value == "true" {
            inherits = true;
        }
        if section == "package" && (key == "version" || key == "edition" || key == "rust-version") {
            tell(
                number,
                "only the root manifest has versions: `….workspace = true`",
            );
        }
        if section.ends_with("dependencies") {
            let shared = key.ends_with(".workspace") && value.starts_with("true")
                || value.contains("workspace = true");
            if !shared || value.contains("version") {
                tell(
                    number,
                    "only the root manifest has versions: `….workspace = true`",
                );
            }
        }
    }
    if !inherits {
        tell(
            0,
            "does not inherit the workspace's lints: `[lints]` `workspace = true`",
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<usize> {
        let file = File {
            path: "x/Cargo.toml".to_owned(),
            text: text.to_owned(),
        };
        check_member(&file)
            .iter()
            .map(|violation| violation.line)
            .collect()
    }

    const GOOD: &str = "[package]\nname = \"x\"\nversion.workspace = true\n[dependencies]\n\
                        a.workspace = true # why\nb = { workspace = true, optional = true }\n\
                        [lints]\nworkspace = true\n";

    #[test]
    fn a_member_that_inherits_everything_is_fine() {
        assert_eq!(said(GOOD), [0; 0]);
    }

    #[test]
    fn versions_stand_in_the_root_manifest_only() {
        assert_eq!(said(&GOOD.replace("a.workspace = true", "a = \"1\"")), [5]);
        assert_eq!(
            said(&GOOD.replace("version.workspace = true", "version = \"1\"")),
            [3]
        );
        let path = GOOD.replace("b = { workspace = true", "b = { path = \"../b\"");
        assert_eq!(said(&path), [6]);
        let table = GOOD.replace("[lints]", "[dev-dependencies.c]\nversion = \"1\"\n[lints]");
        assert_eq!(said(&table), [7]);
    }

    #[test]
    fn lints_are_inherited() {
        assert_eq!(said(&GOOD.replace("[lints]\nworkspace = true\n", "")), [0]);
    }

    #[test]
    fn a_new_member_has_to_be_told_to_tidy() {
        let root = |members: &str| File {
            path: "Cargo.toml".to_owned(),
            text: format!("[workspace]\nmembers = [{members}]\n"),
        };
        let all = house::MEMBERS
            .map(|member| format!("\"{member}\""))
            .join(", ");
        assert_eq!(check_root(&root(&all)), []);
        assert_eq!(check_root(&root("\"tracer-common\"")).len(), 1);
    }
}
