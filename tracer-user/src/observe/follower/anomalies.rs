//! Anomalies while the target is followed: what is seen goes to the detector, what it finds goes to the
//! record and to whoever looks on, at once.
//!
//! Processes that have ended and that nobody reaps are followed here too: the tree has them no more, and
//! that they are there is what is wrong with them.

use crate::collections::HashMap;
use std::collections::BTreeMap;

use rustix::{io::Errno, process::Pid};

use super::Follower;
use crate::{
    anomaly::{
        Detector, Life, Pinned, Relative, Subject as About, Thresholds, oom::Scale, thresholds::Key,
    },
    event::{Account, EventKind},
    procfs::ProcRoot,
    sampler::{Sample, Subject},
    session::{
        anomalies::Following,
        journal::{
            anomaly::Anomaly,
            info::TickRule,
            notes::topic,
            record::{self, Body, Note, Record, SnapshotEvent, TargetBody},
        },
    },
    snapshot::{Role, SnapshotRow},
    units::{BootNs, Process, Tgid, Ticks},
};

/// Ended processes that are remembered before it is looked who of them is still there.
const UNREAPED_MIN: usize = 1024;
/// Processes that are looked at one by one at the end.
const LEFT_MAX: usize = 4096;

/// What finds anomalies.
pub(super) struct Anomalies {
    detector: Detector,
    thresholds: Thresholds,
    unreaped: Unreaped,
}

impl Anomalies {
    pub(super) fn new(proc: &ProcRoot, changed: &BTreeMap<String, f64>) -> Self {
        let changed = changed.iter().map(|(name, &value)| (name.as_str(), value));
        let thresholds = Thresholds::with(changed);
        // This process is small, so what it shows is what a small process shows here.
        let own = proc.process(Tgid(std::process::id())).ok();
        let shown = own.and_then(|own| Some((own.oom_score().ok()?, own.oom_score_adj().ok()?)));
        let scale = shown.map_or(Scale::Shifted, |(score, adj)| Scale::of(score, adj));
        Self {
            detector: Detector::new(thresholds.clone(), scale),
            thresholds,
            unreaped: Unreaped::default(),
        }
    }
}

/// Processes that have ended, by pid and start, and when; those that are reaped leave it: most by their
/// accounts, the others when it is looked who is still there.
#[derive(Default)]
struct Unreaped {
    ended: HashMap<(Tgid, Ticks), BootNs>,
    /// As many as there may be before it is looked again.
    room: usize,
}

impl Unreaped {
    fn add(&mut self, t: BootNs, pid: Tgid, start: Ticks) {
        if self.ended.len() >= self.room.max(UNREAPED_MIN) {
            self.look();
            self.room = self.ended.len() * 2;
        }
        self.ended.insert((pid, start), t);
    }

    /// Forgets those whose number is free. Whether it is still the same process, the row will show.
    fn look(&mut self) {
        self.ended.retain(|&(pid, _), _| is_taken(pid));
        if self.ended.capacity() > UNREAPED_MIN * 4 {
            self.ended.shrink_to(self.ended.len() * 2);
        }
    }
}

/// Whether there is a process of this number (`kill(2)` with signal 0 sends nothing).
fn is_taken(pid: Tgid) -> bool {
    let pid = i32::try_from(pid.0).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(Errno::SRCH))
}

