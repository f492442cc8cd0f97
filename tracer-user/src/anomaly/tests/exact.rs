//! Each threshold is where it is said to be: on it and next to it.

use super::*;
use crate::anomaly::Relative;

const MS: u64 = 1_000_000;

#[test]
fn the_smallest_share_of_descriptors_above_eight_tenths_is_high() {
    let mut story = Story::new();
    let fds = |count| {
        move |row: &mut SnapshotRow| {
            (row.fd_count, row.fd_soft_limit) = (Some(count), Some(1_000_000));
        }
    };
    assert_eq!(story.row(fds(800_000)), []);
    assert_eq!(signs(&story.row(fds(800_001))), ["+fd_high"]);
}

#[test]
fn growth_is_news_from_the_least_on_that_is_set() {
    for (last_kb, expected) in [(1_499, None), (1_500, Some("+rss_growth"))] {
        let mut story = Story::with(&[("rss_growth_min_kb", 1000.0)]);
        for _ in 0..4 {
            assert_eq!(story.row(|row| row.vm_rss_kb = Some(500)), []);
        }
        let told = story.row(|row| row.vm_rss_kb = Some(last_kb));
        assert_eq!(signs(&told), Vec::from_iter(expected), "{last_kb}");
    }
}

#[test]
fn a_resident_set_is_settled_at_a_second_and_a_millisecond_before_it_is_not() {
    for (age_ms, expected) in [(999, None), (1000, Some("+rss_growth"))] {
        let mut story = Story::new();
        let first = (BEGIN + STEP) / MS;
        // Start times are told in ticks of 10 ms.
        story.pass((age_ms + 10) % 10 * MS);
        let starttime_ticks = (first - age_ms / 10 * 10) / 10;
        let mut rows = vec![1_000];
        rows.extend([10_000; 4]);
        let mut told = Vec::new();
        for kb in rows {
            told.extend(story.row(|row| {
                row.starttime_ticks = starttime_ticks;
                row.vm_rss_kb = Some(kb);
            }));
        }
        assert_eq!(signs(&told), Vec::from_iter(expected), "{age_ms}");
    }
}

#[test]
fn a_zombie_counts_from_the_end_of_the_grace_on() {
    let zombie = |row: &mut SnapshotRow| row.state = Some("zombie".to_owned());
    for (age, expected) in [(100 * MS - 1, None), (100 * MS, Some("+zombie_detected"))] {
        let mut story = Story::new();
        story.life = Life::Ended(BootNs(BEGIN + STEP - age));
        assert_eq!(signs(&story.row(zombie)), Vec::from_iter(expected), "{age}");
    }
}

#[test]
fn forks_are_a_storm_when_the_first_and_the_last_are_a_window_apart() {
    let thresholds = [("fork_storm_forks", 3.0), ("fork_storm_window_ms", 100.0)];
    for (apart, expected) in [(100 * MS, Some("+fork_storm")), (100 * MS + 1, None)] {
        let mut story = Story::with(&thresholds);
        assert_eq!(story.event(&fork(2, 1)), []);
        assert_eq!(story.event(&fork(3, 1)), []);
        story.pass(apart);
        let told = story.event(&fork(4, 1));
        assert_eq!(signs(&told), Vec::from_iter(expected), "{apart}");
    }
}

#[test]
fn a_storm_lasts_a_window_longer_than_its_last_fork() {
    #[expect(clippy::cast_precision_loss, reason = "five seconds")]
    let window_ms = (STEP / MS) as f64;
    let thresholds = [
        ("fork_storm_forks", 2.0),
        ("fork_storm_window_ms", window_ms),
    ];
    for (more, expected) in [(0, None), (1, Some("-fork_storm"))] {
        let mut story = Story::with(&thresholds);
        story.event(&fork(2, 1));
        assert_eq!(signs(&story.event(&fork(3, 1))), ["+fork_storm"]);
        story.pass(more);
        assert_eq!(signs(&story.tick(&[])), Vec::from_iter(expected), "{more}");
    }
}

#[test]
fn so_many_must_hold_the_terminal_as_are_set() {
    let holder = |pid| Relative {
        pid,
        ..Relative::default()
    };
    for (count, expected) in [(2, None), (3, Some("+pty_holder"))] {
        let mut story = Story::with(&[("pty_holder_count", 3.0)]);
        story.detector.held(story.t, (0..count).map(holder));
        assert_eq!(signs(&story.told()), Vec::from_iter(expected), "{count}");
    }
}

#[test]
fn failures_a_minute_apart_are_of_one_loop_and_a_moment_more_is_a_pause() {
    for (apart, expected) in [(60_000 * MS, Some("+retry_loop")), (60_000 * MS + 1, None)] {
        let mut story = Story::with(&[("retry_loop_failures", 2.0)]);
        let mut told = Vec::new();
        for pid in [2, 3] {
            story.event(&fork(pid, 1));
            story.event(&exec(pid, &["false"]));
            told.extend(story.event(&exit(pid, 1, 256)));
            story.pass(apart);
        }
        assert_eq!(signs(&told), Vec::from_iter(expected), "{apart}");
    }
}
