//! Kinds that events show, and those of the tree.

use super::*;
use crate::anomaly::Relative;

const MS: u64 = 1_000_000;

#[test]
fn so_many_forks_within_the_window_are_a_storm_and_one_less_is_none() {
    let thresholds = [("fork_storm_forks", 10.0), ("fork_storm_window_ms", 100.0)];
    let mut story = Story::with(&thresholds);
    // Ten forks within 99 ms; the eleventh would have been needed at 100.1.
    for n in 0..9 {
        assert_eq!(story.event(&fork(n + 2, 1)), []);
        story.pass(11 * MS);
    }
    let told = story.event(&fork(20, 1));
    assert_eq!(signs(&told), ["+fork_storm"]);
    for n in 30..60 {
        story.pass(11 * MS);
        assert_eq!(story.event(&fork(n, 1)), []);
    }
    // Slower, but no window has passed yet.
    story.pass(90 * MS);
    assert_eq!(story.event(&fork(70, 1)), []);
    story.pass(90 * MS);
    let told = story.event(&fork(71, 1));
    assert_eq!(signs(&told), ["-fork_storm"]);
    assert_eq!(told[0].span.count, 10 + 30);

    let mut story = Story::with(&thresholds);
    for n in 0..500 {
        assert_eq!(story.event(&fork(n + 2, 1)), []);
        // Ten of them take 108 ms.
        story.pass(12 * MS);
    }
}

#[test]
fn a_storm_is_over_when_nobody_forks_any_more() {
    let mut story = Story::with(&[("fork_storm_forks", 3.0)]);
    for n in 0..3 {
        story.event(&fork(n + 2, 1));
    }
    assert_eq!(
        signs(&story.tick(&[])),
        ["+fork_storm", "-fork_storm"][1..].to_vec()
    );
}

#[test]
fn what_was_there_before_is_no_storm() {
    let mut story = Story::with(&[("fork_storm_forks", 3.0)]);
    for n in 0..100 {
        let mut found = fork(n + 2, 1);
        if let EventKind::Fork(fork) = &mut found {
            fork.adopted = true;
        }
        assert_eq!(story.event(&found), []);
    }
}

#[test]
fn ten_zombies_are_a_pileup_and_nine_are_not() {
    let zombies = |n: u32| -> Vec<SnapshotRow> {
        let zombie = |pid| SnapshotRow {
            pid,
            state: Some("zombie".to_owned()),
            ..row()
        };
        (1..=n).map(zombie).collect()
    };
    let mut story = Story::new();
    let pileups = |changes: Vec<Change>| -> Vec<Change> {
        changes
            .into_iter()
            .filter(|change| change.kind == Kind::ZombiePileup)
            .collect()
    };
    assert_eq!(pileups(story.tick(&zombies(9))), []);
    let told = pileups(story.tick(&zombies(10)));
    let [
        Change {
            phase: Phase::Opened(Detail::Processes { count, processes }),
            ..
        },
    ] = told.as_slice()
    else {
        panic!("{told:?}");
    };
    assert_eq!((*count, processes.len()), (10, 8));
    assert_eq!(pileups(story.tick(&zombies(25))), []);
    let told = pileups(story.tick(&zombies(9)));
    assert_eq!((told[0].span.count, told[0].span.worst), (2, 25.0));
}

#[test]
fn who_outlives_its_parent_by_a_minute_is_left() {
    let mut story = Story::new();
    for event in [fork(2, 1), fork(3, 2), fork(4, 2), exit(2, 1, 0)] {
        assert_eq!(story.event(&event), []);
    }
    for _ in 0..11 {
        assert_eq!(story.tick(&[]), []);
    }
    let told = story.tick(&[]);
    let Some(Detail::Processes { count, processes }) = detail_of(&told, Kind::OrphanLeft) else {
        panic!("{told:?}");
    };
    assert_eq!(*count, 2);
    assert_eq!((processes[0].pid, processes[1].pid), (3, 4));
    assert_eq!(told[0].span.first, BootNs(BEGIN));
    for _ in 0..100 {
        assert_eq!(story.tick(&[]), []);
    }
    story.event(&exit(3, 1, 0));
    assert_eq!(story.tick(&[]), [], "one of them is still there");
    story.event(&exit(4, 1, 0));
    assert_eq!(signs(&story.tick(&[])), ["-orphan_left"]);
}

