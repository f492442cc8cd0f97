//! Who loses its parent in the middle of an attach, and goes to one outside of the tree.

use std::{
    collections::BTreeSet,
    fs::File,
    io::Write as _,
    path::Path,
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use tracer::{event::EventKind, probe::loader::Settings, units::Tgid};

use crate::watch::{attach, drain, fork, hold, reap, wait_for};

const WORKERS: usize = 8;
/// Most daemons that each worker makes.
const DAEMONS: usize = 500;
/// Threads that a pass through all tasks meets before it comes to the daemons: it takes longer than a
/// daemon's parent has to live.
const IN_BETWEEN: usize = 1500;
/// How long a daemon's parent lives on.
const LIFE: Duration = Duration::from_millis(1);

/// Attaches in which nobody happened to lose its parent before one in which somebody did.
const TRIES: usize = 10;

#[test]
fn a_daemon_whose_parent_ends_during_the_attach_is_not_lost() {
    let found = (0..TRIES).any(|_| attached_among_daemons() > 0);
    assert!(found, "nobody lost its parent: this proves nothing");
}

/// Attaches once; how many lost their parent meanwhile, none of them missed.
fn attached_among_daemons() -> u32 {
    let mut probe = attach(Settings::default());
    let mut ring = probe.take_ring().unwrap().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (log, stop) = (folder.path().join("log"), folder.path().join("stop"));
    let log_file = File::create_new(&log).unwrap();
    let root_file = folder.path().join("root");
    let launcher = hold(|| {
        // SAFETY: no memory involved; a group, so that the test can end them all.
        unsafe { libc::setpgid(0, 0) };
        match fork_as_last() {
            0 => {
                for _ in 0..WORKERS {
                    fork(|| make_daemons(&log_file, &stop));
                }
            }
            root => std::fs::write(&root_file, root.to_string()).unwrap(),
        }
        pause()
    });
    let end = Arc::new(Barrier::new(IN_BETWEEN + 1));
    let threads: Vec<_> = (0..IN_BETWEEN)
        .map(|_| {
            let end = Arc::clone(&end);
            let builder = thread::Builder::new().stack_size(64 << 10);
            builder.spawn(move || end.wait()).unwrap()
        })
        .collect();
    let group = launcher.release();
    let lines = || -> Vec<[u64; 3]> {
        let text = std::fs::read_to_string(&log).unwrap();
        let numbers = |line: &str| -> Vec<u64> {
            line.split(' ').map(|word| word.parse().unwrap()).collect()
        };
        text.lines()
            .map(|line| numbers(line).try_into().unwrap())
            .collect()
    };
    wait_for("daemons of all workers", || lines().len() > WORKERS);
    let root = || {
        std::fs::read_to_string(&root_file)
            .ok()?
            .parse::<i32>()
            .ok()
    };
    wait_for("the root's pid", || root().is_some());
    let root = root().unwrap();
    let adoption = probe.adopt(Tgid(root.cast_unsigned())).unwrap();
    std::fs::write(&stop, "").unwrap();
    wait_for("all workers to stop", || {
        let stopped = lines().iter().filter(|line| line[0] == 0).count();
        stopped == WORKERS
    });
    let mut events = Vec::new();
    drain(&mut ring, &mut events);
    let tracked = probe.tracked().unwrap();
    // SAFETY: the group this test made.
    unsafe { libc::kill(-group, libc::SIGKILL) };
    reap(group, true);
    end.wait();
    for thread in threads {
        thread.join().unwrap();
    }

    assert!(adoption.converged(), "{adoption:?}");
    let tracked: BTreeSet<u64> = tracked.iter().map(|one| one.tgid.0.into()).collect();
    let tracked_since = events.iter().find_map(|event| match &event.kind {
        EventKind::Fork(fork) if fork.child.tgid.0 == root.cast_unsigned() => Some(event.t.0),
        _ => None,
    });
    let Some(tracked_since) = tracked_since else {
        panic!("the root was not adopted");
    };
    let mut in_danger = 0;
    for [daemon, born, orphaned] in lines() {
        if orphaned > tracked_since {
            assert!(
                tracked.contains(&daemon),
                "{daemon} lost its parent {} ns after the root was tracked: {adoption:?}",
                orphaned - tracked_since
            );
            in_danger += u32::from(born < tracked_since);
        }
    }
    in_danger
}

/// One daemon after the other: "pid, when it was born, when its parent was about to end"; zeros when all
/// are made.
fn make_daemons(mut log: &File, stop: &Path) -> i32 {
    for _ in 0..DAEMONS {
        let middle = fork(|| {
            let daemon = fork(pause);
            let born = boot_ns();
            thread::sleep(LIFE);
            let line = format!("{daemon} {born} {}\n", boot_ns());
            log.write_all(line.as_bytes()).unwrap();
            0
        });
        reap(middle, true);
        if stop.exists() {
            break;
        }
    }
    log.write_all(b"0 0 0\n").unwrap();
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

/// Forks a child of the highest pid that is free, above all others but few: a pass through all tasks
/// finds it after those that descend from it. 0 in the child. The caller has one thread.
fn fork_as_last() -> i32 {
    let max = std::fs::read_to_string("/proc/sys/kernel/pid_max").unwrap();
    let max: i32 = max.trim().parse().unwrap();
    // A look beforehand would not do: others take pids as well, and come to the last ones in their turn.
    (1..max).rev().find_map(clone_as).unwrap()
}

/// Forks a child of this pid: 0 in the child; `None` when the pid is taken.
fn clone_as(pid: i32) -> Option<i32> {
    // SAFETY: all zeros is a valid value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.exit_signal = libc::SIGCHLD.cast_unsigned().into();
    args.set_tid = (&raw const pid) as u64;
    args.set_tid_size = 1;
    // SAFETY: a plain fork; the arguments outlive the call.
    let made = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) };
    if made < 0 {
        let error = std::io::Error::last_os_error();
        assert_eq!(error.raw_os_error(), Some(libc::EEXIST), "clone3: {error}");
        return None;
    }
    Some(if made == 0 { 0 } else { pid })
}
