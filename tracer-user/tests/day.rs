//! A long session, folded: what it takes in time, and what stays in memory, counted by the allocator.
//!
//! One test only: another thread's allocations would be counted too.

#![expect(clippy::unwrap_used, reason = "a test that cannot get on fails")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use serde_json::json;
use tracer::{
    event::{EventKind, Exit, ExitTotals},
    session::{
        derive::{Fold, RULES},
        id::SessionId,
        journal::{
            info::{Backend, ClockPair, Mode, ObserverInfo, RootInfo, SessionInfo, TickRule},
            record::{Body, End, Note, ObserverEnding, SnapshotEvent},
        },
        summary::Summarizer,
    },
    units::{BootNs, Comm, Process},
};

#[path = "../src/event/made.rs"]
mod made;

use made::{Told as _, exec, exit, fork, process};

/// Bytes that are allocated now.
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: everything is the system allocator's; it is only counted besides.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What the bounded tables of names and commands take between their emptiest and their fullest.
const TABLES: usize = 1 << 20;
const SECOND: u64 = 1_000_000_000;
const ROOT: u32 = 10;

/// A session that is told record by record.
struct Told {
    fold: Summarizer,
    seq: u64,
    t: u64,
}

impl Told {
    fn begin() -> Self {
        let info = SessionInfo {
            session_id: SessionId::new(jiff::Timestamp::UNIX_EPOCH, [0; 4]),
            epoch: 0,
            boot_id: String::new(),
            clock: ClockPair {
                boot: BootNs(SECOND),
                wall: jiff::Timestamp::UNIX_EPOCH,
            },
            tick_rule: TickRule::default(),
            observer: ObserverInfo {
                pid: 2,
                starttime_ticks: None,
                version: String::new(),
                pid_ns: None,
                rules: RULES,
            },
            root: RootInfo {
                pid: ROOT,
                starttime_ticks: None,
                start: None,
                comm: Comm::default(),
                cmdline: Vec::new(),
            },
            mode: Mode::Run,
            command: Vec::new(),
            cwd: Vec::new(),
            interval: Duration::from_secs(5),
            labels: BTreeMap::new(),
            backend: Backend::Ebpf,
            degraded: Vec::new(),
            hostname: String::new(),
            uid: 0,
            object: BTreeMap::new(),
            redact: true,
            redacted: 0,
            attachments: Vec::new(),
        };
        let mut told = Self {
            fold: Summarizer::new(info),
            seq: 0,
            t: 2 * SECOND,
        };
        let root = process(ROOT, SECOND);
        told.event(fork(root, process(2, 0)).told());
        told.take(&Body::Note(Box::new(Note::armed())));
        told.event(exec(root, &["/usr/bin/daemon"]).told());
        told
    }

    fn take(&mut self, body: &Body) {
        self.fold.apply(self.seq, BootNs(self.t), body);
        self.seq += 1;
    }

    fn event(&mut self, event: EventKind) {
        self.t += 1000;
        let body = Body::Event(event);
        self.take(&body);
    }

    /// A process of this number that executes something and ends.
    fn short(&mut self, pid: u32, program: &str) {
        let root = process(ROOT, SECOND);
        let child = process(pid, self.t);
        self.event(fork(child, root).told());
        self.event(exec(child, &[program]).told());
        self.end(child, root);
    }

    /// It ends, and has cost what all do.
    fn end(&mut self, process: Process, parent: Process) {
        let totals = ExitTotals {
            cpu_user_us: 3,
            peak_rss_kb: 1000,
            ..ExitTotals::default()
        };
        let exit = exit(process, parent, 0);
        self.event(Exit { totals, ..exit }.told());
    }

    /// A tick, and rows of the root and of some others.
    fn tick(&mut self, rows: u32) {
        self.t += 5 * SECOND;
        let totals = json!({"captured_at": "", "processes": rows, "threads": rows, "rss_kb": 900,
            "cpu_percent": 1.0, "fds": 3, "missed_ticks": 0});
        let totals = serde_json::from_value(totals).unwrap();
        self.take(&Body::Tick(Box::new(totals)));
        for n in 0..rows {
            let row = json!({"captured_at": "", "pid": ROOT + n, "starttime_ticks": 100,
                "role": "workload", "comm": "daemon", "state": "sleeping", "vm_rss_kb": 900,
                "vm_hwm_kb": 950, "cpu_us": self.t / 1_000_000});
            let row = serde_json::from_value(row).unwrap();
            let event = SnapshotEvent::Snapshot;
            self.take(&Body::Snapshot { row, event });
        }
    }
}

#[test]
fn a_day_and_a_quarter_of_a_million_processes_take_seconds_and_leave_nothing_in_memory() {
    let begun = Instant::now();
    let mut told = Told::begin();
    let mut settled = 0;
    for n in 0..250_000_u32 {
        // Every program has a name of its own: the worst case.
        told.short(100 + n % 30_000, &format!("/opt/{n}"));
        if n == 50_000 {
            settled = ALLOCATED.load(Ordering::Relaxed);
        }
    }
    let grown = ALLOCATED.load(Ordering::Relaxed).saturating_sub(settled);
    assert!(
        grown < TABLES,
        "{grown} bytes more than after the first fifth"
    );
    let the_processes = begun.elapsed();

    let begun = Instant::now();
    for _ in 0..24 * 3600 / 5 {
        told.tick(10);
    }
    let a_day = begun.elapsed();
    let grown = ALLOCATED.load(Ordering::Relaxed).saturating_sub(settled);
    assert!(grown < TABLES, "{grown} bytes more after a day");

    told.end(process(ROOT, SECOND), process(2, 0));
    told.take(&Body::End(Box::new(End {
        ending: ObserverEnding::Completed,
        cause: String::new(),
        counts: tracer::session::journal::record::Counts::default(),
    })));
    let summary = told.fold.finish();
    assert_eq!(summary.totals.processes, 250_001);
    assert_eq!(summary.totals.cpu_user_us, 750_003);
    assert_eq!(summary.snapshot_count, 172_800);
    assert!(summary.costs.commands.len() <= 60);
    let rest = summary.costs.rest.expect("most of them");
    let listed: u64 = summary
        .costs
        .commands
        .iter()
        .map(|one| one.figures.processes)
        .sum();
    assert_eq!(listed + rest.figures.processes, 250_001);
    // Some 6 s and 2 s without optimization, where nobody else wants the processors.
    let bound = Duration::from_secs(120);
    assert!(
        the_processes < bound && a_day < bound,
        "{the_processes:?} {a_day:?}"
    );
}
