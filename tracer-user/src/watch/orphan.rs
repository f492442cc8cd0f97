//! A process of a followed tree whose parent was seen to end: what is known of that, and how it is kept.
//!
//! Text in, values out. It is kept because only who was there at the end of the parent knows of it: the
//! next watcher finds a child of init like any other.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{decide::Who, state::StateError};
use crate::units::Tgid;

/// The form of the file.
const VERSION: u32 = 1;

/// What is known of an orphan beside itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orphan {
    /// Whose child it was.
    pub parent: Parent,
    /// The tree it is of.
    pub tree: FollowedTree,
    /// The session that has it on record, when that was looked up.
    #[serde(default)]
    pub session: Option<String>,
}

/// A parent that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The pid it had.
    pub pid: Tgid,
    /// Its name at the end.
    pub comm: String,
    /// Its command line, without secrets, cut.
    pub cmdline: String,
    /// How it ended, as in "was ended by SIGKILL".
    pub ended: String,
    /// When.
    pub ended_at: Timestamp,
}

/// A tree that is followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowedTree {
    /// The process it began with.
    pub root: Tgid,
    /// What that was called then.
    pub root_comm: String,
    /// The flag that says so, such as `--follow-comm claude`.
    pub by: String,
}

/// Orphans by who they are.
pub type Orphans = BTreeMap<Who, Orphan>;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    version: u32,
    boot_id: String,
    orphans: Vec<(Who, Orphan)>,
}

/// Those that a watcher before has kept, if it was on this boot.
///
/// # Errors
/// [`StateError`].
pub fn parse(text: &[u8], boot_id: &str) -> Result<Orphans, StateError> {
    let kept: Kept = serde_json::from_slice(text).map_err(StateError::Damaged)?;
    if kept.version != VERSION {
        return Err(StateError::Version(kept.version));
    }
    let is_ours = kept.boot_id == boot_id;
    Ok(kept.orphans.into_iter().filter(|_| is_ours).collect())
}

/// As text.
///
/// # Errors
/// Not to be expected: all keys are strings.
pub fn to_text(orphans: &Orphans, boot_id: &str) -> Result<Vec<u8>, StateError> {
    let orphans = orphans.iter().map(|(who, orphan)| (*who, orphan.clone()));
    let kept = Kept {
        version: VERSION,
        boot_id: boot_id.to_owned(),
        orphans: orphans.collect(),
    };
    serde_json::to_vec(&kept).map_err(StateError::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Ticks;

    #[test]
    fn what_is_kept_comes_back_on_the_same_boot_only() {
        let who = Who {
            pid: Tgid(7),
            start: Ticks(9),
        };
        let orphan = Orphan {
            parent: Parent {
                pid: Tgid(6),
                comm: "sh".to_owned(),
                cmdline: "sh -c x".to_owned(),
                ended: "was ended by SIGKILL".to_owned(),
                ended_at: Timestamp::UNIX_EPOCH,
            },
            tree: FollowedTree {
                root: Tgid(5),
                root_comm: "claude".to_owned(),
                by: "--follow-comm claude".to_owned(),
            },
            session: None,
        };
        let orphans = Orphans::from([(who, orphan)]);
        let text = to_text(&orphans, "b").unwrap();
        assert_eq!(parse(&text, "b").unwrap(), orphans);
        assert!(parse(&text, "other").unwrap().is_empty());
        assert!(matches!(parse(b"[]", "b"), Err(StateError::Damaged(_))));
        let later = br#"{"version":2,"boot_id":"b","orphans":[]}"#;
        assert!(matches!(parse(later, "b"), Err(StateError::Version(2))));
    }
}
