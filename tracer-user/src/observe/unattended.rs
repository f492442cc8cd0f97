//! What the kernel recorded while nobody observed: the rest of a session whose observer was killed.
//!
//! An event is in the ring until the record made from it is in the journal's file, so ring and journal
//! together hold everything that was sent, and at the moment of a kill some of it twice. What both have
//! is known by its time, its process and what happened, and left out. An event that neither has is
//! counted: the kernel side counts what it sends.
//!
//! Reading takes nothing away. Whoever reads, writes down and dies leaves the same to the next, who
//! leaves out what is written by then.

use std::{collections::HashMap, path::Path};

use thiserror::Error;

use super::losses::{Told, UNDECODABLE, UNRECORDED, by_reason};
use crate::{
    event::{Event, EventKind},
    probe::{
        decode::DecodeUnits,
        pin::{self, PinError, Reopened, Unread},
    },
    session::{
        SessionId,
        dir::Dir,
        epochs::{Epochs, EpochsError},
        journal::record::{Body, Record},
        redact::Redactor,
    },
    units::{BootNs, ProcKey},
};

/// Why it cannot be told.
#[derive(Debug, Error)]
pub(super) enum UnattendedError {
    /// The pins are in use, or cannot be read.
    #[error(transparent)]
    Pins(#[from] PinError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] EpochsError),
}

/// What went on without an observer.
pub(super) struct Unattended {
    /// What no journal of the session holds yet, in the order in which it happened.
    pub(super) events: Vec<Event>,
    /// The pins, held.
    pub(super) pins: Reopened,
    /// The losses that the journals do not know of.
    pub(super) losses: Vec<Record>,
    /// Those they know of, with these.
    pub(super) told: Told,
    /// What the session is recorded with.
    redactor: Redactor,
}

impl Unattended {
    /// All that is to be recorded, and the pins.
    pub(super) fn into_records(self) -> (Vec<Record>, Reopened) {
        let mut records: Vec<Record> = self.events.into_iter().map(Record::from).collect();
        for record in &mut records {
            self.redactor.record(record);
        }
        records.extend(self.losses);
        (records, self.pins)
    }
}

/// Reads what the pins of a session hold and its journals in `dir` do not; `None` without pins.
pub(super) fn unattended(
    bpffs: &Path,
    id: &SessionId,
    dir: &Dir,
    units: DecodeUnits,
) -> Result<Option<Unattended>, UnattendedError> {
    let Some(mut pins) = pin::reopen(bpffs, id.as_str())? else {
        return Ok(None);
    };
    let unread = pins.unread(units)?;
    let mut recorded = Recorded::before(&unread);
    recorded.read(dir)?;
    let redactor = recorded.redactor.unwrap_or(Redactor::new(true));
    let (events, losses, told) = recorded.rest(unread);
    Ok(Some(Unattended {
        events,
        pins,
        losses,
        told,
        redactor,
    }))
}

/// By what an event is known again. What differs in nothing else is the same event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Sign {
    t: BootNs,
    process: ProcKey,
    other: ProcKey,
    what: (u8, i64),
}

impl Sign {
    fn of(t: BootNs, event: &EventKind) -> Self {
        let (process, other, what) = match event {
            EventKind::Fork(fork) => (fork.child.key, fork.creator.key, (0, 0)),
            EventKind::Exec(exec) => (exec.process.key, exec.process.key, (1, exec.exec_no.into())),
            EventKind::Exit(exit) => (exit.process.key, exit.process.key, (2, exit.status.into())),
            EventKind::Signal(signal) => {
                let what = (3, signal.signal.into());
                (signal.target.key, signal.sender.key, what)
            }
            EventKind::Oom(oom) => (oom.victim.key, oom.trigger.key, (4, 0)),
            EventKind::Account(account) => (account.process.key, account.process.key, (5, 0)),
        };
        Self {
            t,
            process,
            other,
            what,
        }
    }
}