impl Follower<'_> {
    /// What anomalies are judged by is part of the record.
    pub(super) fn note_thresholds(&mut self) {
        let changed = self.anomalies.thresholds.changed();
        if !changed.is_empty() {
            let changed = changed.into_iter();
            let changed = changed.map(|(name, value)| (name.to_owned(), value));
            self.note(Note::thresholds(&changed.collect()));
        }
    }

    /// An event, before the tree knows of it.
    pub(super) fn watch_event(&mut self, t: BootNs, event: &EventKind) {
        let rule = self.session.info.tick_rule;
        let Anomalies {
            detector, unreaped, ..
        } = &mut self.anomalies;
        detector.event(t, event, &self.tree, |start| rule.ticks(start));
        if let EventKind::Exit(exit) = event {
            unreaped.add(t, exit.process.tgid, rule.ticks(exit.process.key.start));
        }
    }

    /// A process that has ended was waited for.
    pub(super) fn released(&mut self, account: &Account) {
        let Process { key, tgid, .. } = account.process;
        let start = self.session.info.tick_rule.ticks(key.start);
        self.anomalies.unreaped.ended.remove(&(tgid, start));
    }

    /// The root is known: whom anomalies of the tree are about.
    pub(super) fn watch_root(&mut self, root: Process) {
        let about = self.about(root);
        self.anomalies.detector.root(about);
    }

    /// The workload is known.
    pub(super) fn watch_target(&mut self, target: &TargetBody) {
        if let TargetBody::Pinned(pinned) = target {
            let pinned = pinned_of(pinned, self.session.info.tick_rule, self.kernel.is_some());
            self.anomalies.detector.pin(pinned);
        }
    }

    fn about(&self, process: Process) -> About {
        About {
            pid: process.tgid.0,
            starttime_ticks: Some(self.session.ticks(process.key.start).0),
            comm: None,
        }
    }

    /// Processes that have ended and were not reaped for so long that it matters.
    pub(super) fn zombies(&mut self, now: BootNs) -> Vec<Subject> {
        let Anomalies {
            unreaped,
            thresholds,
            ..
        } = &mut self.anomalies;
        unreaped.look();
        let grace = thresholds.whole(Key::ZombieGraceMs) * 1_000_000;
        let old = unreaped
            .ended
            .iter()
            .filter(|(_, at)| now.since(**at) >= grace);
        let target = self
            .target
            .map(|target| (target.tgid, self.session.ticks(target.key.start)));
        old.map(|(&who, _)| Subject {
            tgid: who.0,
            starttime_ticks: Some(who.1),
            start: None,
            role: if target == Some(who) {
                Role::Workload
            } else {
                Role::Descendant
            },
        })
        .collect()
    }

    /// Records a row of a tick, and what it shows.
    pub(super) fn record_row(&mut self, sample: Sample) {
        let Sample { t, row } = sample;
        let key = (Tgid(row.pid), Ticks(row.starttime_ticks));
        let life = match self.anomalies.unreaped.ended.get(&key) {
            Some(&at) => Life::Ended(at),
            None if self.kernel.is_some() => Life::Tracked,
            None => Life::Untold,
        };
        self.anomalies.detector.row(t, &row, life);
        self.records.push(Record {
            t,
            body: Body::Snapshot {
                row: Box::new(row.clone()),
                event: SnapshotEvent::Snapshot,
            },
        });
        self.tell_anomalies(Some(&row));
    }

    /// All rows of a tick have been recorded.
    pub(super) fn watch_tick(&mut self) {
        let t = self.clock_now();
        let rule = self.session.info.tick_rule;
        let detector = &mut self.anomalies.detector;
        detector.tick(t, &self.tree, |start| rule.ticks(start));
        self.tell_anomalies(None);
    }

    /// Processes that hold the terminal of a command that has ended.
    pub(in crate::observe) fn terminal_held(&mut self, processes: Vec<Relative>) {
        let now = self.clock_now();
        self.anomalies.detector.held(now, processes);
        self.tell_anomalies(None);
    }

    /// The observation ends: who is left behind is told, and what is open is closed.
    pub(in crate::observe) fn end_anomalies(&mut self) {
        let now = self.clock_now();
        let left = self.left_behind();
        self.anomalies.detector.left(now, left);
        self.anomalies.detector.end(now);
        self.tell_anomalies(None);
        let untold = self.anomalies.detector.untold();
        if untold > 0 {
            self.note(Note::anomalies_untold(untold));
        }
    }

    /// Who lives, and has no living root above.
    fn left_behind(&self) -> Vec<Relative> {
        let Some(root) = self.root else {
            return Vec::new();
        };
        let ticks = |start| self.session.ticks(start);
        let orphans = self.tree.iter().filter(|node| {
            let key = node.process.key;
            self.tree.get(root.key).is_none() || !self.tree.is_under(key, root.key)
        });
        let mut left: Vec<_> = orphans
            .take(LEFT_MAX)
            .filter(|node| {
                let dir = self.sampler.root().process(node.process.tgid);
                let stat = dir.and_then(|dir| dir.stat());
                stat.is_ok_and(|stat| {
                    let same = stat.start_time == ticks(node.process.key.start);
                    // One that is dying will not be left.
                    same && !stat.state.has_ended() && !stat.leader_exiting()
                })
            })
            .collect();
        left.sort_unstable_by_key(|node| (node.process.key.start, node.process.key.init));
        left.into_iter()
            .map(|node| Relative::of(node, ticks))
            .collect()
    }

    /// Puts what was found into the record.
    pub(super) fn tell_anomalies(&mut self, row: Option<&SnapshotRow>) {
        for change in self.anomalies.detector.changes() {
            let anomaly = Anomaly::new(&change, &self.session.info.clock, row);
            self.audience.anomaly(change.t, &anomaly);
            self.records.push(Record {
                t: change.t,
                body: Body::Anomaly(Box::new(anomaly)),
            });
        }
    }

    /// Goes on with what another observer left open.
    pub(super) fn restore_anomalies(&mut self, past: &PastAnomalies) {
        let t = self.clock_now();
        let rule = self.session.info.tick_rule;
        let proc = self.sampler.root();
        self.anomalies = Anomalies::new(proc, &past.thresholds);
        let detector = &mut self.anomalies.detector;
        let ongoing: Vec<_> = past.following.open().filter_map(Anomaly::ongoing).collect();
        let root = self.root.map(|root| root.key);
        detector.restore(t, past.following.last_no(), &ongoing, &self.tree, root);
        for zombie in ongoing.iter().filter(|one| one.kind.is_zombie()) {
            if let Some(start) = zombie.subject.starttime_ticks {
                let pid = Tgid(zombie.subject.pid);
                self.anomalies
                    .unreaped
                    .add(zombie.span.first, pid, Ticks(start));
            }
        }
        if let Some(pinned) = &past.pinned {
            detector_pin(&mut self.anomalies, pinned, rule);
        }
        if let Some(root) = self.root {
            self.watch_root(root);
        }
    }
}

