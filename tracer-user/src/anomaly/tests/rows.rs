//! Each kind that a row shows: exactly at its threshold, and not below.

use super::*;

/// No signal.
const NONE: &str = "0000000000000000";

fn kinds(changes: &[Change]) -> Vec<Kind> {
    changes.iter().map(|change| change.kind).collect()
}

#[test]
fn ninety_percent_twice_is_high_and_a_tenth_less_is_not() {
    let mut story = Story::new();
    assert_eq!(story.row(|row| row.cpu_percent = Some(90.0)), []);
    let told = story.row(|row| row.cpu_percent = Some(90.0));
    assert_eq!(signs(&told), ["+high_cpu_sustained"]);
    let expected = Detail::HighCpu {
        cpu_percent: 90.0,
        consecutive_count: 2,
    };
    assert_eq!(detail_of(&told, Kind::HighCpuSustained), Some(&expected));
    assert_eq!(told[0].span.first, BootNs(BEGIN + STEP));
    story.row(|row| row.cpu_percent = Some(312.5));
    let told = story.row(|row| row.cpu_percent = Some(89.9));
    assert_eq!(signs(&told), ["-high_cpu_sustained"]);
    assert_eq!((told[0].span.count, told[0].span.worst), (3, 312.5));

    let mut story = Story::new();
    for percent in [89.9, 89.9, 90.0, 89.9, 90.0, 0.0] {
        assert_eq!(story.row(|row| row.cpu_percent = Some(percent)), []);
    }
}

#[test]
fn more_than_eighty_percent_of_the_descriptors_is_high_and_eighty_is_not() {
    let mut story = Story::new();
    let fds = |count, limit| {
        move |row: &mut SnapshotRow| {
            (row.fd_count, row.fd_soft_limit) = (Some(count), Some(limit));
        }
    };
    for (count, limit) in [
        (80, 100),
        (4, 5),
        (8, 10),
        (820, 1025),
        (100_000, -1),
        (0, 0),
    ] {
        assert_eq!(story.row(fds(count, limit)), [], "{count} of {limit}");
    }
    let told = story.row(fds(81, 100));
    let expected = Detail::FdHigh {
        fd_count: 81,
        fd_soft_limit: 100,
        ratio: 0.81,
    };
    assert_eq!(detail_of(&told, Kind::FdHigh), Some(&expected));
    assert_eq!(signs(&story.row(fds(80, 100))), ["-fd_high"]);
    // A limit that was lowered below what is open.
    assert_eq!(signs(&story.row(fds(3, 0))), ["+fd_high"]);
}

#[test]
fn a_score_that_rises_by_more_than_two_hundred_is_a_spike() {
    let score = |score| move |row: &mut SnapshotRow| row.oom_score = Some(score);
    let mut story = Story::new();
    story.row(score(100));
    let told = story.row(score(350));
    let expected = Detail::OomSpike {
        from: 100,
        to: 350,
        delta: 250,
        oom_score_raw: 350,
    };
    assert_eq!(detail_of(&told, Kind::OomSpike), Some(&expected));
    assert_eq!(signs(&story.row(score(350))), ["-oom_spike"]);
    assert_eq!(
        story.row(score(550)),
        [],
        "two hundred is not more than that"
    );
    assert_eq!(signs(&story.row(score(751))), ["+oom_spike"]);
    // A missing value lies between two readable ones, and says nothing.
    let mut story = Story::new();
    story.row(score(100));
    assert_eq!(story.row(|row| row.oom_score = None), []);
    assert_eq!(signs(&story.row(score(350))), ["+oom_spike"]);
}

#[test]
fn a_score_of_eight_hundred_is_critical_and_an_idle_process_never() {
    let score = |score| move |row: &mut SnapshotRow| row.oom_score = Some(score);
    let mut story = Story::new();
    assert_eq!(story.row(score(799)), []);
    let told = story.row(score(800));
    assert_eq!(kinds(&told), [Kind::OomCritical]);
    assert_eq!(told[0].kind.severity().name(), "critical");

    // As kernels since 5.9 show it.
    let mut detector = Detector::new(Thresholds::default(), Scale::Shifted);
    for (score, adj) in [(666, 0), (800, 200), (1332, 1000), (0, -1000), (1199, 0)] {
        let row = SnapshotRow {
            oom_score: Some(score),
            oom_score_adj: Some(adj),
            ..row()
        };
        detector.row(BootNs(BEGIN), &row, Life::Untold);
        let critical = detector.changes();
        let critical = critical
            .iter()
            .filter(|change| change.kind == Kind::OomCritical);
        assert_eq!(critical.count(), 0, "{score} {adj}");
    }
    let row = SnapshotRow {
        oom_score: Some(1200),
        ..row()
    };
    detector.row(BootNs(BEGIN), &row, Life::Untold);
    assert!(kinds(&detector.changes()).contains(&Kind::OomCritical));
}

