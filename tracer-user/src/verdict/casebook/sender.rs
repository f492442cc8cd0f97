//! Who stands behind a signal: the sender's names and place, and whoever made it send.

use super::Casebook;
use crate::{
    event::Signal,
    units::{BootNs, Ticks},
    verdict::{
        Killer, Starter,
        evidence::{How, SignalSeen},
        images::Image,
        relation,
    },
};

/// How long after a signal of its own a sender is thought to act because of it, ns.
const BECAUSE_NS: u64 = 120_000_000_000;
/// How long the kernel may take from choosing a victim to killing those who share its memory or its
/// cgroup, ns.
pub(super) const SHARERS_NS: u64 = 1_000_000_000;

const SIGKILL: i32 = 9;

impl Casebook {
    pub(super) fn see(
        &mut self,
        seq: u64,
        t: BootNs,
        signal: &Signal,
        ticks: &impl Fn(BootNs) -> Ticks,
    ) -> SignalSeen {
        let sender = signal.sender;
        let image = self.images.of(sender.key);
        let cmdline =
            cmdline_text(&signal.sender_cmdline).or_else(|| image.and_then(Image::cmdline));
        let started_by = signal.scene.sender_parent.map_or_else(
            || {
                let (pid, comm) = self.images.who(self.lineage.above(sender.key)?)?;
                Some((pid, comm.to_text()))
            },
            |(parent, comm)| Some((parent.tgid.0, comm.to_text())),
        );
        let mut seen = SignalSeen {
            seq,
            t,
            signal: signal.signal,
            code: signal.code,
            group: signal.group,
            scene: signal.scene,
            sender,
            killer: Killer {
                pid: (sender.tgid.0 != 0).then_some(sender.tgid.0),
                starttime_ticks: ticks(sender.key.start).0,
                comm: signal.sender_comm.to_text(),
                cmdline,
                uid: signal.sender_uid,
                started_by: started_by
                    .map(|(pid, comm)| Starter { pid, comm })
                    .filter(|starter| starter.pid != 0),
                relation: relation(&self.lineage, self.workload, sender, signal.target),
            },
            program: image.and_then(Image::program),
            runs_since: image.map_or(sender.key.start, |image| image.t.max(sender.key.start)),
            sender_ended: self.lineage.end_of(sender.key),
            behind: None,
            alarm: None,
            passed_on: None,
            ended_by: None,
            continued: false,
            while_stopped: false,
            oom: None,
            contested: false,
            repeats: None,
        };
        if seen.how() == How::Sent && !seen.is_own() {
            self.look_behind(&mut seen);
        }
        if seen.signal == SIGKILL && seen.how() == How::Kernel {
            seen.oom = self
                .ooms
                .iter()
                .rev()
                .find(|oom| {
                    oom.trigger.key == sender.key
                        && oom.victim.key != signal.target.key
                        && t.since(oom.t) < SHARERS_NS
                })
                .cloned()
                .map(Box::new);
        }
        seen
    }

    /// Who stands behind a sender that only passes a signal on.
    fn look_behind(&mut self, seen: &mut SignalSeen) {
        if Some(seen.sender.tgid) == self.observer && !self.lineage.knows(seen.sender.key) {
            // What it sends to end its target comes between a note and the signal that it passes on.
            let noted = &mut self.forwarded;
            let place = noted.iter().position(|passed| passed.signal == seen.signal);
            if let Some(forwarded) = place.and_then(|place| noted.remove(place)) {
                seen.passed_on = Some((forwarded.seq, forwarded.code));
                seen.killer = forwarded.sender;
            } else {
                seen.ended_by = self.ending.filter(|ending| ending.t <= seen.t);
            }
            return;
        }
        let Some(case) = self.cases.get(&seen.sender.key) else {
            return;
        };
        let last = case
            .signals
            .values()
            .filter(|got| !got.is_own() && seen.t.since(got.t) < BECAUSE_NS)
            .max_by_key(|got| got.seq);
        // A timer of its own that ran out is no signal that it passes on.
        let by_alarm = case
            .alarm
            .filter(|&(alarm, _)| last.is_none_or(|last| last.seq <= alarm));
        if let Some((alarm, _)) = by_alarm {
            seen.alarm = Some(alarm);
        } else if let Some(last) = last.filter(|last| last.can_be_passed_on()) {
            seen.behind = Some(Box::new(SignalSeen {
                behind: None,
                repeats: None,
                ..last.clone()
            }));
        }
    }
}

/// A command line for people: arguments with blanks between; `None` when there is none.
fn cmdline_text(cmdline: &[u8]) -> Option<String> {
    let end = cmdline.iter().rposition(|&byte| byte != 0)? + 1;
    let spaced: Vec<u8> = cmdline[..end]
        .iter()
        .map(|&byte| if byte == 0 { b' ' } else { byte })
        .collect();
    Some(String::from_utf8_lossy(&spaced).into_owned())
}
