//! Ends what runs when its time is over, when it stalls, or when it outlives the command.
//!
//! [`course`] decides whom to send what, and [`stall`] whether anything happens; both are pure. This
//! file does it: it lists who lives, and each signal goes through a pidfd whose process was checked just
//! before, by its start time. It never signals a bare pid, and never itself. [`Warden::step`] does not
//! wait, so that any loop can drive it.

mod course;
mod living;
mod stall;

use std::{collections::HashMap, time::Duration};

pub(super) use self::living::{Place, Who};
use self::{
    course::Course,
    stall::{Change, Reading, Stalls, Used},
};
use super::follower::Follower;
use crate::{
    config::{EndingConfig, OnStall},
    procfs::{ProcRoot, ReadEnd, host::read_mono_ns, stat::State},
    session::journal::record::Note,
    target::Handle,
    units::BootNs,
    verdict::ending::{Ending, Reason},
};

const SIGCONT: i32 = 18;

/// Keeps the time of one command.
#[derive(Debug)]
pub(super) struct Warden {
    config: EndingConfig,
    began: u64,
    stalls: Stalls,
    before: Option<Reading>,
    course: Option<Course<Who>>,
    over: bool,
    /// Who could not be signalled, and why.
    refused: HashMap<Who, String>,
    /// Where no follower has one.
    proc: Option<ProcRoot>,
    said_blind: bool,
}

impl Warden {
    /// Before the command begins.
    pub(super) fn new(config: &EndingConfig) -> Self {
        Self {
            config: config.clone(),
            began: 0,
            stalls: Stalls::default(),
            before: None,
            course: None,
            over: false,
            refused: HashMap::new(),
            proc: None,
            said_blind: false,
        }
    }

    /// The command begins now.
    pub(super) fn begin(&mut self) {
        self.began = read_mono_ns();
        self.stalls = Stalls::new(self.config.idle, self.config.stale, self.began);
    }

    /// The command was stopped, and we with it.
    pub(super) fn was_stopped(&mut self) {
        self.stalls.restart(read_mono_ns());
    }

    /// How long until there is something to do; `None`: nothing.
    pub(super) fn wait(&self) -> Option<Duration> {
        if self.over {
            return None;
        }
        let at = match &self.course {
            Some(course) => Some(course.next()),
            None => self.deadline().into_iter().chain(self.stalls.next()).min(),
        };
        at.map(|at| Duration::from_nanos(at.saturating_sub(read_mono_ns())))
    }

    fn deadline(&self) -> Option<u64> {
        Some(self.began.saturating_add(ns(self.config.timeout?)))
    }

    /// Whether somebody is being ended now.
    pub(super) fn is_ending(&self) -> bool {
        self.course.is_some() && !self.over
    }

    /// Whoever is being ended gets no more time.
    pub(super) fn hasten(&mut self) {
        if let Some(course) = &mut self.course {
            course.hasten(read_mono_ns());
        }
    }

    /// Does what there is to do now. `shown` are the bytes that came out of the command's terminal, where
    /// that is ours.
    pub(super) fn step(&mut self, mut follower: Option<&mut Follower<'_>>, shown: Option<u64>) {
        let now = read_mono_ns();
        if self.over {
            return;
        }
        if self.course.is_none() {
            if self.deadline().is_some_and(|at| at <= now) {
                let limit = self.config.timeout.map_or(0, ns);
                self.start(now, Reason::Timeout, limit, follower.as_deref_mut());
            } else if self.stalls.next().is_some_and(|at| at <= now) {
                self.look(now, follower.as_deref_mut(), shown);
            }
        }
        if self
            .course
            .as_ref()
            .is_some_and(|course| course.next() <= now)
        {
            self.pass(now, follower);
        }
    }

    /// The command has ended. Begins to end what it left, if that is wanted and there is any.
    pub(super) fn command_ended(&mut self, follower: Option<&mut Follower<'_>>) {
        if self.course.is_some() || !self.config.end_leftovers {
            return;
        }
        if !self.place(follower.as_deref()).living().is_empty() {
            self.start(read_mono_ns(), Reason::Leftovers, 0, follower);
        }
    }

    /// Why a process that was to be ended could not be; `None` where it was not to be.
    pub(super) fn refusal(&self, who: Who) -> Option<String> {
        self.course.as_ref()?;
        let refused = self.refused.get(&who).cloned();
        Some(refused.unwrap_or_else(|| "it lives on after SIGKILL".to_owned()))
    }

    /// Where to look for the living.
    pub(super) fn place<'a, 'b>(&'a mut self, follower: Option<&'a Follower<'b>>) -> Place<'a, 'b> {
        place(&mut self.proc, follower)
    }

