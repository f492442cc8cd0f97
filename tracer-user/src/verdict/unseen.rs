//! When something may have happened that nobody saw: lost events, lost records, unwatched stretches.
//!
//! A loss is counted, not timed: its counter is read at ticks, so what was lost was lost between two
//! of them.

use crate::units::BootNs;

/// Stretches kept apart; beyond that the last one grows.
const SPANS_MAX: usize = 256;

/// One stretch in which events are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Not before.
    pub from: BootNs,
    /// Not after.
    pub to: BootNs,
    /// How many; 0 when nobody counted.
    pub count: u64,
    /// The record that says so.
    pub seq: u64,
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unseen {
    spans: Vec<Span>,
    /// The last tick, and the one before.
    ticks: [BootNs; 2],
    /// What follows belongs to the last tick.
    in_tick: bool,
}

impl Unseen {
    /// A tick: its rows follow, and then the counters are read.
    pub fn tick(&mut self, t: BootNs) {
        self.ticks = [t, self.ticks[0]];
        self.in_tick = true;
    }

    /// A record that is no part of a tick.
    pub fn other(&mut self) {
        self.in_tick = false;
    }

    /// A counter has grown since it was read last.
    pub fn lost(&mut self, seq: u64, t: BootNs, count: u64) {
        self.add(Span {
            from: self.ticks[usize::from(self.in_tick)],
            to: t,
            count,
            seq,
        });
    }

    /// Records are missing, or nobody watched.
    pub fn gap(&mut self, seq: u64, from: BootNs, to: BootNs, count: u64) {
        self.add(Span {
            from: from.min(to),
            to,
            count,
            seq,
        });
    }

    /// What is missing between two moments: all that could be, and a record that says so.
    #[must_use]
    pub fn between(&self, from: BootNs, to: BootNs) -> Option<Span> {
        let mut spans = self
            .spans
            .iter()
            .filter(|span| span.from <= to && span.to >= from);
        let first = *spans.next()?;
        Some(spans.fold(first, |all, span| Span {
            to: span.to,
            count: all.count.saturating_add(span.count),
            ..all
        }))
    }

    fn add(&mut self, span: Span) {
        // Several counters that are read together tell of one stretch.
        let full = self.spans.len() >= SPANS_MAX;
        match self.spans.last_mut() {
            Some(last) if full || last.from == span.from => {
                last.from = last.from.min(span.from);
                last.to = last.to.max(span.to);
                last.count = last.count.saturating_add(span.count);
            }
            _ => self.spans.push(span),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_lies_between_the_look_that_found_it_and_the_one_before() {
        let mut unseen = Unseen::default();
        unseen.tick(BootNs(10));
        unseen.other();
        unseen.tick(BootNs(20));
        unseen.lost(5, BootNs(21), 3);
        unseen.lost(6, BootNs(21), 4);
        let found = unseen.between(BootNs(11), BootNs(12)).unwrap();
        assert_eq!((found.count, found.seq), (7, 5));
        assert!(unseen.between(BootNs(0), BootNs(9)).is_none());
        assert!(unseen.between(BootNs(22), BootNs(90)).is_none());
        // At the end the counters are read without a tick.
        unseen.other();
        unseen.lost(9, BootNs(40), 1);
        assert!(unseen.between(BootNs(30), BootNs(35)).is_some());
        assert_eq!(unseen.between(BootNs(12), BootNs(13)).unwrap().count, 7);
    }

    #[test]
    fn there_are_never_more_than_so_many_stretches_and_none_is_forgotten() {
        let mut unseen = Unseen::default();
        for n in 0..3 * SPANS_MAX as u64 {
            unseen.gap(n, BootNs(n * 10), BootNs(n * 10 + 1), 1);
        }
        assert_eq!(unseen.spans.len(), SPANS_MAX);
        let all = unseen.between(BootNs(0), BootNs(u64::MAX)).unwrap();
        assert_eq!(all.count, 3 * SPANS_MAX as u64);
        assert!(unseen.between(BootNs(7000), BootNs(7000)).is_some());
    }
}
