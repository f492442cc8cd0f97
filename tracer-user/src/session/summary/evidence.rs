//! What records other than events say about an end: losses, gaps, and the notes that user space writes
//! about OOM kills, cores, and signals that the observer passed on.

use serde_json::{Map, Value};

use super::ACCOUNTS_LOST;
use crate::{
    session::journal::{
        notes::topic,
        record::{Body, Note, TargetBody},
    },
    units::BootNs,
    verdict::{
        Casebook, Killer, Relation,
        aftermath::{About, Aftermath, CorePlace, CoreSeen, OomScene, Scope},
        casebook::Forwarded,
    },
};

/// Hands a record on to the casebook, unless it is an event.
pub(super) fn outside(casebook: &mut Casebook, seq: u64, t: BootNs, body: &Body) {
    // Nearly every record, and all that it says here.
    if let Body::Event(_) = body {
        return casebook.aftermath.unseen.other();
    }
    after(&mut casebook.aftermath, seq, t, body);
    before(casebook, seq, t, body);
}

/// Takes what explains ends that came before it.
pub(in crate::session) fn after(aftermath: &mut Aftermath, seq: u64, t: BootNs, body: &Body) {
    let unseen = &mut aftermath.unseen;
    match body {
        Body::Tick(_) => unseen.tick(t),
        Body::Snapshot { .. } => {}
        // An account says nothing of how a process ended.
        Body::Loss { reason, .. } if ACCOUNTS_LOST.contains(&reason.as_str()) => {}
        Body::Loss { count, .. } => unseen.lost(seq, t, *count),
        Body::Gap(gap) => {
            unseen.other();
            unseen.gap(seq, gap.first_t, gap.last_t, gap.dropped);
        }
        Body::Note(note) => {
            unseen.other();
            self::note(aftermath, seq, note);
        }
        _ => unseen.other(),
    }
}

/// Takes what explains signals that come after it.
pub(in crate::session) fn before(casebook: &mut Casebook, seq: u64, t: BootNs, body: &Body) {
    match body {
        Body::Note(note) if note.topic == topic::ENDING => {
            if let Some(ending) = note.as_ending(seq, t) {
                casebook.ends(ending);
            }
        }
        Body::Note(note) if note.topic == topic::FORWARDED => {
            if let Some(forwarded) = forwarded(seq, &note.data) {
                casebook.forwarded(forwarded);
            }
        }
        Body::Target(target) => {
            if let TargetBody::Pinned(pinned) = target.as_ref() {
                casebook.workload(pinned.process.key);
            }
        }
        _ => {}
    }
}

fn note(aftermath: &mut Aftermath, seq: u64, note: &Note) {
    let data = &note.data;
    match note.topic.as_str() {
        topic::OOM_SCENE => {
            if let Some(about) = about(data) {
                aftermath.oom(about, oom_scene(seq, data));
            }
        }
        topic::CORE => {
            if let Some(about) = about(data) {
                let place = match (text(data, "file"), text(data, "piped_to")) {
                    (Some(file), _) => CorePlace::File(file),
                    (None, Some(program)) => CorePlace::Piped(program),
                    (None, None) => CorePlace::Unknown,
                };
                aftermath.core(about, CoreSeen { seq, place });
            }
        }
        _ => {}
    }
}

fn forwarded(seq: u64, data: &Map<String, Value>) -> Option<Forwarded> {
    let int = |key: &str| i32::try_from(data.get(key)?.as_i64()?).ok();
    let pid = number(data, "pid").and_then(|pid| u32::try_from(pid).ok());
    Some(Forwarded {
        seq,
        signal: int("signal")?,
        code: int("code")?,
        sender: Killer {
            pid: pid.filter(|&pid| pid != 0),
            starttime_ticks: number(data, "starttime_ticks").unwrap_or(0),
            comm: text(data, "comm").unwrap_or_default(),
            cmdline: text(data, "cmdline"),
            uid: number(data, "uid")
                .and_then(|uid| u32::try_from(uid).ok())
                .unwrap_or(u32::MAX),
            // A process of a namespace that the observer cannot see has no pid for it.
            relation: match pid {
                Some(1..) => Relation::Outside,
                _ => Relation::Unknown,
            },
            started_by: None,
        },
    })
}

fn oom_scene(seq: u64, data: &Map<String, Value>) -> OomScene {
    let scope = data.get("scope").and_then(Value::as_str);
    OomScene {
        seq,
        cgroup: text(data, "cgroup"),
        scope: match scope {
            Some("cgroup") => Some(Scope::Cgroup),
            Some("machine") => Some(Scope::Machine),
            Some("nodes") => Some(Scope::Nodes),
            _ => None,
        },
        limit_kb: number(data, "limit_kb"),
        usage_kb: number(data, "usage_kb"),
        group: data.get("group").and_then(Value::as_bool) == Some(true),
        kills_before: number(data, "oom_kills_before"),
        kills_now: number(data, "oom_kills"),
    }
}

fn about(data: &Map<String, Value>) -> Option<About> {
    Some(About {
        pid: number(data, "pid").and_then(|pid| u32::try_from(pid).ok())?,
        start: BootNs(number(data, "start_boottime_ns")?),
    })
}

fn number(data: &Map<String, Value>, key: &str) -> Option<u64> {
    data.get(key)?.as_u64()
}

fn text(data: &Map<String, Value>, key: &str) -> Option<String> {
    data.get(key)?.as_str().map(str::to_owned)
}
