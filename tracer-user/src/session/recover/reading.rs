//! All of a session's record, read once: the fold, where it stops, and whose rows it has.

use serde_json::Value;

use super::{
    Outcome, Told,
    gates::{Gate, Rows, judge_rows},
    whose::{Recorded, Whose},
};
use crate::{
    event::EventKind,
    session::{
        derive::Fold,
        dir::Dir,
        epochs::{EpochsError, Standing, replay},
        journal::{
            info::{SessionInfo, TickRule},
            notes::{Recovered, topic},
            record::{Body, TargetBody},
        },
        summary::{Summarizer, Summary},
    },
    snapshot::Role,
    units::{BootNs, Process},
};

/// What the journals of a session hold.
pub(super) struct Reading {
    /// The fold of them all.
    pub(super) fold: Summarizer,
    /// Where they stop.
    pub(super) standing: Standing,
    /// Time of the last record that an observer, and no recoverer, wrote.
    pub(super) last_t: BootNs,
    /// A recoverer was here before and was killed in its turn.
    pub(super) recovered_before: bool,
    /// Rows of another recorder; `None` when the session is not of another recorder.
    pub(super) imported: Option<u64>,
    comm: Option<String>,
    rows: Rows,
}

impl Reading {
    /// Reads a session.
    pub(super) fn of(dir: &Dir, whose: &Whose) -> Result<Self, EpochsError> {
        let mut witness = Witness::new(whose);
        let standing = match replay(dir, &mut witness) {
            // Killed before its journal was made, and it has an enrollment all the same.
            Err(EpochsError::None { .. }) => Standing {
                epochs: Vec::new(),
                next_epoch: 0,
                next_seq: 0,
                counts: crate::session::journal::record::Counts::default(),
                session: None,
                end: None,
                last_t: BootNs(0),
            },
            other => other?,
        };
        let Witness {
            fold,
            last_t,
            recovered_before,
            imported,
            comm,
            rows,
            ..
        } = witness;
        Ok(Self {
            fold,
            standing,
            last_t: last_t.max(whose.info.clock.boot),
            recovered_before,
            imported,
            comm,
            rows,
        })
    }

    /// Whether it was begun for another recorder's rows, of whose interval nothing is known: true from
    /// its first record on, also when whoever began it was killed before it could say more.
    fn is_import(&self) -> bool {
        let session = self.standing.session.as_ref();
        session.is_some_and(|session| session.interval.is_zero())
    }

    /// What stands against ending it: gate 4, or a work that is half done.
    pub(super) fn verdict(&self) -> Result<(), Told> {
        if self.imported.is_some() || self.is_import() {
            let why = "its rows were being taken over from another recorder's file: run tracer \
                       recover with the same --foreign-dir again";
            return Err((Outcome::Doubtful, None, why.to_owned()));
        }
        let alien = self
            .comm
            .as_deref()
            .and_then(|comm| judge_rows(comm, &self.rows));
        alien.map_or(Ok(()), |why| {
            Err((Outcome::Quarantined, Some(Gate::Alien), why))
        })
    }

    /// What was found damaged, for the record of the recovery.
    pub(super) fn damage(&self) -> Recovered {
        let epochs = &self.standing.epochs;
        let sum = |of: fn(&crate::session::journal::reader::ReadStats) -> u64| {
            epochs.iter().map(|epoch| of(&epoch.stats)).sum()
        };
        Recovered {
            last_seq: self.standing.next_seq.checked_sub(1),
            // Whole lines behind the last good one are as bad as those before it.
            bad_lines: sum(|stats| stats.bad_lines + stats.torn_lines.saturating_sub(1)),
            missing: sum(|stats| stats.missing),
            torn_bytes: sum(|stats| stats.torn),
            ..Recovered::default()
        }
    }
}

