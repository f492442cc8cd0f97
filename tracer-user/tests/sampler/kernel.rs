//! What is peculiar to rows from the kernel side.

use tracer::{
    procfs::ReadEnd,
    snapshot::kernel::KernelRow,
    units::{BootNs, Tgid},
};

use crate::{
    fixture::{Fixture, now, subject, wait_for},
    identity::{Numbered, reuse},
    oracle::settle,
    ways::{KernelSide, asking, tick},
};

fn of(rows: &[KernelRow], pid: u32) -> Option<&KernelRow> {
    rows.iter().find(|row| row.tgid == Tgid(pid))
}

#[test]
fn a_number_in_use_again_gives_a_row_to_its_new_owner_alone() {
    let old = Numbered::start(0);
    let mut kernel = KernelSide::new();
    kernel.track(old.pid());
    let before = subject(old.pid());
    let mut sampler = asking();
    let first = tick(&mut sampler, &mut kernel, &[before]);
    assert_eq!(first.totals.rows_from_kernel, 1);
    let next = reuse(old);
    kernel.track(next.pid());
    let after = subject(next.pid());
    let second = tick(&mut sampler, &mut kernel, &[before, after]);
    assert_eq!((second.rows.len(), second.totals.rows_from_kernel), (1, 1));
    let row = &second.rows[0].row;
    assert_eq!(row.starttime_ticks, after.starttime_ticks.unwrap().0);
    assert_eq!(
        row.cpu_percent, None,
        "nothing of the old one is taken over"
    );
    assert!(matches!(second.ends[..], [(tgid, ReadEnd::Gone)] if tgid == before.tgid));
}

#[test]
fn a_start_within_the_same_tick_tells_two_processes_apart() {
    let fixture = Fixture::start("rest");
    let mut kernel = KernelSide::new();
    kernel.track(fixture.pid());
    let true_start = of(&kernel.rows(), fixture.pid()).unwrap().start;
    let mut sampler = asking();
    for (start, rows) in [(true_start, 1), (BootNs(true_start.0 + 1), 0)] {
        let subject = tracer::sampler::Subject {
            start: Some(start),
            ..subject(fixture.pid())
        };
        let tick = tick(&mut sampler, &mut kernel, &[subject]);
        assert_eq!((tick.rows.len(), tick.ends.len()), (rows, 1 - rows));
    }
}

#[test]
fn nobody_is_told_of_who_is_not_tracked_and_not_asked_for() {
    let (ours, other) = (Fixture::start("threads:3"), Fixture::start("threads:3"));
    let mut kernel = KernelSide::new();
    kernel.track(ours.pid());
    let rows = kernel.rows();
    assert!(of(&rows, ours.pid()).is_some() && of(&rows, other.pid()).is_none());
    let mut sampler = asking();
    let now = now(&sampler);
    assert_eq!(sampler.tick_from(now, [], &mut kernel).rows.len(), 0);
    // Who is not tracked has a row from files.
    let tick = tick(&mut sampler, &mut kernel, &[subject(other.pid())]);
    assert_eq!((tick.rows.len(), tick.totals.rows_from_kernel), (1, 0));
}

#[test]
fn who_is_on_its_way_out_is_left_to_its_files() {
    let fixture = Fixture::start("leader-ends");
    settle(fixture.pid(), 'Z');
    let mut kernel = KernelSide::new();
    kernel.track(fixture.pid());
    assert!(of(&kernel.rows(), fixture.pid()).is_none());
    let mut sampler = asking();
    let tick = tick(&mut sampler, &mut kernel, &[subject(fixture.pid())]);
    assert_eq!((tick.rows.len(), tick.totals.rows_from_kernel), (1, 0));
    assert_eq!(tick.rows[0].row.threads, Some(2));
}

#[test]
fn rows_stand_in_the_order_of_their_times() {
    let fixtures: Vec<_> = (0..5).map(|_| Fixture::start("rest")).collect();
    let mut kernel = KernelSide::new();
    for fixture in &fixtures {
        kernel.track(fixture.pid());
    }
    let subjects: Vec<_> = fixtures.iter().map(|one| subject(one.pid())).collect();
    let mut sampler = asking();
    let tick = tick(&mut sampler, &mut kernel, &subjects);
    assert_eq!(tick.totals.rows_from_kernel, 5);
    assert!(tick.rows.windows(2).all(|two| two[0].t <= two[1].t));
    let stamps: Vec<_> = tick.rows.iter().map(|one| &one.row.captured_at).collect();
    assert!(stamps.windows(2).all(|two| two[0] < two[1]), "{stamps:?}");
    assert!(tick.t <= tick.rows[0].t);
}

#[test]
fn cpu_is_that_of_all_threads_and_not_lost_with_them() {
    let fixture = Fixture::start("spin");
    let mut kernel = KernelSide::new();
    kernel.track(fixture.pid());
    let used = |kernel: &mut KernelSide| of(&kernel.rows(), fixture.pid()).map(|row| row.cpu_ns);
    let process = procfs::process::Process::new(fixture.pid().cast_signed()).unwrap();
    wait_for("three tenths of a second of CPU", || {
        used(&mut kernel).unwrap() > 300_000_000
    });
    // Between two readings of the file.
    let ticks = || {
        let stat = process.stat().unwrap();
        (stat.utime + stat.stime) * 10_000_000
    };
    let before = ticks();
    let told = used(&mut kernel).unwrap();
    let after = ticks();
    // Two numbers rounded down, and a scheduler that adds up at its ticks.
    assert!(
        told + 20_000_000 >= before && told <= after + 40_000_000,
        "{before} {told} {after}"
    );
}
