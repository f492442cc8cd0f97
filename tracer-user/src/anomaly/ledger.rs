//! Gives anomalies their numbers, and says what opened and what closed.

use super::{
    change::{Change, Ended, Phase, Subject},
    episode::{Episode, Held, Open, Seen, Turn},
    kind::Kind,
};
use crate::units::BootNs;

/// Anomalies that a session tells of. What comes beyond is counted: a program that goes back and forth
/// over a threshold must not fill the disk.
pub const OPENINGS_MAX: u64 = 10_000;
/// The numbers of anomalies, and what there is to tell.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    pub(super) last_no: u64,
    pub(super) untold: u64,
    pub(super) changes: Vec<Change>,
}

impl Ledger {
    pub(super) fn look(
        &mut self,
        open: &mut Open,
        kind: Kind,
        t: BootNs,
        seen: Seen,
        subject: impl FnOnce() -> Subject,
    ) {
        match open.look(kind, t, seen) {
            Some(Turn::Opens(held)) => {
                if let Some(episode) = self.open(kind, t, held, subject) {
                    open.insert(episode);
                }
            }
            Some(Turn::Closes(episode)) => self.close(episode, t, Ended::Condition, subject()),
            None => {}
        }
    }

    pub(super) fn open(
        &mut self,
        kind: Kind,
        t: BootNs,
        held: Held,
        subject: impl FnOnce() -> Subject,
    ) -> Option<Episode> {
        if self.last_no >= OPENINGS_MAX {
            self.untold += 1;
            return None;
        }
        self.last_no += 1;
        let episode = held.begin(self.last_no, kind, t);
        self.changes.push(Change {
            no: episode.no,
            kind,
            phase: Phase::Opened(held.detail),
            t,
            subject: subject(),
            span: episode.span,
        });
        Some(episode)
    }

    pub(super) fn close(&mut self, episode: Episode, t: BootNs, ended: Ended, subject: Subject) {
        self.changes.push(Change {
            no: episode.no,
            kind: episode.kind,
            phase: Phase::Closed(ended),
            t,
            subject,
            span: episode.span,
        });
    }

    pub(super) fn close_all(
        &mut self,
        open: &mut Open,
        t: BootNs,
        ended: Ended,
        subject: &Subject,
    ) {
        for episode in open.drain() {
            self.close(episode, t, ended, subject.clone());
        }
    }
}
