//! Exit codes that look like signals.

use super::*;

#[test]
fn a_code_of_128_and_more_is_still_an_exit() {
    let verdict = Story::new().ends(137 << 8);
    assert_eq!(
        (verdict.outcome, verdict.exit_code, verdict.cause),
        (Outcome::Exited, Some(137), Cause::ErrorExit)
    );
    assert_eq!(verdict.confidence, Confidence::Certain);
    assert_eq!(
        verdict.sentence,
        "python3 (pid 5): exited 137 by choice: no process of the tree was killed"
    );
}

#[test]
fn a_code_that_was_passed_up_leads_to_where_it_comes_from() {
    let mut story = Story::new();
    story.signal(kill(9, 99, CHILD));
    let ends = [
        story.exit(CHILD, SELF, 9),
        story.exit(SELF, WRAPPER, 137 << 8),
        story.exit(WRAPPER, OUTSIDE, 137 << 8),
    ];
    let verdict = story.verdict();
    assert!(
        verdict.sentence.starts_with(
            "script (pid 4): 137 came from node (pid 6), killed by SIGKILL from pkill"
        ),
        "{verdict:?}"
    );
    assert!(
        verdict
            .sentence
            .ends_with("python3 (pid 5) and script only passed it on"),
        "{verdict:?}"
    );
    assert_eq!(verdict.evidence, [3, ends[0], ends[1], ends[2]]);
    let origin = verdict.origin.unwrap();
    assert_eq!((origin.pid, origin.signal.as_deref()), (6, Some("SIGKILL")));
    assert_eq!(origin.passed_on_by[0].pid, 5);
    assert_eq!(verdict.killer.unwrap().pid, Some(99));
    assert_eq!(verdict.confidence, Confidence::Likely);
}

#[test]
fn what_python_makes_of_a_childs_end_leads_there_too() {
    let mut story = Story::new();
    story.signal(kill(9, 99, CHILD));
    story.exit(CHILD, SELF, 9);
    let verdict = story.ends(247 << 8);
    assert!(
        verdict
            .sentence
            .contains("247 came from node (pid 6), killed by SIGKILL from pkill"),
        "{verdict:?}"
    );
    // Without such a child it is a number like any other.
    let chosen = Story::new().ends(247 << 8);
    assert_eq!(chosen.sentence, "python3 (pid 5): exited 247");
}

#[test]
fn a_code_of_its_own_after_a_child_was_killed_tells_of_that() {
    let mut story = Story::new();
    story.signal(kill(9, 99, CHILD));
    let below = story.exit(CHILD, SELF, 9);
    let verdict = story.ends(2 << 8);
    assert!(
        verdict.sentence.starts_with(
            "python3 (pid 5): exited 2; just before, below it: node (pid 6): killed by"
        ),
        "{verdict:?}"
    );
    assert_eq!(
        (verdict.cause, verdict.confidence),
        (Cause::ErrorExit, Confidence::Certain)
    );
    assert!(verdict.evidence.contains(&below));
    assert_eq!((verdict.killer, verdict.origin), (None, None));
}

#[test]
fn what_is_kept_does_not_grow_with_the_depth_of_the_tree() {
    const DEEP: u32 = 20_000;
    for status in [9, 137 << 8] {
        let mut story = Story::new();
        for pid in 1_000..1_000 + DEEP {
            story.fork(pid, if pid == 1_000 { SELF } else { pid - 1 }, "sh", false);
        }
        story.signal(kill(9, 99, 999 + DEEP));
        story.exit(999 + DEEP, 998 + DEEP, 9);
        for pid in (1_001..999 + DEEP).rev() {
            story.exit(pid, pid - 1, status);
        }
        let verdict = story.verdict();
        assert!(verdict.evidence.len() < 40, "{}", verdict.evidence.len());
        assert!(verdict.sentence.len() < 2_000, "{}", verdict.sentence.len());
    }
}

#[test]
fn who_killed_its_child_itself_passes_another_end_on() {
    let mut story = Story::new();
    story.fork(7, SELF, "node", false);
    story.signal(kill(9, 99, CHILD));
    story.exit(CHILD, SELF, 9);
    story.signal(kill(9, SELF, 7));
    story.exit(7, SELF, 9);
    let origin = story.ends(137 << 8).origin.unwrap();
    assert_eq!(origin.pid, CHILD);
}

#[test]
fn a_number_that_was_chosen_below_is_told_so() {
    let mut story = Story::new();
    story.exit(SELF, WRAPPER, 137 << 8);
    story.exit(WRAPPER, OUTSIDE, 137 << 8);
    let verdict = story.verdict();
    assert!(
        verdict.sentence.contains(
            "137 came from python3 (pid 5), exited 137 by choice: no process of the tree was killed"
        ),
        "{verdict:?}"
    );
    assert_eq!(verdict.killer, None);
}

#[test]
fn a_kill_elsewhere_in_the_tree_leaves_doubt() {
    let mut story = Story::new();
    story.signal(kill(9, 99, CHILD));
    story.exit(CHILD, SELF, 9);
    story.exit(SELF, WRAPPER, 0);
    story.exit(WRAPPER, OUTSIDE, 137 << 8);
    let verdict = story.verdict();
    assert_eq!(
        (verdict.origin, verdict.confidence),
        (None, Confidence::Likely)
    );
    assert!(
        verdict
            .sentence
            .contains("no child of its own was killed by SIGKILL")
    );
}

#[test]
fn another_end_between_leaves_doubt() {
    let mut story = Story::new();
    story.fork(7, SELF, "true", false);
    story.signal(kill(9, 99, CHILD));
    story.exit(CHILD, SELF, 9);
    story.exit(7, SELF, 0);
    let verdict = story.ends(137 << 8);
    assert!(
        verdict.sentence.contains("or chose the number"),
        "{verdict:?}"
    );
}

#[test]
fn who_handles_a_signal_and_exits_with_its_number_has_chosen() {
    let mut story = Story::new();
    let sent = story.signal(Signal {
        scene: Scene {
            handled: true,
            ..Scene::default()
        },
        ..kill(15, 99, SELF)
    });
    let verdict = story.ends(143 << 8);
    assert!(
        verdict
            .sentence
            .contains("exited 143 by choice, 1 ms after SIGTERM from pkill (pid 99"),
        "{verdict:?}"
    );
    assert_eq!(verdict.cause, Cause::ErrorExit);
    assert!(verdict.evidence.contains(&sent));
    assert_eq!(verdict.killer, None, "nobody killed it");
}

#[test]
fn a_wrapper_that_ends_itself_as_its_child_did_leads_there_too() {
    let mut story = Story::new();
    story.signal(kill(15, 99, SELF));
    story.exit(SELF, WRAPPER, 15);
    story.signal(kill(15, WRAPPER, WRAPPER));
    story.exit(WRAPPER, OUTSIDE, 15);
    let verdict = story.verdict();
    assert!(
        verdict
            .sentence
            .contains("from itself; as had ended python3 (pid 5): killed by SIGTERM"),
        "{verdict:?}"
    );
    assert_eq!(verdict.origin.unwrap().pid, 5);
}
