//! What only following trees reads: [`CgroupPlaces`], and whether its hooks are as the programs know them.

use tracer_common::{
    follow::CgroupPlaces,
    names::{PROG_FOLLOW_BORN, PROG_FOLLOW_MADE, PROG_FOLLOW_MOVED},
};

use super::offsets::Degraded;
use crate::probe::btf::{ArgKind, Btf, Kind};

/// What is known of cgroups on the running kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cgroups {
    /// Where the programs find them; absent when that is not known.
    pub(super) places: CgroupPlaces,
    /// Type ids of `btf_trace_cgroup_attach_task` and `btf_trace_cgroup_mkdir`.
    pub(super) moved: Option<u32>,
    pub(super) made: Option<u32>,
    /// What is missing.
    pub(super) degraded: Vec<Degraded>,
}

/// Reads all that following needs beside what every observer does.
pub(super) fn read(btf: &Btf<'_>) -> Cgroups {
    let mut degraded = Vec::new();
    let mut lose = |name: &str, why: &str| {
        degraded.push(Degraded {
            name: name.to_owned(),
            why: why.to_owned(),
        });
    };
    let places = places(btf);
    if places.is_none() {
        lose("cgroups", "processes in a followed cgroup are not found");
    }
    let id = |name: &str| {
        let id = btf.type_id_of(&format!("btf_trace_{name}"), Kind::Typedef);
        id.map(|id| id.0)
    };
    let takes_task = btf
        .tracepoint("cgroup_attach_task")
        .and_then(|args| args.get(2).copied())
        .is_some_and(|task| task.kind == ArgKind::PointerTo("task_struct"));
    let moved = id("cgroup_attach_task").filter(|_| takes_task);
    if moved.is_none() {
        lose(PROG_FOLLOW_MOVED, why(PROG_FOLLOW_MOVED));
    }
    let made = id("cgroup_mkdir");
    if made.is_none() {
        lose(PROG_FOLLOW_MADE, why(PROG_FOLLOW_MADE));
    }
    Cgroups {
        places: places.unwrap_or(CgroupPlaces::ABSENT),
        moved,
        made,
        degraded,
    }
}

/// What follows when a program of following is not there.
pub(super) fn why(program: &str) -> &'static str {
    match program {
        PROG_FOLLOW_MOVED => "who is moved into a followed cgroup is found only when it executes",
        PROG_FOLLOW_MADE => "a cgroup that appears later is found only at the next look",
        PROG_FOLLOW_BORN => "who is made in a followed cgroup is found only when it executes",
        _ => "what is executed under a followed name is not found",
    }
}

fn places(btf: &Btf<'_>) -> Option<CgroupPlaces> {
    let field = |owner: &str, path: &str, size: u32| {
        let member = btf.member(owner, path)?;
        (member.size == size && member.bits.is_none()).then_some(member.offset)
    };
    Some(CgroupPlaces {
        task_cgroups: field("task_struct", "cgroups", 8)?,
        css_set_cgroup: field("css_set", "dfl_cgrp", 8)?,
        cgroup_self: btf.member("cgroup", "self")?.offset,
        cgroup_parent: field("cgroup", "self.parent", 8)?,
        cgroup_node: field("cgroup", "kn", 8)?,
        node_id: field("kernfs_node", "id", 8)?,
    })
}
