//! Endings that the observer brings about.

use super::*;
use crate::verdict::ending::{Ending, Reason};

const TERM: i32 = 15;
const KILL: i32 = 9;
/// The observer, as [`Story::new`] has it.
const OBSERVER: u32 = 2;

/// The observer decides to end the tree, and sends the workload these signals.
fn ended(reason: Reason, signals: &[Signal], status: u32) -> Verdict {
    let mut story = Story::new();
    story.book.ends(Ending {
        seq: 90,
        t: BootNs(0),
        reason,
        signal: TERM,
        limit_ns: 30_000_000_000,
        kill_after_ns: 10_000_000_000,
    });
    for signal in signals {
        story.signal(signal.clone());
    }
    story.ends(status)
}

#[test]
fn whom_the_observer_ends_is_told_with_the_option_that_asked_for_it() {
    let verdict = ended(Reason::Timeout, &[kill(TERM, OBSERVER, SELF)], 15);
    assert_eq!(
        (verdict.cause, verdict.confidence),
        (Cause::Timeout, Confidence::Certain)
    );
    let words = "tracer ended it after 30 s (--timeout): killed by SIGTERM";
    assert!(verdict.sentence.contains(words), "{}", verdict.sentence);
    assert!(verdict.evidence.contains(&90), "{:?}", verdict.evidence);
    assert_eq!(verdict.killer.unwrap().pid, Some(OBSERVER));
    let verdict = ended(Reason::Leftovers, &[kill(TERM, OBSERVER, SELF)], 15);
    assert_eq!(verdict.cause, Cause::Killed, "nothing was late");
}

#[test]
fn the_last_resort_says_what_came_before() {
    let handled = Signal {
        scene: Scene {
            handled: true,
            ..Scene::default()
        },
        ..kill(TERM, OBSERVER, SELF)
    };
    let verdict = ended(
        Reason::Idle,
        &[handled.clone(), kill(KILL, OBSERVER, SELF)],
        9,
    );
    assert_eq!(verdict.cause, Cause::Timeout);
    let words = "ms after SIGTERM";
    assert!(verdict.sentence.contains(words), "{}", verdict.sentence);
    // It may as well have been about to leave.
    let left = ended(Reason::Timeout, &[handled], 0);
    assert_eq!(
        (left.cause, left.confidence),
        (Cause::Timeout, Confidence::Likely)
    );
    assert!(
        left.sentence
            .contains("exited 0; tracer ended it after 30 s"),
        "{}",
        left.sentence
    );
}

#[test]
fn a_stranger_who_was_faster_is_still_the_killer() {
    let verdict = ended(
        Reason::Timeout,
        &[kill(TERM, OBSERVER, SELF), kill(KILL, 77, SELF)],
        9,
    );
    assert_eq!(verdict.cause, Cause::Killed);
    assert_eq!(verdict.killer.unwrap().pid, Some(77));
}

#[test]
fn what_is_passed_on_meanwhile_is_still_the_users() {
    let mut story = Story::new();
    story.book.ends(Ending {
        seq: 90,
        t: BootNs(0),
        reason: Reason::Timeout,
        signal: TERM,
        limit_ns: 1,
        kill_after_ns: 1,
    });
    story.book.forwarded(Forwarded {
        seq: 91,
        signal: 2,
        code: 0x80,
        sender: Killer::kernel(),
    });
    // The child's comes between the note and the signal that it is about.
    story.signal(kill(TERM, OBSERVER, CHILD));
    story.signal(kill(2, OBSERVER, SELF));
    let verdict = story.ends(2);
    assert_eq!(verdict.cause, Cause::Interrupt, "{}", verdict.sentence);
}
