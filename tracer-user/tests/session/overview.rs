//! The capped view of a session's processes: what it leaves out it counts, and the costliest it names.

use std::collections::BTreeSet;

use tracer::{
    event::{Account, EventKind, ExitTotals},
    session::{
        journal::record::Body,
        processes::{Lived, Overview, Processes},
    },
    units::BootNs,
};

use crate::support::*;

fn overview(most: usize, of: u64) -> Overview {
    let mut processes = Processes::new(most, 7);
    // The root is not the first that is seen: at an attach it need not be.
    for n in 0..of {
        let record = fork(n);
        processes.apply(record.t, &record.body);
    }
    processes.finish()
}

#[test]
fn r5_v10_a_capped_view_has_head_tail_root_and_the_exact_number_left_out() {
    let pids =
        |list: &[Lived]| -> Vec<u32> { list.iter().map(|lived| lived.process.tgid.0).collect() };
    let view = overview(4, 100_000);
    assert_eq!(
        (pids(&view.head), pids(&view.tail)),
        (vec![2, 3], vec![7, 100_000, 100_001])
    );
    assert_eq!((view.total, view.left_out), (100_000, 99_995));
    for (most, of) in [
        (4, 0),
        (4, 3),
        (4, 4),
        (4, 5),
        (5, 9),
        (0, 50),
        (1, 6),
        (20, 19),
    ] {
        let view = overview(most, of);
        let shown = (view.head.len() + view.tail.len()) as u64;
        assert_eq!(shown + view.left_out, of, "{most} of {of}");
        assert_eq!(view.total, of);
        let seen: BTreeSet<_> = pids(&view.head)
            .into_iter()
            .chain(pids(&view.tail))
            .collect();
        assert_eq!(seen.len() as u64, shown, "none twice: {most} of {of}");
        assert_eq!(
            seen.contains(&7),
            of >= 6,
            "the root is kept: {most} of {of}"
        );
        assert!(most == 0 || shown <= most as u64 + 1);
    }
}

/// The process `n` is made and ends, having cost what `cost` makes of the totals.
fn comes_and_goes(processes: &mut Processes, n: u64, cost: impl FnOnce(&mut ExitTotals)) {
    let mut born = fork(n);
    born.t = BootNs(n);
    processes.apply(born.t, &born.body);
    let Body::Event(EventKind::Exit(mut gone)) = exit(n).body else {
        unreachable!("it is what it is called");
    };
    gone.process = process(u32::try_from(n).expect("small") + 2);
    cost(&mut gone.totals);
    processes.apply(BootNs(n), &Body::Event(EventKind::Exit(gone)));
}

#[test]
fn v9_the_costliest_are_named_also_when_they_are_left_out() {
    let mut processes = Processes::new(2, 1);
    for n in 0..50_u64 {
        comes_and_goes(&mut processes, n, |totals| {
            (totals.cpu_user_us, totals.cpu_system_us) = (n * 37 % 50, 0);
            totals.peak_rss_kb = 1000 + n;
        });
    }
    let view = processes.finish();
    let cpu: Vec<u64> = view
        .by_cpu
        .iter()
        .map(|lived| lived.ended.expect("ended").cpu_us)
        .collect();
    assert_eq!(cpu, [49, 48, 47, 46, 45]);
    let rss: Vec<u64> = view
        .by_rss
        .iter()
        .map(|lived| lived.ended.expect("ended").peak_rss_kb)
        .collect();
    assert_eq!(rss, [1049, 1048, 1047, 1046, 1045]);
}

#[test]
fn the_costliest_are_those_by_their_closed_accounts() {
    let mut processes = Processes::new(2, 1);
    for n in 0..2_000_u64 {
        comes_and_goes(&mut processes, n, |totals| {
            (totals.cpu_user_us, totals.cpu_system_us) = (0, n % 10);
        });
    }
    // The first is waited for no longer; the others are those whose exits said least, and the last of all.
    for (pid, cpu_system_us) in [(2, 900), (1_992, 70), (1_982, 60), (2_001, 50), (1_972, 3)] {
        let account = Account {
            process: process(pid),
            cpu_user_us: 0,
            cpu_system_us,
            faults_minor: 0,
            faults_major: 0,
            ctx_switches_voluntary: 0,
            ctx_switches_involuntary: 0,
            io_bytes: None,
        };
        let body = Body::Event(EventKind::Account(account));
        processes.apply(BootNs(3_000), &body);
    }
    let view = processes.finish();
    let found = view.by_cpu.iter().map(|lived| {
        let cpu_us = lived.ended.map(|ended| ended.cpu_us);
        (lived.process.tgid.0, cpu_us)
    });
    let found: Vec<_> = found.take(3).collect();
    assert_eq!(
        found,
        [(1_992, Some(70)), (1_982, Some(60)), (2_001, Some(50))]
    );
    let last = view.tail.last().and_then(|lived| lived.ended);
    assert_eq!(last.map(|ended| ended.cpu_us), Some(50));
}