fn detector_pin(anomalies: &mut Anomalies, pinned: &record::Pinned, rule: TickRule) {
    anomalies.detector.pin(pinned_of(pinned, rule, true));
}

/// The workload for the detector; `tracked`: the kernel side tells of its execs.
fn pinned_of(pinned: &record::Pinned, rule: TickRule, tracked: bool) -> Pinned {
    let process = pinned.process;
    let comm = pinned.comm.to_text();
    let skipped = pinned.skipped.iter().map(|skipped| skipped.comm.to_text());
    Pinned {
        key: tracked.then_some(process.key),
        pid: process.tgid.0,
        starttime_ticks: rule.ticks(process.key.start).0,
        wrappers: skipped.filter(|wrapper| *wrapper != comm).collect(),
        comm,
    }
}

/// What the journals say of anomalies where they stop.
#[derive(Debug, Default)]
pub(in crate::observe) struct PastAnomalies {
    following: Following,
    thresholds: BTreeMap<String, f64>,
    pinned: Option<record::Pinned>,
}

impl PastAnomalies {
    /// Takes the next record.
    pub(in crate::observe) fn see(&mut self, body: &Body) {
        match body {
            Body::Anomaly(anomaly) => self.following.apply(anomaly),
            Body::Note(note) if note.topic == topic::THRESHOLDS => {
                let values = note.data.iter();
                self.thresholds = values
                    .filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)))
                    .collect();
            }
            Body::Target(target) => {
                if let TargetBody::Pinned(pinned) = &**target {
                    self.pinned = Some(pinned.clone());
                }
            }
            _ => {}
        }
    }

    /// What they were judged by.
    pub(in crate::observe) fn thresholds(&self) -> BTreeMap<String, f64> {
        self.thresholds.clone()
    }
}