#[test]
fn whoever_is_left_at_the_end_or_holds_the_terminal_is_told_and_the_session_ends_it() {
    let mut story = Story::new();
    let left = || Relative {
        pid: 7,
        comm: "sleep".to_owned(),
        ..Relative::default()
    };
    story.detector.left(story.t, []);
    assert_eq!(story.told(), []);
    story.detector.left(story.t, [left()]);
    story.detector.held(story.t, [left(), left()]);
    assert_eq!(signs(&story.told()), ["+orphan_left", "+pty_holder"]);
    let told = story.end();
    assert_eq!(signs(&told), ["-orphan_left", "-pty_holder"]);
    assert!(
        told.iter()
            .all(|change| change.phase == Phase::Closed(Ended::Session))
    );
}

/// A child of 1 executes the words and ends with the status.
fn child(story: &mut Story, pid: u32, words: &[&str], status: u32) -> Vec<Change> {
    story.pass(MS);
    story.event(&fork(pid, 1));
    story.event(&exec(pid, words));
    story.event(&exit(pid, 1, status))
}

#[test]
fn a_command_that_fails_ten_times_without_a_success_is_a_loop() {
    let mut story = Story::new();
    let curl = ["curl", "http://x"];
    for pid in 0..9 {
        assert_eq!(child(&mut story, pid, &curl, 7 << 8), []);
        // Others do not matter, whatever they do.
        assert_eq!(child(&mut story, pid + 100, &["curl", "http://y"], 0), []);
    }
    let told = child(&mut story, 10, &curl, 7 << 8);
    let Some(Detail::RetryLoop {
        command,
        failures,
        exit_code,
        signal,
        ..
    }) = detail_of(&told, Kind::RetryLoop)
    else {
        panic!("{told:?}");
    };
    assert_eq!(
        (command.as_str(), *failures, *exit_code, *signal),
        ("curl http://x", 10, Some(7), None)
    );
    assert_eq!(told[0].subject.pid, 1);
    for pid in 20..60 {
        assert_eq!(child(&mut story, pid, &curl, 9), []);
    }
    let told = child(&mut story, 70, &curl, 0);
    assert_eq!(signs(&told), ["-retry_loop"]);
    assert_eq!((told[0].span.count, told[0].span.worst), (50, 50.0));
}

#[test]
fn a_success_in_between_begins_the_count_anew_and_so_does_a_long_pause() {
    let mut story = Story::new();
    for round in 0..10 {
        for pid in 0..9 {
            assert_eq!(child(&mut story, round * 20 + pid, &["false"], 256), []);
        }
        if round % 2 == 0 {
            assert_eq!(child(&mut story, round * 20 + 19, &["false"], 0), []);
        } else {
            story.pass(61_000 * MS);
        }
    }
    // The front of a pipeline ends like this.
    for pid in 500..600 {
        assert_eq!(child(&mut story, pid, &["yes"], 13), []);
    }
    // Who executes nothing is no command.
    for pid in 600..700 {
        story.event(&fork(pid, 1));
        assert_eq!(story.event(&exit(pid, 1, 256)), []);
    }
}

#[test]
fn a_loop_that_is_given_up_is_over_after_the_window() {
    let mut story = Story::new();
    for pid in 0..10 {
        child(&mut story, pid, &["false"], 256);
    }
    for _ in 0..12 {
        assert_eq!(story.tick(&[]), []);
    }
    assert_eq!(signs(&story.tick(&[])), ["-retry_loop"]);
}

#[test]
fn the_end_of_a_process_closes_what_was_wrong_with_it() {
    let mut story = Story::new();
    let pid_1000 = SnapshotRow {
        pid: 1000,
        fd_count: Some(1000),
        ..row()
    };
    assert_eq!(signs(&story.tick(&[pid_1000])), ["+fd_high"]);
    let told = story.event(&exit(1000, 1, 0));
    assert_eq!(signs(&told), ["-fd_high"]);
    assert_eq!(told[0].phase, Phase::Closed(Ended::Process));
    assert_eq!(told[0].subject.comm.as_deref(), Some("calm"));
    assert_eq!(story.end(), []);
}
