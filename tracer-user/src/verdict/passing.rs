//! Endings that are passed up: 128 + n where a child died of n, and wrappers that end themselves as
//! their child did.
//!
//! A shell whose last command was ended by signal n exits 128 + n, a Python program that hands its
//! child's status to `sys.exit` 256 - n; `script -e`, `env`, supervisors and shells around it repeat
//! that number. Others (`timeout`, `sudo`, `bash` for SIGINT) send themselves
//! the signal. Either way the interesting place is further down.

use std::sync::Arc;

use super::{
    WaitStatus,
    evidence::{Case, Dead, Passed, Passer},
    pending::culprit,
};
use crate::units::ProcKey;

/// Most processes named between the real place and the top.
const VIA_MAX: usize = 16;

/// The signal that an exit code may stand for.
#[must_use]
pub fn stands_for(status: WaitStatus) -> Option<i32> {
    status
        .exit_code()
        .filter(|code| (129..=192).contains(code))
        .map(|code| code - 128)
}

/// The signal that ended a process or that its exit code may stand for: also 256 - n, which is what is
/// left of the -n that Python has for a child's end.
#[must_use]
pub fn number(status: WaitStatus) -> Option<i32> {
    let negative = || {
        let code = status.exit_code()?;
        (193..=255).contains(&code).then(|| 256 - code)
    };
    status.signal().or(stands_for(status)).or_else(negative)
}

/// Where the ending of `process` comes from, if a child ended the same way.
#[must_use]
pub fn passed(process: ProcKey, status: WaitStatus, case: &Case) -> Option<Passed> {
    let signal = number(status)?;
    if status.signal().is_some() {
        let seen = culprit(case, signal)?.seen;
        // What it repeats explains more than a child that the same may have ended.
        if !seen.is_own() || seen.repeats.is_some() {
            return None;
        }
    }
    // A code is repeated as it is; only a signal can become several codes.
    let fits = |end: &&Arc<Dead>| match (end.status.exit_code(), status.exit_code()) {
        (Some(below), Some(code)) => below == code,
        _ => number(end.status) == Some(signal),
    };
    // Whoever kills its own child has another reason to end as it does, if there is another.
    let by_itself = |end: &Arc<Dead>| {
        let found = culprit(&end.case, signal);
        found.is_some_and(|found| found.seen.sender.key == process)
    };
    let mut ends = case.ends.iter().rev().filter(fits);
    let end = ends
        .clone()
        .find(|end| !by_itself(end))
        .or_else(|| ends.next())?;
    let last = case.last_end == Some(end.seq);
    let Some(below) = &end.passed else {
        return Some(Passed {
            real: Arc::clone(end),
            via: Vec::new(),
            last,
        });
    };
    let mut via = below.via.clone();
    if via.len() < VIA_MAX {
        via.push(Arc::new(passer(end)));
    }
    Some(Passed {
        real: Arc::clone(&below.real),
        via,
        last: last && below.last,
    })
}

/// The child that ended badly just before, or the process further down that it ended like.
#[must_use]
pub fn below(case: &Case) -> Option<Arc<Dead>> {
    let end = case.failed.as_ref()?;
    let passed = end.passed.as_ref().map(|passed| &passed.real);
    let real = passed.or(end.below.as_ref()).unwrap_or(end);
    Some(Arc::clone(real))
}

fn passer(dead: &Dead) -> Passer {
    Passer {
        process: dead.process,
        comm: dead.comm,
        seq: dead.seq,
    }
}
