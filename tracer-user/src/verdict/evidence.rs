//! What may explain an end: the signals and OOM kills that came before it, stops, children's ends.
//!
//! Data only, gathered by [`casebook`](super::casebook). A case is open while its process lives and
//! holds a bounded number of items, so memory does not grow with the number of processes that have
//! ended.

use std::{collections::BTreeMap, sync::Arc};

use super::{Killer, Relation, WaitStatus, ending::Ending, signals, stops::Stops};
use crate::{
    event::{OomFigures, Scene},
    units::{BootNs, Comm, Process},
};

/// `si_code` of a signal from the kernel (`sigaction(2)`).
pub const SI_KERNEL: i32 = 0x80;
/// `si_code` of a POSIX timer.
pub const SI_TIMER: i32 = -2;

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGQUIT: i32 = 3;
const SIGPIPE: i32 = 13;
const SIGALRM: i32 = 14;
const SIGXFSZ: i32 = 25;
const SIGIO: i32 = 29;

/// A lethal signal that was generated for a process and not refused.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and any of them may come together"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalSeen {
    /// Its record.
    pub seq: u64,
    /// When.
    pub t: BootNs,
    /// Signal number.
    pub signal: i32,
    /// `si_code`.
    pub code: i32,
    /// Into the queue of the whole process, not of one thread.
    pub group: bool,
    /// What the kernel side saw around it.
    pub scene: Scene,
    /// Who sent it; for a signal of the kernel's, who was running.
    pub sender: Process,
    /// The same, with names and relation.
    pub killer: Killer,
    /// What the sender was started as: last part of its image's path.
    pub program: Option<String>,
    /// Since when it runs that: its exec, or its start where it executed nothing that was seen.
    pub runs_since: BootNs,
    /// Record of the sender's own end, where that came first.
    pub sender_ended: Option<u64>,
    /// A lethal signal that the sender had got itself.
    pub behind: Option<Box<SignalSeen>>,
    /// The sender's last signal was that its own timer had run out: that record.
    pub alarm: Option<u64>,
    /// The observer only passed it on: the note that says so, and the code that it had got it with.
    pub passed_on: Option<(u64, i32)>,
    /// The observer sent it, to end its target as it was asked to.
    pub ended_by: Option<Ending>,
    /// The kernel continued the process right after it, as it does when a terminal goes away.
    pub continued: bool,
    /// The target was stopped.
    pub while_stopped: bool,
    /// The OOM kill that it belongs to, when the victim was another process.
    pub oom: Option<Box<OomSeen>>,
    /// Another process had sent the same one before, and both may have been waiting.
    pub contested: bool,
    /// The target sent it to itself after it had handled this one of the same number: programs that
    /// clean up end themselves as they would have ended.
    pub repeats: Option<Box<SignalSeen>>,
}

/// How a signal came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// A process sent it.
    Sent,
    /// The kernel sent it because of something the sender did, or that befell it.
    OnBehalf,
    /// The kernel sent it in its own name.
    Kernel,
    /// A POSIX timer ran out.
    Timer,
    /// The kernel tells of a cause by a positive code: a fault, a descriptor that is ready.
    Told,
}

impl SignalSeen {
    /// How it came to be.
    #[must_use]
    pub fn how(&self) -> How {
        if self.scene.no_info {
            return How::OnBehalf;
        }
        match self.code {
            SI_KERNEL => How::Kernel,
            SI_TIMER => How::Timer,
            1.. => How::Told,
            // kill(2) is for the whole process, tgkill(2) has a code of its own.
            0 if !self.group => How::OnBehalf,
            _ => How::Sent,
        }
    }

