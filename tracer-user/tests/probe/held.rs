//! A child that is held, tracked by a program that its maker runs, without going through all processes.

use tracer::{event::EventKind, probe::loader::Settings, units::Tgid};

use crate::watch::{attach, drain, fork, hold, reap};

const CHILDREN_ONLY: Settings = Settings {
    ring_bytes: 1 << 20,
    tracked_max: 64,
    adopts_trees: false,
    follows: false,
};

fn tgid(pid: i32) -> Tgid {
    Tgid(pid.cast_unsigned())
}

#[test]
fn the_maker_adopts_it_and_sees_all_of_it() {
    let mut probe = attach(CHILDREN_ONLY);
    let mut ring = probe.take_ring().unwrap().unwrap();
    let held = hold(|| {
        reap(fork(|| 5), true);
        7
    });
    let adoption = probe.adopt_held(tgid(held.pid)).unwrap();
    assert!(adoption.converged());
    assert_eq!((adoption.adopted, adoption.passes), (1, 0));
    // Once is enough.
    assert_eq!(probe.adopt_held(tgid(held.pid)).unwrap().adopted, 0);
    let root = held.release();
    reap(root, true);

    let mut events = Vec::new();
    drain(&mut ring, &mut events);
    let seen: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Fork(fork) => Some((fork.adopted, fork.depth, 0)),
            EventKind::Exit(exit) => Some((exit.process.tgid == tgid(root), 9, exit.status)),
            _ => None,
        })
        .collect();
    assert_eq!(
        seen,
        [
            (true, 0, 0),
            (false, 1, 0),
            (false, 9, 0x500),
            (true, 9, 0x700)
        ]
    );
}

#[test]
fn nobody_else_can_and_nobody_else_is() {
    let mut probe = attach(CHILDREN_ONLY);
    let held = hold(|| 0);
    let asked = tgid(held.pid);
    // Its maker is this thread.
    let by_another = std::thread::scope(|scope| {
        let probe = &mut probe;
        let asking = scope.spawn(move || probe.adopt_held(asked).unwrap().adopted);
        asking.join().unwrap()
    });
    assert_eq!(by_another, 0);
    for other in [Tgid(1), Tgid(0), Tgid(std::process::id()), Tgid(u32::MAX)] {
        assert_eq!(probe.adopt_held(other).unwrap().adopted, 0, "{other}");
    }
    assert_eq!(probe.tracked().unwrap(), []);
    assert_eq!(probe.adopt_held(asked).unwrap().adopted, 1);
    reap(held.release(), true);
}

#[test]
fn older_children_are_no_hindrance() {
    let mut probe = attach(CHILDREN_ONLY);
    let older: Vec<_> = (0..40).map(|_| hold(|| 0)).collect();
    let held = hold(|| 0);
    assert_eq!(probe.adopt_held(tgid(held.pid)).unwrap().adopted, 1);
    let tracked = probe.tracked().unwrap();
    assert_eq!(tracked.len(), 1, "{tracked:?}");
    assert_eq!(tracked[0].tgid, tgid(held.pid));
    for child in older.into_iter().chain([held]) {
        reap(child.release(), true);
    }
}
