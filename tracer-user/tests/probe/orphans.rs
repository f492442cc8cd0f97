//! Who loses its parent in the middle of an attach, and goes to one outside of the tree.

use std::{
    collections::BTreeSet,
    io::{Read as _, Seek as _, Write as _},
};

use tracer::{event::EventKind, probe::loader::Settings, units::Tgid};

use crate::watch::{attach, drain, fork, hold, reap, wait_for};

const WORKERS: usize = 2;
/// Daemons that each worker makes.
const DAEMONS: usize = 60;
/// Attaches: each finds some middle ones alive.
const ROUNDS: usize = 10;

#[test]
fn a_daemon_whose_parent_ends_during_the_attach_is_not_lost() {
    let mut in_danger = 0;
    for _ in 0..ROUNDS {
        in_danger += join_a_daemon_storm();
    }
    assert!(in_danger > 0, "nobody lost its parent: this proves nothing");
}

/// Attaches to a tree that makes daemons by double fork; their parents end at once, and init is given
/// them. Returns how many began before the tree was tracked and lost their parent after that.
fn join_a_daemon_storm() -> usize {
    let mut probe = attach(Settings::default());
    let mut ring = probe.take_ring().unwrap().unwrap();
    let log = tempfile::tempfile().unwrap();
    let held = hold(|| {
        // A group, so that the test can end them all.
        // SAFETY: no memory involved.
        unsafe { libc::setpgid(0, 0) };
        for _ in 0..WORKERS {
            fork(|| make_daemons(&log));
        }
        pause()
    });
    let root = held.release();
    let written = |log: &std::fs::File| {
        let mut text = String::new();
        let mut log = log;
        log.rewind().unwrap();
        log.read_to_string(&mut text).unwrap();
        text
    };
    // The position is shared with those who write, so the log is opened anew to be read.
    let reader = std::fs::File::open(format!(
        "/proc/self/fd/{}",
        std::os::fd::AsRawFd::as_raw_fd(&log)
    ))
    .unwrap();
    wait_for("a few daemons", || written(&reader).lines().count() > 5);
    let adoption = probe.adopt(Tgid(root.cast_unsigned())).unwrap();
    wait_for("all daemons", || {
        written(&reader).lines().count() == WORKERS * DAEMONS
    });
    let mut events = Vec::new();
    drain(&mut ring, &mut events);
    let tracked_since = events.iter().find_map(|event| match &event.kind {
        EventKind::Fork(fork) if fork.child.tgid.0 == root.cast_unsigned() => Some(event.t.0),
        _ => None,
    });
    let tracked_since = tracked_since.expect("the root was adopted");
    let tracked: BTreeSet<i32> = probe
        .tracked()
        .unwrap()
        .into_iter()
        .map(|process| process.tgid.0.cast_signed())
        .collect();
    // SAFETY: the group this test made.
    unsafe { libc::kill(-root, libc::SIGKILL) };
    reap(root, true);

    assert!(adoption.converged, "{adoption:?}");
    let mut in_danger = 0;
    for line in written(&reader).lines() {
        let mut numbers = line.split(' ').map(|word| word.parse::<u64>().unwrap());
        let [daemon, born, orphaned] = std::array::from_fn(|_| numbers.next().unwrap());
        let daemon = i32::try_from(daemon).unwrap();
        if orphaned > tracked_since {
            assert!(
                tracked.contains(&daemon),
                "{daemon}, born {born}, lost its parent {} ns after the root was tracked",
                orphaned - tracked_since
            );
            in_danger += usize::from(born < tracked_since);
        }
    }
    in_danger
}

/// One daemon after the other: "pid, when it was born, when its parent was about to end".
fn make_daemons(log: &std::fs::File) -> i32 {
    for _ in 0..DAEMONS {
        let middle = fork(|| {
            let daemon = fork(pause);
            let born = boot_ns();
            // Not a wait for anything: the life of a process that does something.
            while boot_ns() < born + 200_000 {}
            let line = format!("{daemon} {born} {}\n", boot_ns());
            let mut log = log;
            log.write_all(line.as_bytes()).unwrap();
            0
        });
        reap(middle, true);
    }
    pause()
}

fn pause() -> i32 {
    // SAFETY: waits to be killed.
    unsafe { libc::pause() };
    0
}

fn boot_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}
