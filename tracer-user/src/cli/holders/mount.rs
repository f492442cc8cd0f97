//! `tracer holders` of a mount: who keeps it from being unmounted.

use std::{fmt::Write as _, path::Path};

use serde_json::{Value, json};

use super::{descriptor, line, process, unseen};
use crate::{
    cli::escape::printable,
    procfs::{
        ProcRoot,
        mounts::{MountId, Place, Use},
    },
    session::redact::redact_argv,
    watch::busy,
};

/// Uses of one process that a person is shown.
const SHOWN_MAX: usize = 8;

/// The answer, and whether there is anybody.
pub(super) fn answer(
    proc: &ProcRoot,
    mount: MountId,
    path: &Path,
    as_json: bool,
) -> anyhow::Result<(String, bool)> {
    let busy = busy::search(proc, mount, redact_argv)?;
    let any = !busy.blockers.is_empty() || !busy.mounts.is_empty();
    if as_json {
        let holders: Vec<Value> = busy
            .blockers
            .iter()
            .map(|blocker| json!({ "process": process(&blocker.named), "uses": uses(&blocker.uses) }))
            .collect();
        let answer = json!({ "holders": holders, "mounts": busy.mounts, "denied": busy.denied });
        return Ok((format!("{answer}\n"), any));
    }
    let mut text = String::new();
    for blocker in &busy.blockers {
        let uses = uses(&blocker.uses);
        let shown: Vec<String> = uses
            .iter()
            .take(SHOWN_MAX)
            .map(|one| printable(one))
            .collect();
        let more = uses.len().saturating_sub(SHOWN_MAX);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        let shown = shown.join(", ");
        let _ = writeln!(
            text,
            "{}  keeps it busy by {shown}{more}",
            line(&blocker.named)
        );
    }
    for mount in &busy.mounts {
        let _ = writeln!(text, "{} is mounted on it", printable(mount));
    }
    if !any {
        let shown = printable(&path.display().to_string());
        let _ = writeln!(text, "nobody that can be seen keeps {shown} busy");
    }
    unseen(&mut text, busy.denied);
    Ok((text, any))
}

fn uses(uses: &[Use]) -> Vec<String> {
    let use_of = |(place, path): &Use| {
        let path = String::from_utf8_lossy(path);
        match place {
            Place::Cwd => format!("its working directory {path}"),
            Place::Root => format!("its root directory {path}"),
            Place::Exe => format!("its program {path}"),
            Place::Mapped => format!("{path} in its memory"),
            Place::Fd(fd, access) => format!("{} {path}", descriptor(*fd, *access)),
        }
    };
    uses.iter().map(use_of).collect()
}
