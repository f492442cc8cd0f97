//! Long streams: nothing is found where nothing is wrong, and memory is that of the living.

use std::time::{Duration, Instant};

use super::*;
use crate::anomaly::OPENINGS_MAX;

/// What a program does that works and rests, a little different each time.
fn busy_enough(pid: u32, n: u64) -> SnapshotRow {
    let wave = (n * 7 + u64::from(pid) * 13) % 50;
    let percent = [0.0, 1.5, 99.9, 12.0, 89.9][usize::try_from(wave % 5).unwrap_or(0)];
    SnapshotRow {
        pid,
        cpu_percent: (n > 0).then_some(percent),
        vm_rss_kb: Some(100_000 + wave * 1000),
        fd_count: Some(20 + wave),
        oom_score: Some(12 + i64::try_from(wave).unwrap_or(0)),
        wchan: (!wave.is_multiple_of(3)).then(|| "do_sys_poll".to_owned()),
        ..row()
    }
}

/// Ticks of 5 s with a few processes of one's own and short ones that come and go; forks so far.
fn live(story: &mut Story, ticks: u64, processes: u32) -> u32 {
    let mut pid = 10_000;
    for n in 0..ticks {
        let rows: Vec<_> = (1..=processes).map(|pid| busy_enough(pid, n)).collect();
        story.tick(&rows);
        for _ in 0..3 {
            pid += 1;
            story.pass(1_000_000);
            story.event(&fork(pid, 1));
            story.event(&exec(pid, &["cc", "-c", "x.c"]));
            story.event(&exit(pid, 1, if n % 7 == 0 { 256 } else { 0 }));
            story.event(&fork(pid + 1_000_000, 1));
            story.event(&exec(pid + 1_000_000, &["cc", "-c", "x.c"]));
            story.event(&exit(pid + 1_000_000, 1, 0));
        }
    }
    pid
}

#[test]
fn an_hour_of_calm_gives_nothing() {
    let mut story = Story::new();
    live(&mut story, 720, 40);
    assert_eq!(story.changes, []);
    assert_eq!(story.end(), []);
}

#[test]
fn a_day_is_looked_at_in_seconds() {
    let mut story = Story::new();
    let begun = Instant::now();
    live(&mut story, 17_280, 20);
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(story.changes, []);
    assert!(
        story.detector.remembered() <= 21,
        "{}",
        story.detector.remembered()
    );
}

#[test]
fn a_million_processes_leave_nothing_behind() {
    let mut story = Story::with(&[
        ("fork_storm_forks", 100_000.0),
        ("fork_storm_window_ms", 10.0),
    ]);
    let mut most = 0;
    for n in 0..1_000_000_u32 {
        story.pass(100_000);
        let pid = n % 100_000 + 2;
        story.event(&fork(pid, 1));
        // Ever new words, and all of them fail.
        if n % 4 == 0 {
            story.event(&exec(pid, &["try", &n.to_string()]));
        }
        if n % 1000 == 0 {
            let dying = SnapshotRow {
                pid,
                fd_count: Some(1000),
                starttime_ticks: ticks(process(pid).key.start).0,
                ..row()
            };
            story.tick(&[dying]);
        }
        story.event(&exit(pid, 1, 256));
        most = most.max(story.detector.remembered());
    }
    assert!(most <= 1100, "{most} things were remembered at one time");
    assert!(story.detector.remembered() <= 1100);
    // Each was told, opened and closed.
    assert_eq!(story.changes.len(), 2000);
}

#[test]
fn a_program_that_goes_back_and_forth_does_not_fill_the_disk() {
    let mut story = Story::new();
    for n in 0..4 * OPENINGS_MAX {
        story.row(|row| row.fd_count = Some(if n % 2 == 0 { 1000 } else { 10 }));
    }
    story.end();
    assert_eq!(story.changes.len() as u64, 2 * OPENINGS_MAX);
    assert_eq!(story.detector.untold(), OPENINGS_MAX);
}
