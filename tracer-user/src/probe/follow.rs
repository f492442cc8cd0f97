//! Telling the kernel side what to follow: names and cgroups whose processes are taken in by themselves,
//! each with everything below it.
//!
//! How a process is noticed before it can make another is told on the kernel side. Here is said what to
//! look for; and each time that changes, all processes are gone through once for those that were there
//! before.

use std::collections::BTreeSet;

use aya::maps::{HashMap, MapData};
use tracer_common::{
    follow::{FOLLOWED_MAX, IS_CGROUP, Key},
    names::{
        MAP_FOLLOWED, PROG_FOLLOW_BORN, PROG_FOLLOW_EXEC, PROG_FOLLOW_MADE, PROG_FOLLOW_MOVED,
    },
};

use super::{adopt::Adoption, attached::Attached, cgroups, offsets::Degraded, support::ProbeError};
use crate::units::Comm;

/// Names and cgroups together that can be followed at once.
pub const MOST: usize = FOLLOWED_MAX as usize;

const PROGRAMS: [&str; 4] = [
    PROG_FOLLOW_EXEC,
    PROG_FOLLOW_BORN,
    PROG_FOLLOW_MOVED,
    PROG_FOLLOW_MADE,
];

/// Who is to be followed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Follow {
    /// Names that are executed, or that a process has.
    pub names: BTreeSet<[u8; 15]>,
    /// Cgroups of version 2, by the inode numbers of their directories; with all below them.
    pub cgroups: BTreeSet<u64>,
}

impl Follow {
    /// Adds a name; what is longer than a task's name can be is cut as the kernel cuts it.
    pub fn name(&mut self, name: &[u8]) {
        let mut bytes = [0; 15];
        let name = Comm::from_bytes(name);
        bytes[..name.as_bytes().len()].copy_from_slice(name.as_bytes());
        self.names.insert(bytes);
    }

    fn keys(&self) -> BTreeSet<Key> {
        let name = |name: &[u8; 15]| {
            let mut bytes = [0; size_of::<Key>()];
            bytes[..15].copy_from_slice(name);
            bytemuck::cast(bytes)
        };
        let cgroups = self.cgroups.iter().map(|&id| [id, IS_CGROUP]);
        self.names.iter().map(name).chain(cgroups).collect()
    }
}

impl Attached {
    /// From now on these are followed, and nothing else; who is tracked already stays so. Goes through
    /// all processes for those that are there. Each root is reported as a fork event that
    /// [`super::decode::followed`] knows.
    ///
    /// # Errors
    /// When there are more than [`MOST`], the probe was not loaded for following, or the processes cannot
    /// be gone through.
    pub fn follow(&mut self, follow: &Follow) -> Result<Adoption, ProbeError> {
        let wanted = follow.keys();
        if wanted.len() > MOST {
            return Err(ProbeError::BadSetting {
                setting: "number of followed names and cgroups",
                value: u32::try_from(wanted.len()).unwrap_or(u32::MAX),
                must: "at most 256",
            });
        }
        self.set_followed(&wanted)?;
        self.adopt_followed()
    }

    /// Looks again for those who are to be followed: a program may have been skipped for them.
    ///
    /// # Errors
    /// When the processes cannot be gone through.
    pub fn follow_again(&mut self) -> Result<Adoption, ProbeError> {
        self.adopt_followed()
    }

    /// What this kernel lacks for following, and what follows from it.
    #[must_use]
    pub fn follow_lacks(&self) -> Vec<Degraded> {
        let concerns = |name: &str| name == "cgroups" || PROGRAMS.contains(&name);
        let lacks = self.degraded().iter();
        let mut lacks: Vec<Degraded> = lacks.filter(|lack| concerns(&lack.name)).cloned().collect();
        for program in PROGRAMS.into_iter().filter(|program| !self.has(program)) {
            if !lacks.iter().any(|lack| lack.name == program) {
                lacks.push(Degraded {
                    name: program.to_owned(),
                    why: cgroups::why(program).to_owned(),
                });
            }
        }
        lacks
    }

    fn set_followed(&mut self, wanted: &BTreeSet<Key>) -> Result<(), ProbeError> {
        let step = "saying whom to follow";
        let failed = |source| ProbeError::step(step, source);
        let map = self
            .ebpf
            .as_mut()
            .and_then(|ebpf| ebpf.map_mut(MAP_FOLLOWED));
        let map = map.ok_or_else(|| ProbeError::step(step, "there is no such map"))?;
        let mut map: HashMap<&mut MapData, Key, u32> = HashMap::try_from(map).map_err(failed)?;
        let there: Vec<Key> = map.keys().collect::<Result<_, _>>().map_err(failed)?;
        for key in there.iter().filter(|key| !wanted.contains(*key)) {
            map.remove(key).map_err(failed)?;
        }
        for key in wanted {
            map.insert(key, 1, 0).map_err(failed)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cut_as_the_kernel_cuts_it_and_is_never_a_cgroup() {
        let mut follow = Follow::default();
        follow.name(b"0123456789abcdefgh");
        follow.name(b"0123456789abcde");
        follow.name(&[0xff; 20]);
        follow.cgroups.insert(7);
        let keys = follow.keys();
        assert_eq!(keys.len(), 3);
        let name: Key = bytemuck::cast(*b"0123456789abcde\0");
        assert!(keys.contains(&name) && keys.contains(&[7, IS_CGROUP]));
        assert_eq!(keys.iter().filter(|key| key[1] == IS_CGROUP).count(), 1);
    }
}
