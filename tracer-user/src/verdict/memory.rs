//! Want of memory: the OOM killer chose the process, or one that shares its memory.

use std::fmt::Write as _;

use super::{
    Cause, Confidence,
    aftermath::{Aftermath, OomScene, Scope},
    evidence::{Dead, OomSeen},
    explain::Why,
    words::size,
};

/// The kernel ran out of memory and ended `dead`.
pub(super) fn killed(dead: &Dead, oom: &OomSeen, after: &Aftermath) -> Why {
    // Of those who go with the first one the kernel says no more, and they may be gone in a moment.
    let first = oom.first.and_then(|first| after.oom_of(first));
    let of_group = first.filter(|first| first.group);
    let scene = of_group.or_else(|| after.oom_of(oom.victim));
    let mut what = "out of memory: the kernel killed it".to_owned();
    what.push_str(&limit(scene));
    let held = oom.figures.map(|held| {
        size(
            held.anon_rss_kb
                .saturating_add(held.file_rss_kb)
                .saturating_add(held.shmem_rss_kb),
        )
    });
    let victim = format!("{} (pid {})", oom.comm.to_text(), oom.victim.tgid);
    if oom.victim.key == dead.process.key {
        if let Some(held) = held {
            let _ = write!(what, "; {victim} held {held}");
        }
    } else {
        let _ = write!(
            what,
            ", which shares its memory with {victim}, the one it chose"
        );
        if let Some(held) = held {
            let _ = write!(what, " and that held {held}");
        }
    }
    if scene.is_some_and(|scene| scene.group) {
        what.push_str("; all of its cgroup was to go with it (memory.oom.group)");
    }
    let kills = scene.and_then(|scene| scene.kills_before.zip(scene.kills_now));
    if let Some((before, now)) = kills {
        let _ = write!(what, "; OOM kills there: {before} before, {now} now");
    }
    Why {
        cause: Cause::KernelOom,
        confidence: Confidence::Certain,
        what,
        killer: None,
        evidence: [Some(oom.seq), scene.map(|scene| scene.seq)]
            .into_iter()
            .flatten()
            .collect(),
    }
}

/// ` at 512 MiB, the limit of its cgroup /x`.
fn limit(scene: Option<&OomScene>) -> String {
    let Some(scene) = scene else {
        return String::new();
    };
    let text = match scene.scope {
        Some(Scope::Cgroup) => {
            let cgroup = scene.cgroup.as_deref().unwrap_or_default();
            match scene.limit_kb {
                Some(limit) => format!(" at {}, the limit of its cgroup {cgroup}", size(limit)),
                None => format!(" at the limit of its cgroup {cgroup}"),
            }
        }
        Some(Scope::Machine) => " because the machine had no memory left".to_owned(),
        Some(Scope::Nodes) => " because the nodes it was bound to had no memory left".to_owned(),
        // Nobody said whose memory it was: its cgroup's is a guess that the reader may make.
        None => match (&scene.cgroup, scene.limit_kb) {
            (Some(cgroup), Some(limit)) => {
                format!(" (its cgroup {cgroup} has a limit of {})", size(limit))
            }
            _ => String::new(),
        },
    };
    text.trim_end().to_owned()
}