/// What the journals of a session hold, as far as it matters for what its ring holds.
#[derive(Debug)]
struct Recorded {
    /// Time of the oldest event in the ring: of what came before, the number is enough.
    since: BootNs,
    recent: HashMap<Sign, u32>,
    events: u64,
    dropped: u64,
    last_t: BootNs,
    told: Told,
    /// What the session was recorded with.
    redactor: Option<Redactor>,
}

impl Recorded {
    fn before(unread: &Unread) -> Self {
        let oldest = unread.events.iter().map(|event| event.t).min();
        Self {
            since: oldest.unwrap_or(BootNs(u64::MAX)),
            recent: HashMap::new(),
            events: 0,
            dropped: 0,
            last_t: BootNs(0),
            told: Told::default(),
            redactor: None,
        }
    }

    /// Reads all epochs. A line that is no good is none: its event, if the ring has it, is recorded
    /// anew.
    fn read(&mut self, dir: &Dir) -> Result<(), EpochsError> {
        let mut epochs = Epochs::open(dir)?;
        while epochs.next_epoch()?.is_some() {
            while let Some(entry) = epochs.next_entry()? {
                self.add(entry.t, &entry.body);
            }
        }
        Ok(())
    }

    fn add(&mut self, t: BootNs, body: &Body) {
        self.last_t = self.last_t.max(t);
        match body {
            Body::Event(event) => {
                self.events += 1;
                if t >= self.since {
                    *self.recent.entry(Sign::of(t, event)).or_default() += 1;
                }
            }
            Body::Loss { reason, count } => self.told.add(reason, *count),
            Body::Gap(gap) => self.dropped = self.dropped.saturating_add(gap.dropped),
            Body::Session(info) => {
                self.redactor.get_or_insert_with(|| Redactor::of(info));
            }
            _ => {}
        }
    }

    /// Whether the journal has it; once for each time it has it.
    fn takes(&mut self, event: &Event) -> bool {
        match self.recent.get_mut(&Sign::of(event.t, &event.kind)) {
            Some(count @ 1..) => {
                *count -= 1;
                true
            }
            _ => false,
        }
    }

