//! Which TCP sockets of a network namespace are established, each namespace's tables read once a tick.

use std::collections::{HashMap, hash_map::Entry};

use super::reading::Field;
use crate::procfs::ProcDir;

/// Inodes of the established TCP sockets of each network namespace, read at most once a tick.
#[derive(Debug, Default)]
pub(super) struct NetTables {
    established: HashMap<u64, Vec<u64>>,
}

impl NetTables {
    pub(super) fn forget(&mut self) {
        self.established.clear();
    }

    /// Those of the namespace that `dir` is in, sorted.
    pub(super) fn of(&mut self, dir: &ProcDir) -> Field<&[u64]> {
        Ok(match self.established.entry(dir.net_ns()?) {
            Entry::Occupied(read) => read.into_mut(),
            Entry::Vacant(unread) => {
                let mut inodes = Vec::new();
                dir.established(&mut inodes)?;
                inodes.sort_unstable();
                unread.insert(inodes)
            }
        })
    }
}