    /// Whether the target sent it to itself.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.killer.relation == Relation::Itself
    }

    /// Whether the target made it up: sent it to itself, or pretended that the kernel had.
    #[must_use]
    pub fn is_made_up(&self) -> bool {
        self.is_own()
            && match self.how() {
                How::Sent => true,
                How::Kernel => !self.scene.privileged && !signals::is_fault(self.signal),
                How::OnBehalf | How::Timer | How::Told => false,
            }
    }

    /// Whether it is worth telling of a process that it did not end: not the timers by which programs
    /// measure themselves, nor descriptors that are ready, nor what it sends itself.
    #[must_use]
    pub fn is_news(&self) -> bool {
        match self.how() {
            How::Sent => !self.is_own(),
            // A debugger's stop at an exec is one of these as well.
            How::OnBehalf => !self.is_own() || matches!(self.signal, SIGPIPE | SIGXFSZ),
            How::Kernel if signals::is_timer(self.signal) => self.signal == SIGALRM,
            How::Kernel => !self.is_made_up() && self.signal != SIGIO,
            How::Told => signals::is_fault(self.signal) && self.is_own(),
            How::Timer => false,
        }
    }

    /// Whether whoever got it may have passed it on: somebody sent it, or a terminal did.
    #[must_use]
    pub fn can_be_passed_on(&self) -> bool {
        match self.how() {
            How::Sent => true,
            How::Kernel => matches!(self.signal, SIGHUP | SIGINT | SIGQUIT),
            How::OnBehalf | How::Timer | How::Told => false,
        }
    }

    /// Whether the sender was dying, or dead.
    #[must_use]
    pub fn sender_was_dying(&self) -> bool {
        self.scene.sender_exiting || self.sender_ended.is_some()
    }

    /// What the sender calls itself, or was started as, when that is known.
    #[must_use]
    pub fn program_is(&self, name: &str) -> bool {
        match &self.program {
            Some(program) => program == name,
            None => self.killer.comm == name,
        }
    }
}

/// An OOM kill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OomSeen {
    /// Its record.
    pub seq: u64,
    /// When.
    pub t: BootNs,
    /// The victim.
    pub victim: Process,
    /// Its name.
    pub comm: Comm,
    /// Whose allocation made the kernel look for a victim.
    pub trigger: Process,
    /// The victim's memory, where the kernel says it.
    pub figures: Option<OomFigures>,
    /// The first victim of the same want of memory, when this one came after.
    pub first: Option<Process>,
}

/// What is known of one process.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Case {
    /// It was there before tracking began.
    pub adopted: bool,
    /// From when on its signals could be seen.
    pub since: BootNs,
    /// The last lethal signal of each number in each queue (`true`: the process's own). Of a number
    /// below 32 a queue holds one: a later one there means that the earlier was taken out and
    /// survived.
    pub signals: BTreeMap<(i32, bool), SignalSeen>,
    /// The OOM killer chose it.
    pub oom: Option<OomSeen>,
    /// The last children that ended in a way that can be passed up, oldest first.
    pub ends: Vec<Arc<Dead>>,
    /// Record of the last end among its children.
    pub last_end: Option<u64>,
    /// The last child to end, if it did not end well; whatever that one had below it is left out.
    pub failed: Option<Arc<Dead>>,
    /// Time spent stopped.
    pub stops: Stops,
    /// A timer of its own ran out: record and signal.
    pub alarm: Option<(u64, i32)>,
    /// The kernel told it that its CPU time is used up: that record.
    pub cpu_limit: Option<u64>,
}

/// A process that has ended, and its case.
#[derive(Debug, Clone, PartialEq)]
pub struct Dead {
    /// Which process.
    pub process: Process,
    /// Its start in clock ticks, as `/proc` shows it.
    pub starttime_ticks: u64,
    /// Its last name.
    pub comm: Comm,
    /// Its exit record.
    pub seq: u64,
    /// When it ended.
    pub t: BootNs,
    /// Its wait status.
    pub status: WaitStatus,
    /// CPU time it took, µs.
    pub cpu_us: u64,
    /// Its case, closed.
    pub case: Case,
    /// Where its ending comes from, when that is further down.
    pub passed: Option<Passed>,
    /// Of its children the last to end, when that did not end well; or the one further down that it
    /// ended like.
    pub below: Option<Arc<Dead>>,
    /// Processes of the tree that a signal had ended before: all, and those by the signal that its
    /// exit code may stand for.
    pub killed_before: (u64, u64),
}

impl Dead {
    /// What people call it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} (pid {})", self.comm.to_text(), self.process.tgid)
    }
}

/// An ending that was passed up.
#[derive(Debug, Clone, PartialEq)]
pub struct Passed {
    /// The process that a signal really ended.
    pub real: Arc<Dead>,
    /// Who passed it up on the way, nearest to the real place first; without the last one.
    pub via: Vec<Arc<Passer>>,
    /// Nobody else's end came between, at any step.
    pub last: bool,
}

/// Who passed an ending up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passer {
    /// Which process.
    pub process: Process,
    /// Its name.
    pub comm: Comm,
    /// Its exit record.
    pub seq: u64,
}
