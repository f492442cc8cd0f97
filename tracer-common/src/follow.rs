//! What makes the kernel side follow a process by itself: its name, or the cgroup it is in.

use bytemuck::{Pod, Zeroable};

/// Key of the map of what is followed: a task's name as it stands in `task->comm`, NUL-padded to 16 bytes,
/// as two words; or the id of a cgroup and [`IS_CGROUP`], which no name can end in, for it ends in NUL.
pub type Key = [u64; 2];
/// Second word of a cgroup's key.
pub const IS_CGROUP: u64 = u64::MAX;
/// Default number of names and cgroups, together.
pub const FOLLOWED_MAX: u32 = 256;
/// Cgroups above a process that are looked through.
pub const CGROUP_DEPTH_MAX: u32 = 32;

/// Where the running kernel keeps what leads from a task to its cgroups (version 2), as in
/// [`crate::offsets::Offsets`]. All of it or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct CgroupPlaces {
    /// `task_struct.cgroups`, pointer to `css_set`.
    pub task_cgroups: u32,
    /// `css_set.dfl_cgrp`, pointer to `cgroup`: the one of version 2.
    pub css_set_cgroup: u32,
    /// `cgroup.self`, a `cgroup_subsys_state`.
    pub cgroup_self: u32,
    /// `cgroup.self.parent`, pointer to the parent's `self`.
    pub cgroup_parent: u32,
    /// `cgroup.kn`, pointer to `kernfs_node`.
    pub cgroup_node: u32,
    /// `kernfs_node.id`, 8 bytes: the inode number of the cgroup's directory.
    pub node_id: u32,
}

impl CgroupPlaces {
    /// Nothing is known of the kernel.
    pub const ABSENT: Self = Self {
        task_cgroups: crate::offsets::ABSENT,
        css_set_cgroup: crate::offsets::ABSENT,
        cgroup_self: crate::offsets::ABSENT,
        cgroup_parent: crate::offsets::ABSENT,
        cgroup_node: crate::offsets::ABSENT,
        node_id: crate::offsets::ABSENT,
    };
}