#[test]
fn three_zombies_in_a_row_are_one_persistent() {
    let zombie = |row: &mut SnapshotRow| {
        unread(row);
        row.state = Some("zombie".to_owned());
    };
    let mut story = Story::new();
    assert_eq!(signs(&story.row(zombie)), ["+zombie_detected"]);
    assert_eq!(story.row(zombie), []);
    let told = story.row(zombie);
    assert_eq!(signs(&told), ["+zombie_persistent"]);
    let expected = Detail::Zombie {
        state: "zombie".to_owned(),
        consecutive_count: 3,
    };
    assert_eq!(detail_of(&told, Kind::ZombiePersistent), Some(&expected));
    for _ in 0..100 {
        assert_eq!(story.row(zombie), []);
    }
    // Reaped: no row any more.
    let told = story.tick(&[]);
    assert_eq!(signs(&told), ["-zombie_detected", "-zombie_persistent"]);
    assert!(
        told.iter()
            .all(|change| change.phase == Phase::Closed(Ended::Process))
    );
}

#[test]
fn a_zombie_of_this_instant_is_none() {
    let zombie = |row: &mut SnapshotRow| row.state = Some("zombie".to_owned());
    let mut story = Story::new();
    story.life = Life::Ended(BootNs(BEGIN + STEP - 99_999_999));
    assert_eq!(story.row(zombie), []);
    assert_eq!(signs(&story.row(zombie)), ["+zombie_detected"]);
    // Its end has not been told: it has just come, or it was lost.
    let mut story = Story::new();
    story.life = Life::Tracked;
    assert_eq!(story.row(zombie), []);
    assert_eq!(signs(&story.row(zombie)), ["+zombie_detected"]);
}

#[test]
fn disk_sleep_counts_twice_in_a_row_and_not_where_it_is_harmless() {
    let asleep = |wchan: &'static str| {
        move |row: &mut SnapshotRow| {
            row.state = Some("disk-sleep".to_owned());
            row.wchan = Some(wchan.to_owned());
        }
    };
    let mut story = Story::new();
    assert_eq!(story.row(asleep("io_schedule")), []);
    assert_eq!(story.row(|_| {}), []);
    assert_eq!(story.row(asleep("io_schedule")), []);
    let told = story.row(asleep("folio_wait_bit"));
    let expected = Detail::DState {
        state: "disk-sleep".to_owned(),
        wchan: "folio_wait_bit".to_owned(),
        consecutive_count: 2,
    };
    assert_eq!(detail_of(&told, Kind::DStateSustained), Some(&expected));
    let harmless = [
        "do_nanosleep",
        "do_epoll_wait",
        "schedule_hrtimeout_range",
        "",
        "0",
    ];
    assert_eq!(
        signs(&story.row(asleep(harmless[0]))),
        ["-d_state_sustained"]
    );
    for wchan in harmless.into_iter().cycle().take(20) {
        assert_eq!(story.row(asleep(wchan)), [], "{wchan:?}");
    }
}

#[test]
fn signals_that_come_where_none_were_pend_and_others_are_not_known_to_have_come() {
    let mask =
        |mask: &'static str| move |row: &mut SnapshotRow| row.sig_pnd = Some(mask.to_owned());
    let mut story = Story::new();
    assert_eq!(
        story.row(mask("0000000000000200")),
        [],
        "there from the first row on"
    );
    assert_eq!(story.row(mask(NONE)), []);
    assert_eq!(story.row(|row| row.sig_pnd = None), []);
    let told = story.row(mask("0000000000000200"));
    let expected = Detail::SignalsPending {
        from: NONE.to_owned(),
        to: "0000000000000200".to_owned(),
    };
    assert_eq!(detail_of(&told, Kind::SignalsPending), Some(&expected));
    assert_eq!(story.row(mask("0000000000000a00")), []);
    let told = story.row(mask(NONE));
    assert_eq!((told[0].span.count, told[0].span.worst), (2, 2.0));
}

