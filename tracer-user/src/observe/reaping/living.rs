//! Who is to be ended and lives now: the chosen ones, and whatever they fork while they are ended.

use std::{collections::HashMap, io};

use super::{Fate, Reaped, Report, Target};
use crate::{
    observe::{error::chain, kernel},
    probe::attached::Attached,
    procfs::{Identity, ProcRoot, ReadEnd},
    session::redact::redact_argv,
    target::held::{Held, Sent},
    units::Tgid,
    watch::holders,
};

/// Room for events that nobody reads: only the list of the living is used.
const RING_BYTES: u32 = 64 << 10;

/// Everybody who is or was to be ended.
pub(super) struct Flock<'a> {
    proc: &'a ProcRoot,
    kernel: Option<Attached>,
    members: HashMap<Identity, Member>,
    /// This process and those above it: never to be ended by it.
    spared: Vec<Tgid>,
}

/// This process and those above it, the nearest first.
pub(super) fn own_line(proc: &ProcRoot) -> Vec<Tgid> {
    let mut line = vec![Tgid(std::process::id())];
    while let Some(&last) = line.last()
        && let Ok(stat) = proc.process(last).and_then(|dir| dir.stat())
        && stat.ppid.0 != 0
        && !line.contains(&stat.ppid)
    {
        line.push(stat.ppid);
    }
    line
}

struct Member {
    target: Target,
    signals: Vec<i32>,
    refused: Option<String>,
}

impl<'a> Flock<'a> {
    /// Takes the chosen ones, and has the kernel side follow them where that can be.
    pub(super) fn gather(proc: &'a ProcRoot, targets: Vec<Target>, report: &mut Report) -> Self {
        let mut kernel = match kernel::load(RING_BYTES, false) {
            Ok(kernel) => Some(kernel),
            Err(error) => {
                let why = chain(&error);
                report.notes.push(format!(
                    "not traced ({why}): what they fork meanwhile is looked for in /proc, which is less sure"
                ));
                None
            }
        };
        let mut flock = Self {
            proc,
            kernel: None,
            members: HashMap::new(),
            spared: own_line(proc),
        };
        for target in targets {
            if let Some(attached) = &mut kernel
                && let Err(error) = attached.adopt(target.held.identity().tgid)
            {
                let pid = target.held.identity().tgid;
                report
                    .notes
                    .push(format!("pid {pid} cannot be followed: {}", chain(&error)));
            }
            flock.add(target);
        }
        flock.kernel = kernel;
        flock
    }

    fn add(&mut self, target: Target) {
        let member = Member {
            target,
            signals: Vec::new(),
            refused: None,
        };
        self.members.insert(member.target.held.identity(), member);
    }

    /// Who lives, the oldest first. Takes in whoever was forked since the last look.
    pub(super) fn living(&mut self) -> Vec<Identity> {
        for forked in self.forked() {
            let session = None;
            if let Ok(named) = holders::name(forked.dir(), forked.identity().tgid, redact_argv) {
                self.add(Target {
                    held: forked,
                    session,
                    comm: named.comm,
                    cmdline: named.cmdline,
                });
            }
        }
        let members = self.members.iter();
        let living = members.filter(|(_, member)| member.target.held.stat().is_ok());
        let mut living: Vec<Identity> = living.map(|(identity, _)| *identity).collect();
        living.sort_unstable_by_key(|identity| (identity.start, identity.tgid));
        living
    }

    /// Processes below a member that are none yet.
    fn forked(&self) -> Vec<Held> {
        let known = |identity: &Identity| self.members.contains_key(identity);
        let tracked = self
            .kernel
            .as_ref()
            .and_then(|kernel| kernel.tracked().ok());
        let mut found = Vec::new();
        if let (Some(kernel), Some(tracked)) = (&self.kernel, tracked) {
            let clk_tck = self.proc.host().clk_tck;
            for process in tracked {
                let start = process.key.start.to_ticks(clk_tck);
                let identity = Identity {
                    tgid: process.tgid,
                    start,
                };
                if process.tgid.0 == 0 || self.spared.contains(&process.tgid) || known(&identity) {
                    continue;
                }
                let held = Held::look(self.proc, process.tgid, start);
                // Still tracked after it was held: what is held is what is tracked.
                let same = kernel.start_of(process.key.init) == Some(process.key.start);
                found.extend(held.ok().filter(|_| same));
            }
        }
        let mut above: Vec<Tgid> = Vec::new();
        let members = self.members.iter();
        above.extend(members.filter_map(|(identity, member)| {
            member.target.held.stat().ok().map(|_| identity.tgid)
        }));
        while let Some(parent) = above.pop() {
            let children = self.proc.process(parent).and_then(|dir| dir.children());
            for child in children.unwrap_or_default() {
                let Ok(held) = Held::any(self.proc, child) else {
                    continue;
                };
                // The parent is still the same, and it is still its child.
                let is_child = held.stat().is_ok_and(|stat| stat.ppid == parent);
                let parent_lives = self.members.iter().any(|(identity, member)| {
                    identity.tgid == parent && member.target.held.stat().is_ok()
                }) || found
                    .iter()
                    .any(|other: &Held| other.identity().tgid == parent && other.stat().is_ok());
                let is_new = !known(&held.identity())
                    && !found
                        .iter()
                        .any(|other| other.identity() == held.identity());
                if is_child && parent_lives && is_new && !self.spared.contains(&child) {
                    above.push(child);
                    found.push(held);
                }
            }
        }
        found
    }

    /// One of them.
    pub(super) fn held(&self, who: Identity) -> Option<&Held> {
        self.members.get(&who).map(|member| &member.target.held)
    }

    /// Keeps what became of a signal.
    pub(super) fn was_sent(&mut self, who: Identity, signal: i32, sent: io::Result<Sent>) {
        let Some(member) = self.members.get_mut(&who) else {
            return;
        };
        match sent {
            Ok(Sent::Sent) => member.signals.push(signal),
            Ok(Sent::Gone) => {}
            Err(error) => member.refused = Some(error.to_string()),
        }
    }

    /// What became of each, the oldest first.
    pub(super) fn into_fates(self) -> Vec<Reaped> {
        let mut members: Vec<Member> = self.members.into_values().collect();
        members.sort_unstable_by_key(|member| {
            let identity = member.target.held.identity();
            (identity.start, identity.tgid)
        });
        let fate = |member: &Member| match member.target.held.stat() {
            Ok(stat) => Fate::Survived(match &member.refused {
                Some(why) => why.clone(),
                None => format!(
                    "it is {} and SIGKILL has not ended it",
                    stat.state.name().unwrap_or("in an unknown state")
                ),
            }),
            // Who cannot be looked at has not been seen to end.
            Err(end) if !matches!(end, ReadEnd::Gone | ReadEnd::Zombie) => {
                Fate::Survived(format!("it cannot be looked at any more: {end}"))
            }
            Err(_) if member.signals.contains(&9) => Fate::Killed,
            Err(_) if member.signals.is_empty() => Fate::EndedItself,
            Err(_) => Fate::Terminated,
        };
        members
            .iter()
            .map(|member| Reaped::of(&member.target, fate(member)))
            .collect()
    }
}
