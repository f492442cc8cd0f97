//! The capped view of a session's processes: what it leaves out it counts, and the costliest it names.

use std::collections::BTreeSet;

use tracer::{
    event::EventKind,
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

#[test]
fn v9_the_costliest_are_named_also_when_they_are_left_out() {
    let mut processes = Processes::new(2, 1);
    for n in 0..50_u64 {
        let mut born = fork(n);
        born.t = BootNs(n);
        processes.apply(born.t, &born.body);
        let Body::Event(EventKind::Exit(gone)) = exit(n).body else {
            unreachable!("it is what it is called");
        };
        let mut gone = *gone;
        gone.process = process(u32::try_from(n).expect("small") + 2);
        gone.totals.cpu_user_us = n * 37 % 50;
        gone.totals.cpu_system_us = 0;
        gone.totals.peak_rss_kb = 1000 + n;
        let body = EventKind::Exit(Box::new(gone));
        processes.apply(BootNs(n), &Body::Event(body));
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
