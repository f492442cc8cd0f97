//! A row is of the process it names, or there is none.

use std::{collections::BTreeSet, time::Instant};

use tracer::{
    procfs::{ProcRoot, ReadEnd},
    sampler::{Subject, wall::WallUs},
    units::Tgid,
};

use crate::{
    fixture::{DEADLINE, Fixture, now, sampler, subject},
    oracle::{open_descriptors, settle},
    roles::become_nobody,
};

/// A child that only waits to be killed, with a chosen pid.
pub(crate) struct Numbered(libc::pid_t);

impl Numbered {
    /// Makes a process with the number `pid`, 0 for any.
    pub(crate) fn start(pid: libc::pid_t) -> Self {
        let deadline = Instant::now() + DEADLINE;
        loop {
            // SAFETY: all zeros is a valid clone_args.
            let mut args = unsafe { std::mem::zeroed::<libc::clone_args>() };
            args.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
            if pid != 0 {
                args.set_tid = (&raw const pid) as u64;
                args.set_tid_size = 1;
            }
            // SAFETY: `args` and `pid` outlive the call; without CLONE_VM this is a fork, whose child
            // makes only system calls.
            let result =
                unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of_val(&args)) };
            if result == 0 {
                loop {
                    // SAFETY: takes nothing, changes nothing.
                    unsafe { libc::pause() };
                }
            }
            if result > 0 {
                return Self(libc::pid_t::try_from(result).unwrap());
            }
            let error = std::io::Error::last_os_error();
            // Another test may have the number for a moment.
            assert_eq!(
                error.raw_os_error(),
                Some(libc::EEXIST),
                "clone3 set_tid: {error}"
            );
            assert!(Instant::now() < deadline, "pid {pid} does not get free");
            std::thread::yield_now();
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.cast_unsigned()
    }
}

