//! Which signal it was, and how sure that is.

use super::*;

#[test]
fn a_signal_that_was_not_delivered_is_never_the_cause() {
    for refused in [1, 2, 3] {
        let verdict = after(
            Signal {
                result: refused,
                ..kill(9, 99, SELF)
            },
            9,
        );
        assert_eq!((verdict.cause, verdict.killer), (Cause::Unknown, None));
        assert_eq!(verdict.confidence, Confidence::Unknown);
    }
}

#[test]
fn one_whose_details_were_lost_was_delivered_all_the_same() {
    let verdict = after(
        Signal {
            result: 4,
            ..kill(15, 99, SELF)
        },
        15,
    );
    assert_eq!(verdict.cause, Cause::Killed);
}

#[test]
fn a_signal_of_another_number_is_never_the_cause() {
    let mut story = Story::new();
    story.signal(kill(15, 99, SELF));
    story.signal(kill(10, 98, SELF));
    assert_eq!(story.ends(15).killer.unwrap().pid, Some(99));
}

#[test]
fn of_two_in_one_queue_the_earlier_was_survived() {
    let mut story = Story::new();
    story.signal(kill(15, 98, SELF));
    story.signal(kill(15, 99, SELF));
    let verdict = story.ends(15);
    assert_eq!(verdict.killer.unwrap().pid, Some(99));
    assert_eq!(verdict.confidence, Confidence::Certain);
}

#[test]
fn a_threads_own_queue_goes_first() {
    let blocked = |signal: Signal| Signal {
        scene: Scene {
            blocked: true,
            ..Scene::default()
        },
        ..signal
    };
    let own = |from| Signal {
        code: -6,
        group: false,
        ..kill(15, from, SELF)
    };
    let mut story = Story::new();
    story.signal(blocked(kill(15, 98, SELF)));
    story.signal(blocked(own(99)));
    let verdict = story.ends(15);
    assert_eq!(verdict.killer.unwrap().pid, Some(99));
    assert_eq!(verdict.confidence, Confidence::Certain);

    // The other way round the later one may be all that was left.
    let mut story = Story::new();
    story.signal(blocked(own(99)));
    story.signal(blocked(kill(15, 98, SELF)));
    let verdict = story.ends(15);
    assert_eq!(verdict.confidence, Confidence::Likely);
    assert!(
        verdict.sentence.contains("or from pkill (pid 98"),
        "{verdict:?}"
    );
    assert_eq!(verdict.killer.unwrap().pid, Some(99));
}

#[test]
fn what_went_to_a_handler_is_no_rival() {
    let mut story = Story::new();
    story.signal(Signal {
        code: -6,
        group: false,
        scene: Scene {
            handled: true,
            ..Scene::default()
        },
        ..kill(15, 98, SELF)
    });
    story.signal(kill(15, 99, SELF));
    let verdict = story.ends(15);
    assert_eq!(verdict.killer.unwrap().pid, Some(99));
    assert_eq!(verdict.confidence, Confidence::Certain);
}

#[test]
fn a_loss_between_signal_and_end_lowers_the_confidence_and_is_told() {
    let verdict_with = |from, to| {
        let mut story = Story::new();
        story.signal(kill(15, 99, SELF));
        story.book.aftermath.unseen.gap(500, from, to, 7);
        story.ends(15)
    };
    let between = verdict_with(BootNs(4_500_000), BootNs(9_000_000));
    assert_eq!(between.confidence, Confidence::Likely);
    assert!(
        between.sentence.contains("7 events were lost"),
        "{between:?}"
    );
    assert!(between.evidence.contains(&500));
    let before = verdict_with(BootNs(1_000_000), BootNs(2_000_000));
    assert_eq!(before.confidence, Confidence::Certain);
}

#[test]
fn without_a_signal_the_reason_is_told() {
    let mut story = Story::new();
    story.fork(30, OUTSIDE, "sleep", true);
    story.exit(30, OUTSIDE, 9);
    assert!(
        story
            .verdict()
            .sentence
            .contains("unknown: it was already dying when tracing began"),
        "{:?}",
        story.verdict()
    );
    let mut story = Story::new();
    story.fork(30, OUTSIDE, "sleep", true);
    story.exit(30, OUTSIDE, 15);
    assert!(
        story
            .verdict()
            .sentence
            .contains("sent before tracing began")
    );
    let mut story = Story::new();
    story
        .book
        .aftermath
        .unseen
        .gap(500, BootNs(0), BootNs(u64::MAX), 3);
    let verdict = story.ends(9);
    assert!(
        verdict.sentence.contains("3 events were lost"),
        "{verdict:?}"
    );
    assert!(verdict.evidence.contains(&500));
    let verdict = Story::new().ends(31);
    assert_eq!(verdict.cause, Cause::Unknown);
    assert!(verdict.sentence.contains("nobody was seen to send"));
}

#[test]
fn time_spent_stopped_is_told_and_a_stop_is_no_cause() {
    let mut story = Story::new();
    story.signal(kill(19, 98, SELF));
    for _ in 0..4 {
        story.signal(kill(17, CHILD, SELF));
    }
    story.signal(Signal {
        result: 1,
        ..kill(18, 98, SELF)
    });
    story.signal(kill(9, 99, SELF));
    let verdict = story.ends(9);
    assert_eq!(verdict.stopped_us, 5000);
    assert!(verdict.sentence.ends_with("it had been stopped for 5 ms"));
    assert_eq!(verdict.killer.unwrap().pid, Some(99));
}
