//! An alert in words: who, how old, what it costs, who started it, what it holds, and how to end it. Pure.

use std::{collections::BTreeMap, fmt::Write as _};

use jiff::Timestamp;

use super::{
    alert::{Alert, Decision, Detail, Severity},
    collect::Candidate,
    decide::{Key, Who},
    holders::{CMDLINE_MAX, Found, Holder, Named, cut},
    holdings::{Holding, LOCK, WAITS},
    orphan::Orphan,
};
use crate::procfs::{Access, FileId};

/// Others that a sentence names.
const NAMED_MAX: usize = 3;
/// How the D of `proc_pid_stat(5)` is called.
const DISK_SLEEP: &str = "disk-sleep";

/// What there is to say.
pub(super) struct Told<'a> {
    pub(super) boot_id: &'a str,
    pub(super) key: Key,
    pub(super) decision: Decision,
    pub(super) at: Timestamp,
    pub(super) since: Timestamp,
    pub(super) found: &'a Candidate,
    pub(super) parent: Option<&'a Named>,
    /// The kernel function it waits in.
    pub(super) waits_in: Option<&'a str>,
    pub(super) held: &'a [String],
}

/// The alert.
pub(super) fn alert(told: &Told<'_>) -> Alert {
    let found = told.found;
    let pid = found.who.pid;
    let age = found.age_s.unwrap_or(0);
    let end_it = end_it(found);
    let starter = starter(found, told.parent);
    let mut text = format!(
        "{} (pid {pid}) is {age} s old and still {}: {}; {:.1} s of CPU time",
        found.comm,
        found.state.unwrap_or("there"),
        found.cmdline,
        seconds(found.cpu_ms),
    );
    if let Some(percent) = found.cpu_percent {
        let _ = write!(text, ", {percent} % of one CPU of late");
    }
    let _ = write!(text, "; {starter}");
    if found.state == Some(DISK_SLEEP) {
        let place = told.waits_in.map(|at| format!(" ({at})"));
        let place = place.unwrap_or_default();
        let _ = write!(
            text,
            "; it waits in the kernel{place}, and may not end before that is over, whatever signal it gets"
        );
    }
    if !told.held.is_empty() {
        let _ = write!(text, "; it holds {}", told.held.join(", "));
    }
    let _ = write!(text, "; to end it: {end_it}");

    let mut labels = BTreeMap::new();
    labels.insert("pid".to_owned(), pid.to_string());
    labels.insert("starttime_ticks".to_owned(), found.who.start.0.to_string());
    labels.insert("comm".to_owned(), found.comm.clone());
    if let Some(left_by) = &found.left_by {
        labels.insert("session".to_owned(), left_by.session.clone());
        for (key, value) in &left_by.labels {
            labels.insert(format!("session_{key}"), value.clone());
        }
    }
    if let Some(orphan) = &found.orphan {
        labels.insert("followed_by".to_owned(), orphan.tree.by.clone());
        if let (Some(session), None) = (&orphan.session, &found.left_by) {
            labels.insert("session".to_owned(), session.clone());
        }
    }
    if let Some(pattern) = &found.pattern {
        labels.insert("pattern".to_owned(), pattern.clone());
    }
    let mut details = BTreeMap::new();
    let mut put = |key: &str, value| details.insert(key.to_owned(), value);
    put("age_seconds", Detail::Number(age));
    put("command", Detail::Text(found.cmdline.clone()));
    put("cpu_milliseconds", Detail::Number(found.cpu_ms));
    if let Some(percent) = found.cpu_percent {
        put("cpu_percent", Detail::Number(percent));
    }
    if let Some(state) = found.state {
        put("state", Detail::Text(state.to_owned()));
    }
    if let Some(at) = told.waits_in {
        put("waits_in", Detail::Text(at.to_owned()));
    }
    if let Some(uid) = found.uid {
        put("uid", Detail::Number(uid.into()));
    }
    put("started_by", Detail::Text(starter));
    if let Some(Orphan { parent, tree, .. }) = &found.orphan {
        put("parent_pid", Detail::Number(parent.pid.0.into()));
        put("parent_comm", Detail::Text(parent.comm.clone()));
        put("parent_command", Detail::Text(parent.cmdline.clone()));
        put("parent_ended", Detail::Text(parent.ended.clone()));
        put("parent_ended_at", Detail::Text(parent.ended_at.to_string()));
        put("tree_root_pid", Detail::Number(tree.root.0.into()));
        put("tree_root_comm", Detail::Text(tree.root_comm.clone()));
        put("followed_by", Detail::Text(tree.by.clone()));
    }
    put("holds", Detail::List(told.held.to_vec()));
    put("end_it", Detail::Text(end_it));
    Alert {
        key: format!(
            "{}/{}/{pid}/{}",
            told.key.kind.as_str(),
            told.boot_id,
            found.who.start.0
        ),
        kind: told.key.kind,
        decision: told.decision,
        severity: Severity::Warning,
        at: told.at,
        since: told.since,
        text,
        labels,
        details,
    }
}

/// The last news of an alert.
pub(super) fn recovery(last: &Alert, at: Timestamp, why: &str) -> Alert {
    let label = |key: &str| last.labels.get(key).map_or("?", String::as_str);
    let mut alert = Alert {
        decision: Decision::Recovery,
        at,
        text: format!(
            "{} (pid {}) is no longer told of: {why}",
            label("comm"),
            label("pid")
        ),
        ..last.clone()
    };
    let why = Detail::Text(why.to_owned());
    alert.details.insert("recovered".to_owned(), why);
    alert
}

