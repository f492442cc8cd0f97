//! A process tree of the test's own, held until it is tracked, and everything the probe saw of it.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    pipe::{PipeFlags, pipe_with},
};
use tracer::{
    event::{Event, EventKind, Exec, Exit, Fork, Signal},
    probe::{
        attached::{Adoption, Attached, Counters},
        decode::{DecodeUnits, decode},
        loader::{Loader, Settings},
        ring::RingMap,
    },
    units::Tgid,
};

/// Longest any tree here may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// A forked child that waits for [`Held::release`] before it does its work.
pub(crate) struct Held {
    pub(crate) pid: i32,
    go: OwnedFd,
}

/// Forks; the child exits with what `work` returns, 98 when it panics.
pub(crate) fn fork(work: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child does what glibc supports after fork (its allocator is usable) and leaves by
    // _exit.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid == 0 {
        let work = std::panic::AssertUnwindSafe(work);
        let code = std::panic::catch_unwind(work).unwrap_or(98);
        // SAFETY: ends the child.
        unsafe { libc::_exit(code) };
    }
    pid
}

/// Forks a child that, once released, does `work` and exits with what it returns.
pub(crate) fn hold(work: impl FnOnce() -> i32) -> Held {
    hold_prepared(|| (), work)
}

fn hold_prepared(before: impl FnOnce(), work: impl FnOnce() -> i32) -> Held {
    let (wait, go) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let go = File::from(go);
    let pid = fork(|| {
        // Without its own end of the pipe the child notices when the test is gone.
        // SAFETY: this process's copy of the descriptor, used no more.
        unsafe { libc::close(std::os::fd::AsRawFd::as_raw_fd(&go)) };
        before();
        let mut byte = [0];
        match File::from(wait).read(&mut byte) {
            Ok(1) => work(),
            _ => 99,
        }
    });
    Held { pid, go: go.into() }
}

impl Held {
    /// Lets it begin.
    pub(crate) fn release(self) -> i32 {
        File::from(self.go).write_all(b"g").unwrap();
        self.pid
    }
}

/// What was seen of one tree.
pub(crate) struct Seen {
    pub(crate) root: i32,
    /// The root's own wait status.
    pub(crate) status: i32,
    /// Its resources, as wait4 says.
    pub(crate) usage: libc::rusage,
    pub(crate) events: Vec<Event>,
    pub(crate) adoption: Adoption,
    pub(crate) counters: Counters,
    /// Processes still in the kernel side's map.
    pub(crate) tracked: usize,
}

/// How the ring is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// All the time.
    Live,
    /// Only after everything is over.
    Afterwards,
}

/// Runs `work` in a tracked child and returns all that was seen of it.
pub(crate) fn watch(work: impl FnOnce() -> i32) -> Seen {
    watch_with(Settings::default(), Reading::Live, work)
}

/// As [`watch`]; `before` is done by the child before it is adopted.
pub(crate) fn watch_prepared(before: impl FnOnce(), work: impl FnOnce() -> i32) -> Seen {
    let (ready, say_ready) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let held = hold_prepared(
        || {
            before();
            File::from(say_ready).write_all(b"r").unwrap();
        },
        work,
    );
    File::from(ready).read_exact(&mut [0]).unwrap();
    observe(Settings::default(), Reading::Live, held)
}

/// As [`watch`], with a ring of another size, or read late.
pub(crate) fn watch_with(settings: Settings, reading: Reading, work: impl FnOnce() -> i32) -> Seen {
    observe(settings, reading, hold(work))
}

fn observe(settings: Settings, reading: Reading, held: Held) -> Seen {
    let mut probe = attach(settings);
    let adoption = probe.adopt(Tgid(held.pid.cast_unsigned())).unwrap();
    let mut ring = probe.take_ring().unwrap().unwrap();
    let root = held.release();
    let mut events = Vec::new();
    let begun = Instant::now();
    let (status, usage) = loop {
        if reading == Reading::Live {
            drain(&mut ring, &mut events);
            wait_readable(&ring);
        }
        if let Some(end) = reap(root, reading == Reading::Afterwards) {
            break end;
        }
        assert!(
            begun.elapsed() < DEADLINE,
            "process {root} is still running"
        );
    };
    drain(&mut ring, &mut events);
    #[cfg(feature = "log")]
    probe.print_log();
    Seen {
        root,
        status,
        usage,
        events,
        adoption,
        counters: probe.losses().unwrap(),
        tracked: probe.tracked().unwrap().len(),
    }
}

