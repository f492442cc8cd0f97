//! Which of the signals that came is the one that killed: the kernel's rules.
//!
//! From kernel/signal.c, 5.10 to 7.x:
//!
//! * A signal with the default action that nobody blocks and that dumps no core decides at once, when
//!   it is *generated* (`complete_signal`): whatever comes later is refused, and is not in a case.
//! * Others wait in one of two queues, a thread's own and the process's. Of a standard signal each
//!   holds one: a second that is not refused there says that the first was taken out and survived.
//! * Faults of the running thread go first, then its own queue, then the process's, each by the lowest
//!   number (`dequeue_synchronous_signal`, `next_signal`). SIGKILL waits for nobody.
//!
//! The number is known from the wait status, so only signals of that number compete.

use super::evidence::{Case, SignalSeen};

/// Real-time signals queue up, so one can wait behind another of its kind.
const REAL_TIME: i32 = 32;

/// The signal that killed, as far as the rules tell.
#[derive(Debug, Clone, Copy)]
pub struct Culprit<'a> {
    /// This one.
    pub seen: &'a SignalSeen,
    /// The other one that could have, when the rules leave that open.
    pub rival: Option<&'a SignalSeen>,
    /// No other sender's signal could have done it.
    pub sure: bool,
}

/// Picks the signal that ended a process with this number in its wait status.
#[must_use]
pub fn culprit(case: &Case, signal: i32) -> Option<Culprit<'_>> {
    let own = case.signals.get(&(signal, false));
    let shared = case.signals.get(&(signal, true));
    let sure = |seen: &SignalSeen| signal < REAL_TIME || !seen.contested;
    let (own, shared) = match (own, shared) {
        (None, None) => return None,
        (Some(one), None) | (None, Some(one)) => {
            return Some(Culprit {
                seen: one,
                rival: None,
                sure: sure(one),
            });
        }
        (Some(own), Some(shared)) => (own, shared),
    };
    let went_to_a_handler = |seen: &SignalSeen| seen.scene.handled && !seen.scene.blocked;
    let (seen, rival) = if went_to_a_handler(shared) && !went_to_a_handler(own) {
        (own, None)
    } else if went_to_a_handler(own) && !went_to_a_handler(shared) {
        (shared, None)
    } else if own.seq > shared.seq {
        // If both waited, the thread's own went first; if not, the other was taken out before.
        (own, None)
    } else if !own.scene.blocked {
        // It did not end the process when it came, so it was taken out.
        (shared, None)
    } else {
        (own, Some(shared))
    };
    let rival = rival.filter(|rival| rival.sender.key != seen.sender.key);
    Some(Culprit {
        seen,
        rival,
        sure: rival.is_none() && sure(seen),
    })
}
