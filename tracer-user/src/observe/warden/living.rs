//! Who of the tree lives now, and whether a number still names the same process.
//!
//! The kernel side's map is the list: a process is entered inside fork and taken out when its last
//! thread ends, whatever its parents, session or group. Without a kernel side the descendants of this
//! process are, in `/proc`: as a subreaper it inherits every orphan, but what is forked while `/proc` is
//! read may be missed until the next look.

use std::collections::HashSet;

use crate::{
    observe::follower::Follower,
    procfs::{ProcDir, ProcRoot, stat::ProcStat},
    units::{BootNs, ProcKey, Tgid, Ticks},
};

/// One living process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::observe) struct Who {
    /// Its pid here; 0 when this pid namespace does not show it.
    pub(in crate::observe) tgid: Tgid,
    /// When it started.
    pub(in crate::observe) start: Ticks,
    /// Its identity in the kernel side's map.
    pub(in crate::observe) key: Option<ProcKey>,
}

/// Where to look.
pub(in crate::observe) struct Place<'a, 'b> {
    /// Where there is a record.
    pub(in crate::observe) follower: Option<&'a Follower<'b>>,
    /// Where there is none.
    pub(in crate::observe) proc: Option<&'a ProcRoot>,
}

impl Place<'_, '_> {
    fn proc(&self) -> Option<&ProcRoot> {
        let of_follower = self.follower.map(Follower::proc);
        of_follower.or(self.proc)
    }

    /// Who lives, the oldest first: a parent before its children, so that it does not see them end and
    /// start others.
    pub(in crate::observe) fn living(&self) -> Vec<Who> {
        let mut living = self
            .follower
            .and_then(Follower::tracked)
            .unwrap_or_default();
        if living.is_empty() {
            // A full map has no place for some; all of them come to us in the end.
            living = self.descendants();
        }
        living.retain(|who| who.tgid.0 != std::process::id());
        let age = |who: &Who| (who.start, who.key.map(|key| key.start), who.tgid);
        living.sort_unstable_by_key(age);
        living
    }

    /// Replaces what looks like a secret.
    pub(in crate::observe) fn redact(&self, words: &mut [Vec<u8>]) {
        if let Some(follower) = self.follower {
            follower.session.redactor().argv(words);
        }
    }

    /// The directory of whoever has that number.
    pub(in crate::observe) fn dir(&self, who: Who) -> Option<ProcDir> {
        self.proc()?.process(who.tgid).ok()
    }

    /// What `/proc` says of a process, if it is still the one that is meant. A pidfd that was opened
    /// before is then that process's.
    pub(in crate::observe) fn look(&self, who: Who) -> Option<ProcStat> {
        let stat = self.dir(who)?.stat().ok()?;
        let same = stat.start_time == who.start && !has_ended(&stat);
        // Within one tick a number can be given anew; the map knows the nanosecond.
        let tracked = who.key.is_none_or(|key| {
            let follower = self.follower;
            follower.is_some_and(|follower| follower.is_tracked(key))
        });
        (same && tracked).then_some(stat)
    }

    /// All below this process.
    fn descendants(&self) -> Vec<Who> {
        let Some(proc) = self.proc() else {
            return Vec::new();
        };
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        let mut above = vec![Tgid(std::process::id())];
        while let Some(parent) = above.pop() {
            let children = proc.process(parent).and_then(|dir| dir.children());
            for tgid in children.unwrap_or_default() {
                if !seen.insert(tgid) {
                    continue;
                }
                above.push(tgid);
                let stat = proc.process(tgid).and_then(|dir| dir.stat());
                if let Ok(stat) = stat
                    && !has_ended(&stat)
                {
                    found.push(Who {
                        tgid,
                        start: stat.start_time,
                        key: None,
                    });
                }
            }
        }
        found
    }
}

/// Whether all its threads have ended, and it only waits for its parent.
fn has_ended(stat: &ProcStat) -> bool {
    stat.state.has_ended() && !stat.leader_ended_first()
}

impl Follower<'_> {
    /// Who the kernel side says lives; `None` where there is none to say it.
    fn tracked(&self) -> Option<Vec<Who>> {
        let tracked = self.kernel.as_ref()?.tracked()?;
        let who = |process: crate::units::Process| Who {
            tgid: process.tgid,
            start: self.session.ticks(process.key.start),
            key: Some(process.key),
        };
        Some(tracked.into_iter().map(who).collect())
    }

    fn is_tracked(&self, key: ProcKey) -> bool {
        let start = |kernel: &crate::observe::kernel::Kernel| kernel.start_of(key.init);
        self.kernel.as_ref().and_then(start) == Some(BootNs(key.start.0))
    }
}
