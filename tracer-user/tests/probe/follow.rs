//! Every process of a tree is seen, once, or its loss is counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{Read as _, Seek as _, Write as _},
    process::Command,
};

use tracer::{event::EventKind, probe::loader::Settings, units::Tgid};
use tracer_common::event::{KIND_EXIT, KIND_FORK};

use crate::watch::{Reading, Seen, attach, fork, hold, reap, wait_for, watch, watch_with};

/// Where a tree writes down what it does: one line for each child, "creator pid status".
struct Truth(File);

impl Truth {
    fn new() -> Self {
        Self(tempfile::tempfile().unwrap())
    }

    /// Waits for `pid` and writes down how it ended. One write, so lines of different processes do not
    /// mix: they share the file's position.
    fn wait(&self, pid: i32) {
        let (status, _) = reap(pid, true).unwrap();
        let line = format!("{} {pid} {status}\n", std::process::id());
        (&self.0).write_all(line.as_bytes()).unwrap();
    }

    /// All children: pid, creator, status.
    fn read(mut self) -> Vec<(i32, i32, i32)> {
        let mut text = String::new();
        self.0.rewind().unwrap();
        self.0.read_to_string(&mut text).unwrap();
        text.lines()
            .map(|line| {
                let mut numbers = line.split(' ').map(|word| word.parse().unwrap());
                let creator = numbers.next().unwrap();
                (numbers.next().unwrap(), creator, numbers.next().unwrap())
            })
            .collect()
    }
}

/// Children of many kinds, one after the other: `count` rounds of two.
#[expect(
    clippy::zombie_processes,
    reason = "waited for by its pid, which is written down"
)]
fn storm(truth: &Truth, count: i32) {
    for round in 0..count {
        truth.wait(fork(|| match round % 7 {
            0 => {
                // SAFETY: ends this process.
                unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
                0
            }
            1 => {
                truth.wait(fork(|| round % 256));
                1
            }
            _ => round % 256,
        }));
        if round % 3 == 0 {
            // By vfork; the true program's exit code is its argument's.
            let child = Command::new("/bin/sh")
                .args(["-c", &format!("exit {}", round % 256)])
                .spawn()
                .unwrap();
            truth.wait(child.id().cast_signed());
        }
    }
}

/// `workers` storms side by side.
fn storms(truth: &Truth, workers: i32, count: i32) -> i32 {
    let workers: Vec<_> = (0..workers)
        .map(|_| {
            fork(|| {
                storm(truth, count);
                0
            })
        })
        .collect();
    for worker in workers {
        truth.wait(worker);
    }
    0
}

type Ends = BTreeMap<(i32, i32), u32>;

fn multiset(ends: impl Iterator<Item = (i32, i32)>) -> Ends {
    let mut set = Ends::new();
    for end in ends {
        *set.entry(end).or_default() += 1;
    }
    set
}

fn seen_ends(seen: &Seen) -> Ends {
    multiset(
        seen.exits()
            .filter(|exit| exit.process.tgid.0.cast_signed() != seen.root)
            .map(|exit| (exit.process.tgid.0.cast_signed(), exit.status.cast_signed())),
    )
}

#[test]
fn a_storm_is_seen_whole_and_once() {
    let truth = Truth::new();
    let seen = watch(|| storms(&truth, 4, 350));
    let truth = truth.read();
    assert!(truth.len() > 2000, "{}", truth.len());
    seen.assert_whole();

    assert_eq!(
        seen_ends(&seen),
        multiset(truth.iter().map(|&(pid, _, status)| (pid, status)))
    );
    let made = |seen: &Seen| {
        multiset(seen.forks().filter(|fork| !fork.adopted).map(|fork| {
            (
                fork.child.tgid.0.cast_signed(),
                fork.creator.tgid.0.cast_signed(),
            )
        }))
    };
    assert_eq!(
        made(&seen),
        multiset(truth.iter().map(|&(pid, creator, _)| (pid, creator)))
    );
    let execs = 4 * 350_usize.div_ceil(3);
    assert_eq!(seen.execs().count(), execs);

    // In the ring a process begins before it ends, and its identity is the same at both.
    let mut alive = BTreeSet::new();
    for event in &seen.events {
        match &event.kind {
            EventKind::Fork(fork) => assert!(alive.insert(fork.child.key), "{fork:?}"),
            EventKind::Exit(exit) => assert!(alive.remove(&exit.process.key), "{exit:?}"),
            _ => {}
        }
    }
    assert!(alive.is_empty());
}

