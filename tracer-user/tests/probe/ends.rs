//! How processes end: the status is the process's, not its leader's, and the event comes once.

use std::{ffi::CString, thread};

use crate::watch::{Seen, fork, reap, watch};

/// Ends the calling thread alone.
fn exit_thread(code: i32) -> ! {
    // SAFETY: does not return.
    unsafe { libc::syscall(libc::SYS_exit, code) };
    unreachable!("a thread does not survive its exit")
}

/// Waits until the leader of this process is a zombie.
fn wait_for_leader() {
    let pid = std::process::id();
    let leader = format!("/proc/{pid}/task/{pid}/stat");
    while std::fs::read_to_string(&leader)
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").starts_with(" Z"))
    {
        thread::yield_now();
    }
}

fn exit_process() {
    // SAFETY: ends this process.
    unsafe { libc::_exit(7) };
}

fn kill_self() {
    // SAFETY: ends this process.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
}

/// A process whose leader ends with 3 at once, and whose other thread does `end`.
fn leader_first(end: fn()) -> Seen {
    watch(move || {
        thread::spawn(move || {
            wait_for_leader();
            end();
        });
        exit_thread(3)
    })
}

#[test]
fn when_the_leader_goes_first_the_status_is_the_processs() {
    // When the last thread ends only itself, kernels differ: newer ones take its code, older ones the
    // leader's.
    let ends = [
        (exit_process as fn(), &[0x700][..]),
        (|| exit_thread(5), &[0x500, 0x300]),
        (kill_self, &[0x9]),
    ];
    for (end, statuses) in ends {
        let seen = leader_first(end);
        seen.assert_whole();
        assert!(statuses.contains(&seen.status), "wait4: {:#x}", seen.status);
        let exit = seen.exit_of(seen.root);
        assert_eq!(exit.status.cast_signed(), seen.status);
        assert_eq!(exit.threads, 2);
        assert!(!exit.totals.partial);
    }
}

#[test]
fn threads_emit_nothing_and_are_counted() {
    let seen = watch(|| {
        let threads: Vec<_> = (0..20).map(|_| thread::spawn(|| ())).collect();
        for thread in threads {
            let _ = thread.join();
        }
        0
    });
    seen.assert_whole();
    assert_eq!(
        seen.events.len(),
        2,
        "the adopted root and its end: {:?}",
        seen.events
    );
    assert_eq!(seen.counters.threads, 20);
    assert_eq!(seen.exit_of(seen.root).threads, 21);
}

#[test]
fn threads_that_all_leave_together_make_one_exit() {
    const PROCESSES: usize = 300;
    let seen = watch(|| {
        for round in 0..PROCESSES {
            let pid = fork(|| {
                let barrier = std::sync::Arc::new(std::sync::Barrier::new(5));
                for _ in 0..4 {
                    let barrier = barrier.clone();
                    thread::spawn(move || {
                        barrier.wait();
                        exit_thread(1)
                    });
                }
                barrier.wait();
                exit_thread(i32::try_from(round % 200).unwrap())
            });
            reap(pid, true);
        }
        0
    });
    seen.assert_whole();
    assert_eq!(seen.exits().count(), PROCESSES + 1);
    // The last to come by sends the event, so nobody's share is missing.
    assert_eq!(seen.counters.totals_partial, 0);
    let short = seen
        .exits()
        .filter(|exit| exit.process.tgid.0.cast_signed() != seen.root);
    assert!(
        short
            .clone()
            .all(|exit| exit.threads == 5 && !exit.totals.partial)
    );
}

#[test]
fn exec_by_another_thread_is_an_exec_and_no_exit() {
    let seen = watch(|| {
        thread::spawn(|| {
            let path = CString::new("/bin/true").unwrap();
            let argv = [path.as_ptr(), std::ptr::null()];
            // SAFETY: valid, NULL-terminated strings.
            unsafe { libc::execv(path.as_ptr(), argv.as_ptr()) };
        });
        loop {
            // SAFETY: waits to be replaced.
            unsafe { libc::pause() };
        }
    });
    seen.assert_whole();
    let exec = seen.execs().next().expect("an exec");
    let exit = seen.exit_of(seen.root);
    assert_ne!(exec.caller_tid.cast_signed(), seen.root);
    assert_eq!(exec.process.key, exit.process.key);
    assert_eq!((exit.status, exit.execs, exec.exec_no), (0, 1, 1));
    // The old leader, and the thread that took its place.
    assert_eq!(exit.threads, 2);
}

#[test]
fn a_signal_tells_its_sender_and_whether_it_arrived() {
    let seen = watch(|| {
        let child = fork(|| {
            // SAFETY: waits to be killed; SIGUSR1 is ignored before.
            unsafe {
                libc::signal(libc::SIGUSR1, libc::SIG_IGN);
                libc::raise(libc::SIGSTOP);
                libc::pause();
            }
            0
        });
        let mut status = 0;
        // SAFETY: a child of this process.
        unsafe {
            libc::waitpid(child, &raw mut status, libc::WUNTRACED);
            libc::kill(child, libc::SIGUSR1);
            libc::kill(child, libc::SIGTERM);
            libc::kill(child, libc::SIGCONT);
        }
        reap(child, true);
        // SAFETY: a timer of the kernel's, and its end by it.
        unsafe {
            libc::alarm(1);
            libc::pause();
        }
        0
    });
    seen.assert_whole();
    let of = |signal| {
        seen.signals()
            .find(|found| found.signal == signal)
            .expect("a signal")
    };
    let term = of(libc::SIGTERM);
    assert_eq!((term.code, term.result, term.group), (0, 0, true));
    assert_eq!(term.sender.tgid.0.cast_signed(), seen.root);
    assert!(!term.from_kernel);
    assert_eq!(of(libc::SIGUSR1).result, 1, "ignored");
    let alarm = of(libc::SIGALRM);
    assert!(alarm.from_kernel, "{alarm:?}");
    assert_eq!(seen.exit_of(seen.root).status, 14);
    assert!(
        seen.signals().all(|signal| signal.signal != libc::SIGCHLD),
        "the news that a child ended is in its exit"
    );
}