/// Looks at each record on its way into the fold.
struct Witness {
    fold: Summarizer,
    root: Recorded,
    enrolled: Option<Recorded>,
    comm: Option<String>,
    tick_rule: TickRule,
    rows: Rows,
    last_t: BootNs,
    recovered_before: bool,
    imported: Option<u64>,
}

impl Witness {
    fn new(whose: &Whose) -> Self {
        Self {
            fold: Summarizer::new(whose.info.clone()),
            root: whose.root,
            enrolled: whose.workload,
            comm: whose.comm.clone(),
            tick_rule: whose.info.tick_rule,
            rows: Rows::default(),
            last_t: BootNs(0),
            recovered_before: false,
            imported: None,
        }
    }

    fn is(&self, process: &Process, recorded: Option<Recorded>) -> bool {
        recorded.is_some_and(|recorded| {
            process.tgid.0 == recorded.pid
                && recorded.start == Some(self.tick_rule.ticks(process.key.start))
        })
    }

    fn event(&mut self, event: &EventKind) {
        let (process, comm) = match event {
            EventKind::Fork(fork) => {
                self.rows.tracked |= self.is(&fork.child, self.enrolled);
                (&fork.creator, &fork.comm)
            }
            EventKind::Exec(exec) => {
                let process = &exec.process;
                self.rows.tracked |= self.is(process, self.enrolled);
                if self.enrolled != Some(self.root) && self.is(process, Some(self.root)) {
                    self.rows.wrappers.insert(exec.comm.to_text());
                }
                (process, &exec.comm)
            }
            EventKind::Exit(exit) => (&exit.process, &exit.comm),
            EventKind::Signal(_) | EventKind::Oom(_) | EventKind::Account(_) => return,
        };
        if self.is(process, self.enrolled) {
            self.rows.names.insert(comm.to_text());
        }
    }

    fn look(&mut self, body: &Body) {
        match body {
            Body::Event(event) => self.event(event),
            Body::Target(target) => {
                if let TargetBody::Pinned(pinned) = &**target {
                    let skipped = pinned.skipped.iter().map(|skipped| skipped.comm.to_text());
                    self.rows.wrappers.extend(skipped);
                    self.comm.get_or_insert_with(|| pinned.comm.to_text());
                    let start = self.tick_rule.ticks(pinned.process.key.start);
                    self.enrolled.get_or_insert(Recorded {
                        pid: pinned.process.tgid.0,
                        start: Some(start),
                    });
                }
            }
            Body::Snapshot { row, .. } => {
                if row.role == Role::Workload
                    && self.rows.first.is_none()
                    && let Some(comm) = &row.comm
                {
                    let same = self.enrolled.is_some_and(|enrolled| {
                        enrolled.pid == row.pid
                            && enrolled.start.map(|start| start.0) == Some(row.starttime_ticks)
                    });
                    self.rows.first = Some((comm.clone(), same));
                }
                self.count_row();
            }
            Body::Unknown { kind, .. } if kind == "snapshot" || kind == "foreign" => {
                self.count_row();
            }
            Body::Note(note) if note.topic == topic::RECOVERED => self.recovered_before = true,
            Body::Note(note) if note.topic == topic::IMPORTED => {
                self.imported.get_or_insert(0);
            }
            _ => {}
        }
    }

    fn count_row(&mut self) {
        if let Some(rows) = &mut self.imported {
            *rows += 1;
        }
    }
}

impl Fold for Witness {
    type Output = Summary;

    fn apply(&mut self, seq: u64, t: BootNs, body: &Body) {
        self.look(body);
        let by_observer = !matches!(body, Body::Session(info) if is_later(info));
        if by_observer && !self.recovered_before {
            self.last_t = self.last_t.max(t);
        }
        self.fold.apply(seq, t, body);
    }

    fn finish(self) -> Summary {
        self.fold.finish()
    }

    fn index_row(summary: &Summary) -> Value {
        Summarizer::index_row(summary)
    }
}

fn is_later(info: &SessionInfo) -> bool {
    info.epoch > 0
}