#[test]
fn a_tiny_ring_loses_exactly_what_it_says() {
    let truth = Truth::new();
    let settings = Settings {
        ring_bytes: 16 << 10,
        ..Settings::default()
    };
    let seen = watch_with(settings, Reading::Afterwards, || {
        storm(&truth, 300);
        0
    });
    let children = truth.read().len() as u64;
    let lost = seen.counters.ring_full;
    assert!(seen.counters.lost() > 0, "{:?}", seen.counters);
    assert_eq!(seen.tracked, 0, "tracking does not depend on the ring");
    // The root was adopted, and ended.
    let forks = seen.forks().count() as u64 + lost[usize::from(KIND_FORK)];
    let exits = seen.exits().count() as u64 + lost[usize::from(KIND_EXIT)];
    assert_eq!(
        (forks, exits),
        (children + 1, children + 1),
        "{:?}",
        seen.counters
    );
    assert_eq!(seen.counters.map_full, 0);
}

#[test]
fn a_full_map_is_counted_and_forgets_nobody_it_has() {
    const ALIVE: u64 = 20;
    let settings = Settings {
        tracked_max: 8,
        ..Settings::default()
    };
    let seen = watch_with(settings, Reading::Live, || {
        let children: Vec<_> = (0..ALIVE)
            .map(|_| {
                fork(|| {
                    // SAFETY: waits to be killed.
                    unsafe { libc::pause() };
                    0
                })
            })
            .collect();
        for pid in children {
            // SAFETY: a child of this process.
            unsafe { libc::kill(pid, libc::SIGTERM) };
            reap(pid, true);
        }
        0
    });
    let forks = seen.forks().count() as u64;
    assert_eq!(
        forks + seen.counters.map_full,
        ALIVE + 1,
        "{:?}",
        seen.counters
    );
    assert!(seen.counters.map_full > 0);
    assert_eq!(forks, seen.exits().count() as u64);
    assert_eq!(seen.tracked, 0);
}

/// Processes of the tree that is joined while it grows.
const GENERATIONS: usize = 100;

#[test]
fn attaching_in_the_middle_of_a_storm_misses_nobody_alive() {
    let mut probe = attach(Settings::default());
    let truth = Truth::new();
    // Each generation forks the next and stays; each also makes short-lived ones all the time.
    let held = hold(|| {
        grow(&truth, GENERATIONS);
        0
    });
    let root = held.release();
    // Wait until the tree is growing, then join it.
    let written = || std::fs::read_to_string(fd_path(&truth.0)).unwrap();
    wait_for("a growing tree", || written().lines().count() > 20);
    let adoption = probe.adopt(Tgid(root.cast_unsigned())).unwrap();
    assert!(adoption.converged() && adoption.passes >= 2, "{adoption:?}");
    // The last one says so, and nobody leaves.
    wait_for("the last one", || written().contains("done"));
    let lines = written();
    let staying: BTreeSet<u32> = lines
        .lines()
        .filter_map(|line| line.strip_prefix("stay ")?.parse().ok())
        .collect();
    let tracked: BTreeSet<u32> = probe
        .tracked()
        .unwrap()
        .into_iter()
        .map(|process| process.tgid.0)
        .collect();
    // SAFETY: the group this test made.
    unsafe { libc::kill(-root, libc::SIGKILL) };
    reap(root, true);
    assert_eq!(staying.len(), GENERATIONS);
    assert_eq!(tracked, staying);
}

/// A chain of processes that stay, with short-lived ones beside each.
fn grow(truth: &Truth, more: usize) {
    // The first one leads a group, so that the test can end them all.
    if more == GENERATIONS {
        // SAFETY: no memory involved.
        unsafe { libc::setpgid(0, 0) };
    }
    for _ in 0..3 {
        reap(fork(|| 0), true);
    }
    let _ = (&truth.0).write_all(format!("stay {}\n", std::process::id()).as_bytes());
    if more > 1 {
        fork(|| {
            grow(truth, more - 1);
            0
        });
    } else {
        let _ = (&truth.0).write_all(b"done\n");
    }
    // SAFETY: waits to be killed.
    unsafe { libc::pause() };
}

fn fd_path(file: &File) -> String {
    use std::os::fd::AsRawFd as _;
    format!("/proc/self/fd/{}", file.as_raw_fd())
}