/// Who started it.
fn starter(found: &Candidate, parent: Option<&Named>) -> String {
    if let Some(orphan) = &found.orphan {
        let seen = orphaned(orphan);
        return match &found.left_by {
            Some(left_by) => format!("{seen}; session {} left it behind", left_by.session),
            None => seen,
        };
    }
    if let Some(left_by) = &found.left_by {
        return format!(
            "session {} left it behind ({})",
            left_by.session,
            cut(left_by.command.clone(), CMDLINE_MAX)
        );
    }
    match parent {
        Some(parent) if parent.who.pid.0 > 1 => {
            format!("its parent is {}", named(parent))
        }
        Some(_) => "whoever started it has ended, and init has it".to_owned(),
        None => "its parent is not to be seen".to_owned(),
    }
}

/// Whose child it was, how that ended, and in which tree.
fn orphaned(
    Orphan {
        parent,
        tree,
        session,
    }: &Orphan,
) -> String {
    let mut text = format!(
        "it was started by {} (pid {}: {}), which {} at {}",
        parent.comm,
        parent.pid,
        if parent.cmdline.is_empty() {
            "command line unknown"
        } else {
            &parent.cmdline
        },
        parent.ended,
        parent.ended_at,
    );
    if tree.root != parent.pid {
        let _ = write!(text, ", below {} (pid {})", tree.root_comm, tree.root);
    }
    if !tree.by.is_empty() {
        let _ = write!(text, ", followed by {}", tree.by);
    }
    if let Some(session) = session {
        let _ = write!(text, ", in session {session}");
    }
    text
}

/// The command that ends it.
fn end_it(found: &Candidate) -> String {
    match &found.left_by {
        Some(left_by) => format!("tracer reap --session {} --yes", left_by.session),
        None => format!("kill {}", found.who.pid),
    }
}

#[expect(clippy::cast_precision_loss, reason = "one decimal for people")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

pub(super) fn named(named: &Named) -> String {
    format!("{} (pid {})", named.comm, named.who.pid)
}

/// What one thing is that a process holds, and who else has to do with it. `files` are what was searched.
#[must_use]
pub fn holding(held: &Holding, who: Who, files: &[FileId], found: &Found) -> String {
    let index = held
        .file
        .and_then(|file| files.iter().position(|&known| known == file));
    let Some(index) = index else {
        return format!("{} {}", held.what, held.name);
    };
    if matches!(held.what, LOCK | WAITS) {
        return lock(held, who, index, found);
    }
    let holders: Vec<&Holder> = found
        .holders
        .iter()
        .filter(|holder| holder.uses.iter().any(|&(at, _)| at == index))
        .collect();
    let others: Vec<&&Holder> = holders
        .iter()
        .filter(|other| other.named.who != who)
        .collect();
    let own = holders.iter().find(|holder| holder.named.who == who);
    if held.what != "pipe" {
        let also = list(&others);
        let also = also
            .map(|also| format!(" (so do {also})"))
            .unwrap_or_default();
        return format!("{} {}{also}", held.what, held.name);
    }
    let may = |access| own.is_some_and(|own| own.can(index, access));
    let (can_read, can_write) = (may(Access::Read), may(Access::Write));
    let end = match (can_read, can_write) {
        (true, true) => "both ends of",
        (true, false) => "the read end of",
        (false, true) => "the write end of",
        (false, false) => "",
    };
    let mut text = format!("{end} {}", held.name).trim_start().to_owned();
    let is_waiting = |holder: &Holder, access, what: &str| {
        let in_pipe = holder
            .waits_in
            .as_deref()
            .is_some_and(|at| at.contains(what));
        in_pipe && holder.can(index, access)
    };
    let writers: Vec<&&Holder> = others
        .iter()
        .filter(|other| other.can(index, Access::Write))
        .copied()
        .collect();
    if own.is_some_and(|own| is_waiting(own, Access::Read, "read")) {
        if can_write && writers.is_empty() {
            text.push_str(
                " (it waits for an end that only it could bring about: close the write end)",
            );
        } else if let Some(writers) = list(&writers) {
            let _ = write!(text, " (it waits for {writers})");
        }
        return text;
    }
    let readers = others
        .iter()
        .filter(|other| can_write && is_waiting(other, Access::Read, "read"));
    let readers: Vec<&&Holder> = readers.copied().collect();
    match (list(&readers), list(&others)) {
        (Some(readers), _) => {
            let _ = write!(text, " ({readers} waits for its end)");
        }
        (None, Some(others)) => {
            let _ = write!(text, " (shared with {others})");
        }
        (None, None) => {}
    }
    text
}

/// A lock, with who waits for it; or a wait for one, with who has it.
fn lock(held: &Holding, who: Who, index: usize, found: &Found) -> String {
    let others = found.holders.iter().filter(|other| other.named.who != who);
    let is_meant = |other: &&Holder| match held.what {
        WAITS => other.has_lock(index),
        _ => other.waits_for_lock(index),
    };
    let others: Vec<&Holder> = others.filter(is_meant).collect();
    let others = list(&others.iter().collect::<Vec<_>>());
    match (held.what, others) {
        (WAITS, Some(others)) => format!("waits for the {}, which {others} has", held.name),
        (WAITS, None) => format!("waits for the {}", held.name),
        (_, Some(others)) => format!("lock: {} ({others} waits for it)", held.name),
        (_, None) => format!("lock: {}", held.name),
    }
}

/// Some by name, the others by number; `None` for none.
fn list(holders: &[&&Holder]) -> Option<String> {
    if holders.is_empty() {
        return None;
    }
    let names = holders.iter().take(NAMED_MAX);
    let names: Vec<String> = names.map(|holder| named(&holder.named)).collect();
    let more = holders.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    Some(format!("{}{more}", names.join(", ")))
}