impl Drop for Numbered {
    fn drop(&mut self) {
        // SAFETY: our own child, not reaped yet; a null status is allowed.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

/// Ends a process and gives its number to another one that started at another tick.
pub(crate) fn reuse(old: Numbered) -> Numbered {
    let (number, before) = (old.0, subject(old.pid()));
    drop(old);
    let deadline = Instant::now() + DEADLINE;
    loop {
        let next = Numbered::start(number);
        if subject(next.pid()) != before {
            return next;
        }
        assert!(Instant::now() < deadline, "the clock does not tick");
    }
}

#[test]
fn a_number_in_use_again_gives_no_row() {
    let old = Numbered::start(0);
    let before = subject(old.pid());
    let mut sampler = sampler();
    assert!(sampler.one(now(&sampler), &before).is_ok());
    let next = reuse(old);
    let after = subject(next.pid());
    let tick = sampler.tick(now(&sampler), [before, after]);
    assert_eq!(tick.ends.len(), 1);
    assert!(matches!(tick.ends[0], (tgid, ReadEnd::Gone) if tgid == before.tgid));
    assert_eq!(tick.rows.len(), 1);
    assert_eq!(
        tick.rows[0].row.starttime_ticks,
        after.starttime_ticks.unwrap().0
    );
    // Nothing of the old one is taken over: this is the first row of a new process.
    assert_eq!(tick.rows[0].row.cpu_percent, None);
}

#[test]
fn a_directory_that_is_held_never_turns_into_another_process() {
    let root = ProcRoot::open("/proc").unwrap();
    let old = Numbered::start(0);
    let held = root.process(Tgid(old.pid())).unwrap();
    let identity = held.identity().unwrap();
    let next = reuse(old);
    assert!(matches!(held.stat(), Err(ReadEnd::Gone)));
    assert!(matches!(held.status(), Err(ReadEnd::Gone)));
    assert!(matches!(held.oom_score(), Err(ReadEnd::Gone)));
    assert!(matches!(held.io(), Err(ReadEnd::Gone)));
    assert!(matches!(held.fd_count(), Err(ReadEnd::Gone)));
    assert!(matches!(held.sockets(&mut Vec::new()), Err(ReadEnd::Gone)));
    assert!(matches!(held.tasks(&mut Vec::new()), Err(ReadEnd::Gone)));
    assert!(matches!(held.children(), Err(ReadEnd::Gone)));
    assert!(matches!(held.cmdline(), Err(ReadEnd::Gone)));
    assert!(matches!(held.exe(), Err(ReadEnd::Gone)));
    assert!(matches!(held.thread(next.pid()), Err(ReadEnd::Gone)));
    assert_ne!(
        root.process(identity.tgid).unwrap().identity().unwrap(),
        identity
    );
}

#[test]
fn a_process_whose_start_is_unknown_is_not_read() {
    let fixture = Fixture::start("rest");
    let mut sampler = sampler();
    let unknown = Subject {
        starttime_ticks: None,
        ..subject(fixture.pid())
    };
    let end = sampler.one(now(&sampler), &unknown).unwrap_err();
    assert!(matches!(end, ReadEnd::Failed(_)), "{end}");
    assert!(end.to_string().contains("start time is unknown"), "{end}");
}

#[test]
fn processes_that_vanish_while_they_are_read_are_gone_and_nothing_else() {
    let mut crowd = Fixture::start("crowd:150");
    let subjects: Vec<_> = crowd
        .ready
        .split(' ')
        .map(|pid| subject(pid.parse().unwrap()))
        .collect();
    let mut sampler = sampler();
    assert_eq!(
        sampler.tick(now(&sampler), subjects.clone()).rows.len(),
        150
    );
    crowd.release();
    let deadline = Instant::now() + DEADLINE;
    let mut cut_short = 0;
    loop {
        let tick = sampler.tick(now(&sampler), subjects.clone());
        for (tgid, end) in &tick.ends {
            assert!(matches!(end, ReadEnd::Gone), "{tgid}: {end}");
        }
        for sample in &tick.rows {
            for (key, why) in &sample.row.unread {
                let normal = why == "zombie"
                    || why == "read failed: the process is exiting"
                    || (key == "threads" && why == "read failed: the process is being released")
                    || (key == "cpu_percent" && why == "too soon after the row before");
                assert!(normal, "{}: {key}: {why}", sample.row.pid);
                cut_short += 1;
            }
            // What it released is never shown as zero.
            assert_ne!(sample.row.vm_rss_kb, Some(0));
        }
        if tick.rows.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "they do not end");
    }
    println!("{cut_short} fields were cut short");
    assert_eq!(sampler.remembered(), 0);
}

#[test]
fn the_process_of_another_user_denies_what_is_its_own_business() {
    let fixture = Fixture::start("tcp4");
    let rest = settle(fixture.pid(), 'S');
    let subject = subject(fixture.pid());
    // The ids of one thread; its capabilities go with them.
    let row = std::thread::spawn(move || {
        become_nobody();
        let mut sampler = sampler();
        let row = sampler.one(now(&sampler), &subject).unwrap().row;
        let end = sampler
            .root()
            .process(subject.tgid)
            .unwrap()
            .exe()
            .unwrap_err();
        assert!(matches!(end, ReadEnd::Denied), "{end}");
        row
    })
    .join()
    .unwrap();
    let denied = ["io_read_bytes", "io_write_bytes", "net_established"];
    let reasons: Vec<_> = row
        .unread
        .iter()
        .map(|(key, why)| (key.as_str(), why.as_str()))
        .filter(|(key, _)| *key != "fd_count")
        .collect();
    assert_eq!(reasons, denied.map(|key| (key, "denied")));
    assert_eq!(
        (row.io_read_bytes, row.io_write_bytes, row.net_established),
        (None, None, None)
    );
    // Counting is for everyone where the directory has a size; what was counted is true.
    let count = open_descriptors(&rest);
    assert!(row.fd_count.is_none_or(|shown| shown == count));
    assert_eq!(row.wchan.as_deref(), Some(""), "hidden");
    assert_eq!(
        row.fd_soft_limit,
        crate::fixture::row(fixture.pid()).fd_soft_limit
    );
    assert_eq!(row.vm_rss_kb, rest.status().unwrap().vmrss);
}

#[test]
fn memory_is_kept_for_the_processes_of_the_last_tick_alone() {
    let crowd = Fixture::start("crowd:90");
    let subjects: Vec<_> = crowd
        .ready
        .split(' ')
        .map(|pid| subject(pid.parse().unwrap()))
        .collect();
    let mut sampler = sampler();
    sampler.tick(now(&sampler), subjects.clone());
    assert_eq!(sampler.remembered(), 90);
    let tick = sampler.tick(now(&sampler), subjects[..3].to_vec());
    assert_eq!((tick.rows.len(), sampler.remembered()), (3, 3));
    sampler.tick(now(&sampler), []);
    assert_eq!(sampler.remembered(), 0);
}

#[test]
fn totals_are_the_sums_of_the_rows() {
    let fixtures = ["rest", "threads:3", "fds:40"].map(Fixture::start);
    for fixture in &fixtures {
        settle(fixture.pid(), 'S');
    }
    let mut sampler = sampler();
    let tick = sampler.tick(
        now(&sampler),
        fixtures.each_ref().map(|it| subject(it.pid())),
    );
    let sum = |field: fn(&tracer::snapshot::SnapshotRow) -> Option<u64>| {
        tick.rows
            .iter()
            .map(|it| field(&it.row).unwrap())
            .sum::<u64>()
    };
    assert_eq!(tick.totals.processes, 3);
    assert_eq!(tick.totals.threads, 1 + 4 + 1);
    assert_eq!(tick.totals.rss_kb, sum(|row| row.vm_rss_kb));
    assert_eq!(tick.totals.fds, sum(|row| row.fd_count));
}

#[test]
fn rows_are_ordered_by_their_time_also_when_the_clock_is_set_back() {
    let fixtures = ["rest", "rest", "rest"].map(Fixture::start);
    let subjects = fixtures.each_ref().map(|it| subject(it.pid()));
    let mut sampler = sampler();
    let mut time = now(&sampler);
    let mut stamps = Vec::new();
    for _ in 0..3 {
        let tick = sampler.tick(time, subjects);
        stamps.push(tick.totals.captured_at);
        stamps.extend(tick.rows.into_iter().map(|it| it.row.captured_at));
        time.wall = WallUs(time.wall.0 - 3_600_000_000);
    }
    assert_eq!(stamps.len(), 12);
    assert!(stamps.is_sorted());
    assert_eq!(stamps.iter().collect::<BTreeSet<_>>().len(), 12);
}

#[test]
fn a_tick_makes_as_many_calls_however_many_other_processes_there_are() {
    let calls = || {
        let io = std::fs::read_to_string("/proc/thread-self/io").unwrap();
        let line = io.lines().find(|line| line.starts_with("syscr")).unwrap();
        line.split(' ').nth(1).unwrap().parse::<u64>().unwrap()
    };
    let fixture = Fixture::start("rest");
    settle(fixture.pid(), 'S');
    let subject = subject(fixture.pid());
    let mut sampler = sampler();
    let mut cost = || {
        let before = calls();
        assert_eq!(sampler.tick(now(&sampler), [subject]).rows.len(), 1);
        calls() - before
    };
    // The first tick also looks for what there is to read on this host.
    cost();
    let alone = cost();
    let _crowd = Fixture::start("crowd:300");
    assert_eq!(cost(), alone);
    assert!(alone < 24, "{alone} reads a row");
}
