//! What processes used: against `wait4` and `/proc/self/io`.

use std::{
    fs,
    hint::black_box,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::watch::{fork, reap, watch};

const MB: usize = 1 << 20;

/// CPU time of the calling thread.
fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap()
}

/// Makes `size` bytes resident.
fn touch(size: usize) -> Vec<u8> {
    let mut bytes = vec![0_u8; size];
    for page in bytes.chunks_mut(4096) {
        page[0] = 1;
    }
    black_box(bytes)
}

#[test]
fn peak_memory_is_what_wait4_says() {
    let seen = watch(|| {
        drop(touch(64 * MB));
        0
    });
    seen.assert_whole();
    let totals = seen.exit_of(seen.root).totals;
    assert_eq!(totals.peak_rss_kb.cast_signed(), seen.usage.ru_maxrss);
    assert!(totals.peak_rss_kb > 64 * 1024);
    assert!(!totals.peak_rss_upper_bound);
}

#[test]
fn an_image_does_not_inherit_the_peak_of_the_one_before() {
    let seen = watch(|| {
        let ballast = touch(64 * MB);
        // By vfork: the child begins on this memory.
        let _ = Command::new("/bin/true").status();
        drop(ballast);
        0
    });
    seen.assert_whole();
    let child = seen
        .exits()
        .find(|exit| exit.process.tgid.0.cast_signed() != seen.root)
        .unwrap();
    // Either the image's own peak, which is small, or a bound that says it is one.
    assert!(
        child.totals.peak_rss_upper_bound || child.totals.peak_rss_kb < 16 * 1024,
        "{:?}",
        child.totals
    );
}

#[test]
fn times_faults_and_switches_are_those_of_all_threads() {
    let seen = watch(|| {
        let threads: Vec<_> = (0..3)
            .map(|_| {
                thread::spawn(|| {
                    let begun = Instant::now();
                    while begun.elapsed() < Duration::from_millis(60) {
                        black_box(touch(MB / 4));
                    }
                    for _ in 0..20 {
                        thread::sleep(Duration::from_micros(10));
                    }
                })
            })
            .collect();
        for thread in threads {
            let _ = thread.join();
        }
        0
    });
    seen.assert_whole();
    let totals = seen.exit_of(seen.root).totals;
    assert!(!totals.partial);
    let us = |time: libc::timeval| time.tv_sec * 1_000_000 + time.tv_usec;
    let near = |what: &str, ours: u64, theirs: i64, slack: i64| {
        let missing = theirs - ours.cast_signed();
        assert!(
            (-2..=slack).contains(&missing),
            "{what}: {ours}, wait4 {theirs}"
        );
    };
    // What the last thread does after the hook is missing: tearing down its memory, one switch.
    let cpu = totals.cpu_user_us + totals.cpu_system_us;
    near(
        "cpu µs",
        cpu,
        us(seen.usage.ru_utime) + us(seen.usage.ru_stime),
        20_000,
    );
    near("minor faults", totals.faults_minor, seen.usage.ru_minflt, 2);
    near("major faults", totals.faults_major, seen.usage.ru_majflt, 2);
    near(
        "voluntary",
        totals.ctx_switches_voluntary,
        seen.usage.ru_nvcsw,
        5,
    );
    // Each thread may be preempted any number of times after its hook, as it frees what it has; whoever
    // else is at work on this machine decides how often.
    near(
        "involuntary",
        totals.ctx_switches_involuntary,
        seen.usage.ru_nivcsw,
        200,
    );
    assert!(totals.ctx_switches_involuntary > 0);
    assert!(totals.ctx_switches_voluntary >= 60);
    assert!(totals.wall_ns >= 60_000_000);
}

/// `write_bytes` of this process, all threads, as the kernel says it.
fn written_by_self() -> u64 {
    let io = fs::read_to_string("/proc/self/io").unwrap();
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line.unwrap().parse().unwrap()
}

#[test]
fn block_writes_are_what_proc_io_says() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let (data, says) = (folder.path().join("data"), folder.path().join("says"));
    let seen = watch(|| {
        let mut file = fs::OpenOptions::new()
            .create_new(true)
            .write(true)
            .custom_flags(libc::O_DSYNC)
            .open(&data)
            .unwrap();
        let writer = thread::spawn(move || file.write_all(&vec![7; 300 << 10]).unwrap());
        writer.join().unwrap();
        let before = written_by_self();
        fs::write(&says, before.to_string()).unwrap();
        // What saying it has dirtied counts too.
        i32::from(written_by_self() < before)
    });
    seen.assert_whole();
    assert_eq!(seen.status, 0);
    let said: u64 = fs::read_to_string(&says).unwrap().parse().unwrap();
    let counted = seen
        .exit_of(seen.root)
        .totals
        .io_write_bytes
        .expect("I/O is accounted");
    assert!(
        (said..=said + (64 << 10)).contains(&counted),
        "{counted}, /proc says {said}"
    );
    let is_in_memory = rustix::fs::statfs(folder.path()).unwrap().f_type == TMPFS;
    assert!(is_in_memory || said >= 300 << 10, "{said}");
}

/// `TMPFS_MAGIC` (statfs(2)): its pages never reach a block device.
const TMPFS: i64 = 0x0102_1994;

#[test]
fn a_process_joined_while_it_runs_keeps_what_its_ended_threads_used() {
    // The thread burns before the release that follows the adoption, so it must be read from the
    // process's own sums.
    let seen = crate::watch::watch_prepared(
        || {
            let _ = thread::spawn(|| {
                while thread_cpu() < Duration::from_millis(50) {
                    black_box(0);
                }
            })
            .join();
        },
        || {
            reap(fork(|| 0), true);
            0
        },
    );
    seen.assert_whole();
    let totals = seen.exit_of(seen.root).totals;
    assert!(!totals.partial, "{totals:?}");
    assert!(
        totals.cpu_user_us + totals.cpu_system_us >= 48_000,
        "{totals:?}"
    );
}