#[test]
fn what_is_ignored_anyway_does_not_pend() {
    let mut story = Story::new();
    story.row(|_| {});
    for mask in ["0000000000010000", "0000000008430000"] {
        assert_eq!(story.row(|row| row.sig_pnd = Some(mask.to_owned())), []);
    }
    // SIGCHLD, and SIGTERM with it.
    let told = story.row(|row| row.sig_pnd = Some("0000000000014000".to_owned()));
    assert_eq!(signs(&told), ["+signals_pending"]);
}

#[test]
fn a_shell_that_starts_program_after_program_is_not_stuck_and_one_that_cannot_is() {
    let spawning = |switches| {
        move |row: &mut SnapshotRow| {
            row.state = Some("disk-sleep".to_owned());
            row.wchan = Some("kernel_clone".to_owned());
            row.threads = Some(1);
            row.ctx_switches_voluntary = Some(switches);
        }
    };
    let mut story = Story::new();
    for n in 0..100 {
        assert_eq!(story.row(spawning(n)), [], "row {n}");
    }
    let told = story.row(spawning(99));
    assert_eq!(signs(&told), ["+d_state_sustained"]);
}

#[test]
fn a_resident_set_that_doubles_and_more_over_five_rows_has_grown() {
    let rss = |kb| move |row: &mut SnapshotRow| row.vm_rss_kb = kb;
    let mut story = Story::new();
    for kb in [100_000, 130_000, 160_000, 240_000] {
        assert_eq!(story.row(rss(Some(kb))), [], "{kb}");
    }
    assert_eq!(story.row(rss(None)), []);
    let told = story.row(rss(Some(250_000)));
    let expected = Detail::RssGrowth {
        initial_rss_kb: 100_000,
        final_rss_kb: 250_000,
        growth_factor: 2.5,
        rows: 5,
    };
    assert_eq!(detail_of(&told, Kind::RssGrowth), Some(&expected));
    assert_eq!(
        signs(&story.row(rss(Some(200_000)))),
        ["-rss_growth"],
        "twice is not more"
    );
    assert_eq!(signs(&story.row(rss(Some(200_001)))), ["+rss_growth"]);
    // 0 is no size: the process is being torn down.
    assert_eq!(story.row(rss(Some(0))), []);
}

#[test]
fn memory_is_settled_a_second_after_the_process_began_or_executed_a_program() {
    let rss = |kb| {
        move |row: &mut SnapshotRow| {
            row.vm_rss_kb = Some(kb);
            row.pid = 100;
            // Began when the story did.
            row.starttime_ticks = (BEGIN + STEP) / 10_000_000;
        }
    };
    let mut story = Story::new();
    // Too young: what it has now is its loader's.
    assert_eq!(story.row(rss(1_000)), []);
    for _ in 0..10 {
        assert_eq!(story.row(rss(100_000)), []);
    }
    let mut story = Story::new();
    for kb in [100_000, 100_000, 100_000, 100_000, 100_000] {
        story.row(|row| row.vm_rss_kb = Some(kb));
    }
    assert_eq!(
        signs(&story.row(|row| row.vm_rss_kb = Some(300_000))),
        ["+rss_growth"]
    );
    // process(100) began at tick 1000 * 1: the same as row()'s.
    assert_eq!(process(100).key.start, BootNs(1_000_000_000));
    let mut replaced = exec(100, &["other"]);
    if let EventKind::Exec(exec) = &mut replaced {
        exec.process.key.start = BootNs(10_000_000_000);
    }
    story.event(&replaced);
    let told = story.row(|row| row.vm_rss_kb = Some(300_000));
    assert_eq!(signs(&told), ["-rss_growth"], "another program's memory");
}

#[test]
fn every_kind_opens_once_over_a_hundred_rows_and_survives_missing_values() {
    let good = |_: &mut SnapshotRow| {};
    opens_and_closes_once(
        Kind::HighCpuSustained,
        |row| row.cpu_percent = Some(95.0),
        good,
    );
    opens_and_closes_once(Kind::FdHigh, |row| row.fd_count = Some(1000), good);
    opens_and_closes_once(Kind::OomCritical, |row| row.oom_score = Some(900), good);
    let zombie = |row: &mut SnapshotRow| row.state = Some("zombie".to_owned());
    opens_and_closes_once(Kind::ZombieDetected, zombie, good);
    opens_and_closes_once(Kind::ZombiePersistent, zombie, good);
    let asleep = |row: &mut SnapshotRow| {
        row.state = Some("disk-sleep".to_owned());
        row.wchan = Some("io_schedule".to_owned());
    };
    opens_and_closes_once(Kind::DStateSustained, asleep, good);
}
