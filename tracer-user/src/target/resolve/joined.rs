//! The workload of a tree that was there before: what an attach looks at.

use crate::collections::HashMap;

use super::{COPY, FOLLOWED, Pending, Pinned, Resolver, Seen};
use crate::target::wrappers::Image;
use crate::units::{BootNs, Comm, ProcKey, Process};

/// A process that was there when an attach began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existing {
    /// The process.
    pub process: Process,
    /// Its parent, where that is in the tree.
    pub parent_key: Option<ProcKey>,
    /// `/proc/<pid>/comm`.
    pub comm: Comm,
    /// `/proc/<pid>/exe`, if it could be read.
    pub exe: Option<Vec<u8>>,
    /// `/proc/<pid>/cmdline`.
    pub argv: Vec<Vec<u8>>,
    /// When it started.
    pub start: BootNs,
}

impl Resolver {
    /// Adds a process that was there before tracking began. [`Self::settle`] looks at them.
    pub fn existing(&mut self, process: Existing) {
        // No image and no arguments: it has ended. Its name is enough for who is asked for by name.
        let shows = process.exe.is_some() || !process.argv.is_empty() || self.expect.is_some();
        if self.pinned.is_none() && shows && self.existing.len() < FOLLOWED {
            self.existing.push(process);
        }
    }

    /// Looks at what is there: the processes given to [`Self::existing`], parents first, and then
    /// those that ran below a wrapper without having been asked for. Call it once all existing
    /// processes are in, and again when waiting for a better one should end. `Some` once.
    pub fn settle(&mut self) -> Option<&Pinned> {
        if self.pinned.is_some() {
            return None;
        }
        let first_look = !self.existing.is_empty();
        let mut existing = std::mem::take(&mut self.existing);
        existing.sort_by_key(|process| (process.start, process.process.key));
        let images: HashMap<ProcKey, usize> = existing
            .iter()
            .enumerate()
            .map(|(at, process)| (process.process.key, at))
            .collect();
        for process in &existing {
            let parent = process.parent_key.and_then(|key| images.get(&key));
            self.look_at(process, parent.map(|&at| &existing[at]));
            if self.pinned.is_some() {
                return self.pinned.as_ref();
            }
        }
        let alive = |pending: &Pending| self.nodes.contains_key(&pending.target.process.key);
        let held = self.nodes.values().find_map(|node| node.held.as_deref());
        let doubtful = self.doubtful.iter().find(|pending| alive(pending));
        // Fresh doubts of a first look are given until the next call to clear up.
        let choice = held.or(doubtful.filter(|_| !first_look)).cloned();
        choice.and_then(|pending| self.pin(pending))
    }

    fn look_at(&mut self, process: &Existing, parent: Option<&Existing>) {
        let parent_node = process
            .parent_key
            .and_then(|key| self.nodes.get(&key))
            .cloned();
        let known = self.nodes.get(&process.process.key);
        if known.is_some_and(|node| node.exec_seen) {
            return;
        }
        if let Some(parent_node) = parent_node {
            let node = self.node(process.process.key);
            node.want = parent_node.want;
            node.goes_on = parent_node.goes_on;
        }
        let seen = Seen {
            process: process.process,
            exec_no: 0,
            comm: process.comm,
            at: process.start,
        };
        let image = Image {
            comm: process.comm.as_bytes(),
            filename: process.exe.as_deref().unwrap_or_default(),
            filename_cut: false,
            argv: &process.argv,
            argv_cut: false,
        };
        let copy =
            parent.is_some_and(|parent| parent.argv == process.argv && parent.exe == process.exe);
        if copy && self.expect.is_none() {
            self.pass_over(seen, &image, COPY, true);
        } else {
            self.consider(seen, &image);
        }
    }
}