    /// The events and losses that are to be added for the journal to hold everything, and the losses it
    /// then knows of.
    fn rest(mut self, unread: Unread) -> (Vec<Event>, Vec<Record>, Told) {
        let Unread {
            events,
            undecodable,
            counters,
            ..
        } = unread;
        let events: Vec<Event> = events
            .into_iter()
            .filter(|event| !self.takes(event))
            .collect();
        let t = events
            .iter()
            .map(|event| event.t)
            .fold(self.last_t, BootNs::max);

        // Each event that was sent is in a journal, among the rest, or known to be lost; what is none
        // of these was on its way from the ring to the file.
        // Some of those in the ring may have been told of already.
        let undecodable = self.told.of(UNDECODABLE).max(undecodable);
        let known = [events.len() as u64, undecodable, self.told.of(UNRECORDED)];
        let accounted = known.into_iter().fold(
            self.events.saturating_add(self.dropped),
            u64::saturating_add,
        );
        let unrecorded = counters.sent().saturating_sub(accounted);

        let mut losses = by_reason(&counters);
        losses.push((UNDECODABLE.to_owned(), undecodable));
        losses.push((
            UNRECORDED.to_owned(),
            self.told.of(UNRECORDED).saturating_add(unrecorded),
        ));
        let losses = self.told.news(losses).into_iter();
        let losses = losses.map(|(reason, count)| Record {
            t,
            body: Body::Loss { reason, count },
        });
        (events, losses.collect(), self.told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::Fork,
        probe::attached::Counters,
        session::journal::record::Gap,
        units::{Comm, Process, Tgid},
    };

    fn event(pid: u32) -> Event {
        let process = |init: u32| Process {
            key: ProcKey {
                init,
                start: BootNs(init.into()),
            },
            tgid: Tgid(init),
            inner: init,
        };
        let fork = Fork {
            child: process(pid),
            creator: process(1),
            parent: process(1),
            comm: Comm::from_bytes(b"x"),
            depth: 1,
            uid: 0,
            adopted: false,
        };
        Event {
            t: BootNs(1000 + u64::from(pid)),
            kind: EventKind::Fork(fork),
        }
    }

    fn unread(pids: impl IntoIterator<Item = u32>, sent: u64) -> Unread {
        let mut counters = Counters::default();
        counters.sent[1] = sent;
        Unread {
            events: pids.into_iter().map(event).collect(),
            counters,
            ..Unread::default()
        }
    }

    /// The pids of the rest, and its losses.
    fn rest(journal: &[Record], unread: Unread) -> (Vec<u32>, Vec<(String, u64)>) {
        let mut recorded = Recorded::before(&unread);
        for record in journal {
            recorded.add(record.t, &record.body);
        }
        let (events, losses, _) = recorded.rest(unread);
        let pid = |event: Event| match event.kind {
            EventKind::Fork(fork) => fork.child.tgid.0,
            other => panic!("{other:?}"),
        };
        let loss = |record: Record| match record.body {
            Body::Loss { reason, count } => (reason, count),
            other => panic!("{other:?}"),
        };
        let pids = events.into_iter().map(pid).collect();
        (pids, losses.into_iter().map(loss).collect())
    }

    fn journal(pids: impl IntoIterator<Item = u32>) -> Vec<Record> {
        pids.into_iter().map(|pid| event(pid).into()).collect()
    }

    fn unrecorded(count: u64) -> Vec<(String, u64)> {
        vec![(UNRECORDED.to_owned(), count)]
    }

    #[test]
    fn wherever_the_kill_fell_each_event_is_recorded_once() {
        for written in 0..=20 {
            for released in 0..=written {
                let found = rest(&journal(0..written), unread(released..20, 20));
                assert_eq!(
                    found,
                    ((written..20).collect(), vec![]),
                    "{written} {released}"
                );
            }
        }
    }

    #[test]
    fn a_line_that_the_disk_lost_is_recorded_anew_from_the_ring() {
        let journal = journal([0, 1, 3, 4]);
        assert_eq!(rest(&journal, unread(2..6, 6)), (vec![2, 5], vec![]));
    }

    #[test]
    fn an_event_that_is_nowhere_is_counted_and_only_once() {
        let mut journal = journal(0..5);
        assert_eq!(
            rest(&journal, unread(8..10, 10)),
            (vec![8, 9], unrecorded(3))
        );
        // What a recoverer wrote before it was killed.
        journal.extend(self::journal([8]));
        assert_eq!(rest(&journal, unread(8..10, 10)), (vec![9], unrecorded(3)));
        journal.extend(self::journal([9]));
        journal.push(Record {
            t: BootNs(2000),
            body: Body::Loss {
                reason: UNRECORDED.to_owned(),
                count: 3,
            },
        });
        assert_eq!(rest(&journal, unread(8..10, 10)), (vec![], vec![]));
    }

    #[test]
    fn what_a_gap_has_told_is_not_told_again() {
        let mut journal = journal(0..5);
        journal.push(Record {
            t: BootNs(2000),
            body: Body::Gap(Box::new(Gap {
                reason: "queue_full".to_owned(),
                dropped: 3,
                first_t: BootNs(1),
                last_t: BootNs(2),
            })),
        });
        assert_eq!(rest(&journal, unread(8..10, 10)), (vec![8, 9], vec![]));
    }

    #[test]
    fn equal_events_are_told_apart_by_their_number() {
        let mut twice = unread([7, 7], 2);
        twice.events[1].t = twice.events[0].t;
        assert_eq!(rest(&journal([7]), twice).0, [7]);
    }

    #[test]
    fn losses_that_came_on_top_are_told_and_those_known_are_not() {
        let mut journal = journal(0..1);
        journal.push(Record {
            t: BootNs(1500),
            body: Body::Loss {
                reason: "map_full".to_owned(),
                count: 2,
            },
        });
        let mut unread = unread([], 1);
        unread.counters.map_full = 5;
        assert_eq!(rest(&journal, unread).1, [("map_full".to_owned(), 3)]);
    }
}
