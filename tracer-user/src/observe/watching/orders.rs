//! What the kernel source is told.

use std::collections::BTreeMap;

use tracer_common::event::Followed;

use crate::{probe::follow::Follow, units::Comm};

/// What is to be followed, and by which flag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Orders {
    pub(super) follow: Follow,
    /// The flags of the cgroups.
    pub(super) by_cgroup: BTreeMap<u64, String>,
    /// The flags of the names, each as long as the kernel keeps it.
    pub(super) by_name: BTreeMap<String, String>,
    /// Whether any cgroup is followed, or waited for.
    pub(super) of_cgroups: bool,
    /// Counts them.
    pub(super) number: u64,
    /// It is to end.
    pub(super) stop: bool,
}

impl Orders {
    /// The flag that says why.
    pub(super) fn by(&self, followed: Followed, comm: Comm) -> String {
        match self.by_cgroup.get(&followed.cgroup) {
            Some(flag) if followed.cgroup != 0 => flag.clone(),
            _ => {
                let flag = self.by_name.get(&comm.to_text()).cloned();
                flag.unwrap_or_else(|| format!("--follow-comm {comm}"))
            }
        }
    }
}
