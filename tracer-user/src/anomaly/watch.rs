//! What is remembered of one process from row to row.

use super::{
    change::Subject,
    consecutive::Consecutive,
    detector::Life,
    episode::{Episode, Open, Seen},
    kind::Kind,
    load::Load,
    memory::Memory,
    oom::Scale,
    state::States,
    thresholds::Thresholds,
};
use crate::{snapshot::SnapshotRow, units::BootNs};

/// A process as rows name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Who {
    pub(super) pid: u32,
    pub(super) starttime_ticks: u64,
}

impl Who {
    pub(super) fn of_row(row: &SnapshotRow) -> Self {
        Self {
            pid: row.pid,
            starttime_ticks: row.starttime_ticks,
        }
    }

    pub(super) fn subject(self, comm: Option<&str>) -> Subject {
        Subject {
            pid: self.pid,
            starttime_ticks: Some(self.starttime_ticks),
            comm: comm.map(str::to_owned),
        }
    }
}

/// One process.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    pub(super) open: Open,
    /// Its name when something was first wrong with it.
    pub(super) comm: Option<Box<str>>,
    /// The tick that had a row of it last.
    pub(super) seen: u64,
    memory: Memory,
    states: States,
    load: Load,
}

impl Watch {
    pub(super) fn since(began: BootNs) -> Self {
        Self {
            open: Open::default(),
            comm: None,
            seen: 0,
            memory: Memory::since(began),
            states: States::default(),
            load: Load::default(),
        }
    }

    /// Whom its anomalies are about.
    pub(super) fn subject(&self, who: Who) -> Subject {
        who.subject(self.comm.as_deref())
    }

    pub(super) fn exec(&mut self, t: BootNs) {
        self.memory.exec(t);
    }

    /// Goes on with an anomaly that another observer left open.
    pub(super) fn restore(&mut self, episode: Episode, initial_rss_kb: Option<u64>) {
        let span = episode.span;
        let so_far = Consecutive {
            count: span.count,
            since: span.first,
        };
        self.states.restore(episode.kind, so_far);
        self.load.restore(episode.kind, so_far);
        if let (Kind::RssGrowth, Some(initial)) = (episode.kind, initial_rss_kb) {
            self.memory.restore(initial, span);
        }
        self.open.insert(episode);
    }

    /// Whether it had ended in its last row.
    pub(super) fn was_zombie(&self) -> bool {
        self.states.was_zombie()
    }

    /// Whether it counts as one that nobody reaps.
    pub(super) fn is_zombie(&self) -> bool {
        self.states.is_zombie()
    }

    pub(super) fn look(
        &mut self,
        t: BootNs,
        row: &SnapshotRow,
        life: Life,
        scale: Scale,
        thresholds: &Thresholds,
    ) -> impl Iterator<Item = (Kind, Seen)> + use<> {
        let memory = self.memory.look(t, row, scale, thresholds);
        let states = self.states.look(t, row, life, thresholds);
        let load = self.load.look(t, row, thresholds);
        memory.into_iter().chain(states).chain(load)
    }
}