/// Looks again and again until it is so.
pub(crate) fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(
            begun.elapsed() < DEADLINE,
            "{what}: not within {DEADLINE:?}"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A running probe.
pub(crate) fn attach(settings: Settings) -> Attached {
    Loader::new(settings)
        .load()
        .and_then(tracer::probe::loader::Loaded::attach)
        .unwrap_or_else(|error| panic!("these tests need root and eBPF: {error}"))
}

/// Takes everything out of the ring.
pub(crate) fn drain(ring: &mut RingMap, events: &mut Vec<Event>) {
    let page_kb = rustix::param::page_size() as u64 / 1024;
    while let Some(record) = ring.read_next() {
        events.push(decode(record, DecodeUnits { page_kb }).unwrap());
    }
    ring.release(ring.position());
}

fn wait_readable(ring: &RingMap) {
    let mut fds = [PollFd::new(ring, PollFlags::IN)];
    let pause = Timespec {
        tv_sec: 0,
        tv_nsec: 2_000_000,
    };
    let _ = poll(&mut fds, Some(&pause));
}

/// The end of `pid`, if it has ended.
pub(crate) fn reap(pid: i32, block: bool) -> Option<(i32, libc::rusage)> {
    let mut status = 0;
    let flags = if block { 0 } else { libc::WNOHANG };
    // SAFETY: all-zero is a valid rusage; wait4 fills both.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: valid pointers, a child of ours.
    let reaped = unsafe { libc::wait4(pid, &raw mut status, flags, &raw mut usage) };
    assert!(
        reaped >= 0,
        "wait4({pid}): {}",
        std::io::Error::last_os_error()
    );
    (reaped == pid).then_some((status, usage))
}

impl Seen {
    pub(crate) fn forks(&self) -> impl Iterator<Item = &Fork> {
        self.events.iter().filter_map(|event| match &event.kind {
            EventKind::Fork(fork) => Some(fork),
            _ => None,
        })
    }

    pub(crate) fn execs(&self) -> impl Iterator<Item = &Exec> {
        self.events.iter().filter_map(|event| match &event.kind {
            EventKind::Exec(exec) => Some(&**exec),
            _ => None,
        })
    }

    pub(crate) fn exits(&self) -> impl Iterator<Item = &Exit> + Clone {
        self.events.iter().filter_map(|event| match &event.kind {
            EventKind::Exit(exit) => Some(&**exit),
            _ => None,
        })
    }

    pub(crate) fn signals(&self) -> impl Iterator<Item = &Signal> {
        self.events.iter().filter_map(|event| match &event.kind {
            EventKind::Signal(signal) => Some(&**signal),
            _ => None,
        })
    }

    /// The exit of the process `pid`, which must be the only one of that pid.
    pub(crate) fn exit_of(&self, pid: i32) -> &Exit {
        let mut exits = self
            .exits()
            .filter(|exit| exit.process.tgid.0.cast_signed() == pid);
        let exit = exits.next().unwrap_or_else(|| panic!("no exit of {pid}"));
        assert!(exits.next().is_none(), "{pid} ended twice");
        exit
    }

    /// Nothing lost, nothing left, forks and exits in balance.
    pub(crate) fn assert_whole(&self) {
        assert_eq!(self.counters.lost(), 0, "{:?}", self.counters);
        assert_eq!(self.tracked, 0, "left in the map: {:?}", self.counters);
        assert!(self.adoption.converged(), "{:?}", self.adoption);
        assert_eq!(self.forks().count(), self.exits().count());
        // Accounts come when the kernel gets to it, also between the last look and the counters.
        let is_event = |event: &&Event| !matches!(event.kind, EventKind::Account(_));
        let events = self.events.iter().filter(is_event).count();
        assert_eq!(self.counters.events(), events as u64);
        assert!(self.counters.sent() >= self.events.len() as u64);
    }
}
