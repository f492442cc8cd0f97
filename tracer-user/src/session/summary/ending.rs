//! How the target ended and how its observation ended, which are two things.
//!
//! The observer's ending is its terminal record's: `end`, or `crash` where it could still say so. Where
//! it could not, recovery says so in its place, with a note of what it found. Pure.

use super::{Ended, Summarizer, output::RootEnding};
use crate::{
    session::journal::{
        notes::{UNSAMPLED, UNWATCHED, topic},
        record::{Body, Crash, End as EndRecord, ObserverEnding},
    },
    verdict::{
        Verdict, WaitStatus,
        ending::{Ending, Reason, although_unseen},
        judge,
        judge::End,
        signals,
    },
};

/// The first terminal record.
#[derive(Debug)]
pub(super) struct Observation {
    /// `observer.ending` of the summary.
    pub(super) how: String,
    /// Why.
    pub(super) cause: String,
    crashed: bool,
}

impl From<&EndRecord> for Observation {
    fn from(end: &EndRecord) -> Self {
        Self {
            how: end.ending.as_str().to_owned(),
            cause: end.cause.clone(),
            crashed: end.ending == ObserverEnding::Crashed,
        }
    }
}

impl From<&Crash> for Observation {
    fn from(crash: &Crash) -> Self {
        let cause = match (crash.cause.as_str(), crash.detail.as_str()) {
            (cause, "") => cause.to_owned(),
            (cause, detail) => format!("{cause}: {detail}"),
        };
        Self {
            how: ObserverEnding::Crashed.as_str().to_owned(),
            cause,
            crashed: true,
        }
    }
}

/// Whether a record was written after the fact, by somebody who did not see what it is about: its time
/// is not one of the target's.
pub(super) fn is_afterthought(body: &Body) -> bool {
    match body {
        Body::Session(info) => info.epoch > 0,
        Body::Gap(gap) => [UNSAMPLED, UNWATCHED].contains(&gap.reason.as_str()),
        Body::Note(note) => [topic::RECOVERED, topic::IMPORTED].contains(&note.topic.as_str()),
        _ => false,
    }
}

impl Summarizer {
    /// What is missing because an observer crashed.
    pub(super) fn crash_reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        // Where recovery ended the record, what is missing between crash and end is named below.
        if self.has_crashed() && self.recovered.is_none() {
            reasons.push("the observer crashed".to_owned());
        }
        if self.unwatched > 0 {
            reasons.push(format!("{} × stretch that nobody watched", self.unwatched));
        }
        let found = self.recovered.clone().unwrap_or_default();
        for (count, what) in [
            (found.bad_lines, "damaged line"),
            (found.missing, "missing record"),
            // What the kernel kept has it whole.
            (
                u64::from(found.torn_bytes > 0 && !found.kernel_went_on),
                "line cut off by the crash",
            ),
        ] {
            if count > 0 {
                reasons.push(format!("{count} × {what}"));
            }
        }
        reasons
    }

    /// No end, or one that says so.
    pub(super) fn has_crashed(&self) -> bool {
        self.ending.as_ref().is_none_or(|ending| ending.crashed)
    }
}

/// The key `subtype`.
pub(super) fn subtype(
    fold: &Summarizer,
    status: Option<WaitStatus>,
    success: bool,
) -> &'static str {
    match status {
        _ if fold.has_crashed() => "crashed",
        Some(_) if success => "success",
        Some(status) if status.signal().is_some() => "killed",
        Some(_) => "error",
        None => "detached",
    }
}

/// The root's status as its parent saw it, where no exit event tells and nobody else is the subject.
pub(super) fn waited(fold: &Summarizer) -> Option<(u64, WaitStatus)> {
    let about_root = match (&fold.target, fold.root) {
        (Some(target), Some(root)) => target.process.key == root.key,
        _ => fold.target.is_none(),
    };
    fold.waited.filter(|_| about_root)
}

/// How the root ended: by its exit event, or as its parent saw it.
pub(super) fn root_ending(fold: &Summarizer) -> Option<RootEnding> {
    let ended = fold.ended_root.as_ref();
    let status = ended
        .map(|ended| ended.dead.status)
        .or(fold.waited.map(|(_, status)| status))?;
    Some(RootEnding {
        pid: fold.session.root.pid,
        comm: ended.map(|ended| ended.dead.comm.to_text()),
        exit_code: status.exit_code(),
        signal: status.signal().map(signals::name),
    })
}

/// How the workload ended, or the root where there is none.
pub(super) fn verdict(fold: &Summarizer, ended: Option<&Ended>) -> Verdict {
    let after = &fold.casebook.aftermath;
    if let Some(Ended { dead, .. }) = ended {
        return judge(&dead.name(), End::Seen(dead), after);
    }
    let seen = waited(fold).map(|(seq, status)| End::Waited(seq, status));
    let target = fold.target.as_ref().map(|target| target.process);
    let Some(subject) = target.or(fold.root) else {
        let end = seen.unwrap_or(End::NotSeen("it was not traced"));
        return unseen(fold, &format!("pid {}", fold.session.root.pid), end);
    };
    let node = fold.tree.get(subject.key);
    let comm = fold.comm_now.or(node.map(|node| node.comm));
    let comm = comm.map_or_else(|| "the process".to_owned(), |comm| comm.to_text());
    let end = match (seen, &fold.recovered, node) {
        (Some(seen), ..) => seen,
        // Recovery makes sure that it lives no more before it ends a record.
        (None, Some(found), _) => End::NotSeen(if found.host_reboot {
            "the machine was started anew meanwhile"
        } else {
            "its observer had crashed before"
        }),
        (None, None, Some(node)) => {
            let lived = fold.target_lived.max(node.since);
            match after.unseen.between(lived, fold.last) {
                Some(_) => End::Unsure,
                None => End::StillRunning,
            }
        }
        (None, None, None) => End::NotSeen("its exit event was lost"),
    };
    unseen(fold, &format!("{comm} (pid {})", subject.tgid), end)
}

/// The verdict where no exit event tells.
fn unseen(fold: &Summarizer, name: &str, end: End<'_>) -> Verdict {
    let mut verdict = judge(name, end, &fold.casebook.aftermath);
    if let (End::Waited(..), Some(ending)) = (end, under_way(fold)) {
        although_unseen(name, &mut verdict, ending);
    }
    verdict
}

/// The ending that the observer had begun before the command ended, where no event tells whom it ended.
pub(super) fn under_way(fold: &Summarizer) -> Option<&Ending> {
    let waited = fold.ended_target.is_none() && fold.ended_root.is_none() && fold.waited.is_some();
    let ending = fold.casebook.ending().filter(|_| waited)?;
    (ending.reason != Reason::Leftovers).then_some(ending)
}