    /// Begins to end them, and says so in the record before the first signal.
    fn start(
        &mut self,
        now: u64,
        reason: Reason,
        limit_ns: u64,
        follower: Option<&mut Follower<'_>>,
    ) {
        if let Some(follower) = follower {
            let ending = Ending {
                seq: 0,
                t: BootNs(0),
                reason,
                signal: self.config.signal,
                limit_ns,
                kill_after_ns: ns(self.config.kill_after),
            };
            follower.note(Note::ending(&ending));
            if !follower.is_traced() {
                follower.say(
                    "not traced: who is to be ended is looked up in /proc, which is less sure",
                );
            }
        }
        self.course = Some(Course::new(now, self.config.signal, self.config.kill_after));
    }

    /// Looks at who is left, and sends what is due.
    fn pass(&mut self, now: u64, follower: Option<&mut Follower<'_>>) {
        let place = place(&mut self.proc, follower.as_deref());
        let living = place.living();
        let Some(course) = &mut self.course else {
            return;
        };
        if living.is_empty() || course.is_over(now) {
            self.over = true;
            if let Some(follower) = follower.filter(|_| !living.is_empty()) {
                let count = living.len();
                follower.say(&format!("SIGKILL has not ended all: {count} still there"));
            }
            return;
        }
        let due = course.pass(now, &living);
        let refused: Vec<_> = due
            .into_iter()
            .filter_map(|(who, signal)| Some((who, send(&place, who, signal).err()?)))
            .collect();
        self.refused.extend(refused);
    }

    /// Looks whether anything happens.
    fn look(&mut self, now: u64, mut follower: Option<&mut Follower<'_>>, shown: Option<u64>) {
        if let Some(follower) = follower.as_deref_mut() {
            follower.take_events();
        }
        let events = follower.as_deref().map_or(0, Follower::happened);
        // What is written tells nothing where only the terminal counts.
        let written = shown.is_none();
        let reading = Reading {
            used: read(&self.place(follower.as_deref()), written),
            events,
            shown,
        };
        let everything = Change {
            output: true,
            work: true,
        };
        let before = self.before.as_ref();
        let mut change = before.map_or(everything, |before| reading.since(before));
        if reading.is_blind() {
            // Whoever may not look has not seen silence.
            change.output = true;
            if self.config.stale.is_some() && !self.said_blind {
                self.said_blind = true;
                if let Some(follower) = follower.as_deref_mut() {
                    follower.say(
                        "--stale-timeout has no effect: what the command writes cannot be seen; \
                         --pty shows it",
                    );
                }
            }
        }
        self.before = Some(reading);
        for (reason, limit_ns) in self.stalls.look(now, change) {
            if self.config.on_stall == OnStall::End {
                return self.start(now, reason, limit_ns, follower);
            }
            if let Some(follower) = follower.as_deref_mut() {
                let note = Note::stall(reason, limit_ns);
                follower.say(&note.text.clone());
                follower.note(note);
            }
        }
    }
}

fn place<'a, 'b>(
    proc: &'a mut Option<ProcRoot>,
    follower: Option<&'a Follower<'b>>,
) -> Place<'a, 'b> {
    if follower.is_none() && proc.is_none() {
        *proc = ProcRoot::open("/proc").ok();
    }
    Place {
        follower,
        proc: proc.as_ref(),
    }
}

/// Signals one process, if it is still the one that is meant. An error is a refusal; a process that has
/// ended meanwhile is what was wanted.
fn send(place: &Place<'_, '_>, who: Who, signal: i32) -> Result<(), String> {
    if who.tgid.0 == 0 {
        return Err("its pid namespace is not shown here".to_owned());
    }
    let Ok(handle) = Handle::open(who.tgid) else {
        return Ok(());
    };
    let Some(stat) = place.look(who) else {
        return Ok(());
    };
    let sent = handle.signal(signal);
    // A stopped process acts on nothing but SIGKILL.
    if sent.is_ok() && stat.state == State::Stopped {
        // It may have ended by now.
        let _ = handle.signal(SIGCONT);
    }
    match sent {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            Err("not allowed to signal it".to_owned())
        }
        _ => Ok(()),
    }
}

/// What each living process has used.
fn read(place: &Place<'_, '_>, written: bool) -> HashMap<Who, Used> {
    let of = |who: Who| {
        let dir = place.dir(who)?;
        let stat = dir
            .stat()
            .ok()
            .filter(|stat| stat.start_time == who.start)?;
        let written = match written.then(|| dir.io()) {
            Some(Ok(io)) => Some(io.wchar),
            // It says nothing any more.
            Some(Err(ReadEnd::Gone | ReadEnd::Zombie)) => Some(0),
            Some(Err(_)) | None => None,
        };
        let cpu = stat.cpu().0;
        Some((who, Used { cpu, written }))
    };
    place.living().into_iter().filter_map(of).collect()
}

fn ns(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}
