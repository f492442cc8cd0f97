//! What is recorded: processes that begin, execute and end one after the other, and a row of them now
//! and then. As many live at the end as at the beginning, so that whatever grows is the record's fault.

use std::{collections::BTreeMap, process::Command, time::Duration};

use tracer::{
    event::{EventKind, Exec, Exit, ExitTotals, Fork},
    procfs::ProcRoot,
    session::{
        Store,
        derive::RULES,
        journal::{
            info::{Backend, ClockPair, Mode, ObserverInfo, RootInfo, SessionInfo, TickRule},
            record::{Body, Note, ObserverEnding, Record, SnapshotEvent},
        },
        recorder::{EndInfo, Recorder},
        summary::Summarizer,
    },
    snapshot::{Role, SnapshotRow},
    units::{BootNs, Comm, ProcKey, Process, Tgid, Ticks},
};

/// The recorder as a real observation has it.
pub(crate) type Live = Recorder<Summarizer>;

/// One snapshot row among so many records.
const ROW_EACH: u64 = 16;

/// Records without end, always the same ones.
pub(crate) struct Story {
    root: Process,
    next: u64,
    process: u64,
}

impl Story {
    pub(crate) fn of(info: &SessionInfo) -> Self {
        Self {
            root: process(info.root.pid, BootNs(4_500_000_000)),
            next: 0,
            process: 0,
        }
    }

    /// How it begins: tracking is on, the root is there and has replaced its image.
    pub(crate) fn beginning(&mut self) -> Vec<Record> {
        let armed = Body::Note(Box::new(Note::armed()));
        let (root, at) = (self.root, self.next);
        let events = [fork(root, process(1, BootNs(1))), exec(root)];
        let bodies = std::iter::once(armed).chain(events.map(Body::Event));
        bodies.map(|body| record(at, body)).collect()
    }

    /// The next record.
    pub(crate) fn record(&mut self) -> Record {
        let n = self.next;
        self.next += 1;
        if n % ROW_EACH == ROW_EACH - 1 {
            return record(n, row(n, self.root));
        }
        let pid = u32::try_from(self.process / 3 % 4_000_000).expect("small") + 1000;
        let child = process(pid, BootNs(6_000_000_000 + self.process / 3 * 1_000_000));
        let step = self.process % 3;
        self.process += 1;
        let event = match step {
            0 => fork(child, self.root),
            1 => exec(child),
            _ => exit(child, self.root),
        };
        record(n, Body::Event(event))
    }

    /// So many records.
    pub(crate) fn records(&mut self, count: u64) -> Vec<Record> {
        (0..count).map(|_| self.record()).collect()
    }
}

fn record(n: u64, body: Body) -> Record {
    Record {
        t: BootNs(6_000_000_000 + n * 1_000),
        body,
    }
}

fn process(pid: u32, start: BootNs) -> Process {
    Process {
        key: ProcKey { init: pid, start },
        tgid: Tgid(pid),
        inner: pid,
    }
}

fn fork(child: Process, parent: Process) -> EventKind {
    EventKind::Fork(Fork {
        child,
        creator: parent,
        parent,
        comm: Comm::from_bytes(b"make"),
        depth: 3,
        uid: 1000,
        adopted: false,
    })
}

fn exec(process: Process) -> EventKind {
    let argv = [
        "/usr/bin/python3",
        "-m",
        "pytest",
        "tests/unit",
        "-k",
        "name and not other",
    ];
    EventKind::Exec(Box::new(Exec {
        process,
        comm: Comm::from_bytes(b"python3"),
        filename: b"/usr/bin/python3".to_vec(),
        filename_truncated: false,
        argv: argv.iter().map(|arg| arg.as_bytes().to_vec()).collect(),
        argc: 6,
        argv_bytes: 62,
        argv_truncated: false,
        argv_unreadable: false,
        exec_no: 1,
        euid: 1000,
        caller_tid: process.tgid.0,
        redacted: 0,
    }))
}

fn exit(process: Process, parent: Process) -> EventKind {
    EventKind::Exit(Box::new(Exit {
        process,
        parent,
        comm: Comm::from_bytes(b"python3"),
        status: 0x700,
        totals: ExitTotals {
            wall_ns: 123_456_789,
            cpu_user_us: 4_000,
            cpu_system_us: 900,
            peak_rss_kb: 39_412,
            faults_minor: 1_021,
            io_read_bytes: Some(4_096),
            io_write_bytes: Some(0),
            ..ExitTotals::default()
        },
        execs: 1,
        threads: 1,
    }))
}

fn row(n: u64, root: Process) -> Body {
    let (second, micro) = (n / 1_000_000, n % 1_000_000);
    let (minute, second) = (second / 60 % 60, second % 60);
    let row = SnapshotRow {
        captured_at: format!("2026-11-21T05:{minute:02}:{second:02}.{micro:06}Z"),
        pid: root.tgid.0,
        ppid: Some(1),
        starttime_ticks: 450,
        role: Role::Workload,
        comm: Some("python3".to_owned()),
        state: Some("sleeping".to_owned()),
        vm_rss_kb: Some(39_412),
        vm_hwm_kb: Some(39_412),
        threads: Some(4),
        fd_count: Some(12),
        fd_soft_limit: Some(1024),
        ctx_switches_voluntary: Some(4_973),
        ctx_switches_involuntary: Some(7),
        sig_pnd: Some("0000000000000000".to_owned()),
        sig_blk: Some("0000000000010000".to_owned()),
        sig_cgt: Some("0000000000010000".to_owned()),
        oom_score: Some(667),
        oom_score_adj: Some(0),
        wchan: Some("do_sys_poll".to_owned()),
        cpu_percent: Some(12.5),
        cpu_us: Some(81_920),
        io_read_bytes: Some(4_096),
        io_write_bytes: Some(0),
        net_established: Some(0),
        threads_disk_sleep: Some(0),
        threads_disk_sleep_wchan: Some(Vec::new()),
        cgroup: Some("/".to_owned()),
        cgroup_memory_kb: Some(81_920),
        cgroup_memory_limit_kb: Some(-1),
        unread: BTreeMap::new(),
    };
    Body::Snapshot {
        row: Box::new(row),
        event: SnapshotEvent::Snapshot,
    }
}

/// This process as an observer.
pub(crate) fn observer(proc: &ProcRoot) -> ObserverInfo {
    let own = proc.process(Tgid(std::process::id())).expect("we live");
    ObserverInfo {
        pid: std::process::id(),
        starttime_ticks: own.identity().ok().map(|identity| identity.start),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid_ns: own.pid_ns().ok(),
        rules: RULES,
    }
}

/// A session of this boot whose root is dead: one that recovery finishes when it has no end.
pub(crate) fn info(store: &Store, proc: &ProcRoot) -> SessionInfo {
    let mut child = Command::new("true").spawn().expect("true is there");
    let pid = child.id();
    child.wait().expect("ours");
    let wall = jiff::Timestamp::now();
    SessionInfo {
        session_id: store.new_session_id(wall).expect("random bytes"),
        epoch: 0,
        boot_id: proc.host().boot_id.clone(),
        clock: ClockPair {
            boot: BootNs(5_000_000_000),
            wall,
        },
        tick_rule: TickRule::default(),
        observer: observer(proc),
        root: RootInfo {
            pid,
            starttime_ticks: Some(Ticks(450)),
            start: Some(BootNs(4_500_000_000)),
            comm: Comm::from_bytes(b"python3"),
            cmdline: b"python3\0-m\0pytest\0".to_vec(),
        },
        mode: Mode::Run,
        command: [&b"python3"[..], b"-m", b"pytest"]
            .map(<[u8]>::to_vec)
            .to_vec(),
        cwd: b"/work".to_vec(),
        interval: Duration::from_secs(5),
        labels: BTreeMap::from([("ci".to_owned(), "main".to_owned())]),
        backend: Backend::Ebpf,
        degraded: Vec::new(),
        hostname: "host".to_owned(),
        uid: 0,
        object: BTreeMap::new(),
        attachments: Vec::new(),
        redact: true,
        redacted: 0,
    }
}

/// A session that begins now.
pub(crate) fn begin(store: &Store, info: &SessionInfo) -> (Live, Story) {
    let fold = Summarizer::new(info.clone());
    let recorder = Recorder::create(store, info.clone(), fold).expect("made");
    let mut story = Story::of(info);
    recorder.accept_all(&mut story.beginning());
    (recorder, story)
}

/// Hands over so many records, no faster than they are written.
pub(crate) fn fill(recorder: &Live, story: &mut Story, records: u64) {
    let mut left = records;
    while left > 0 {
        if !recorder.has_room() {
            std::thread::yield_now();
            continue;
        }
        let count = left.min(1024);
        let accepted = recorder.accept_all(&mut story.records(count));
        assert_eq!(accepted.taken, count, "nothing is dropped");
        left -= count;
    }
    assert!(recorder.flush(crate::soon()).complete, "all is on disk");
}

/// How a session ends whose root ended.
pub(crate) fn end() -> EndInfo {
    EndInfo {
        ending: ObserverEnding::Completed,
        cause: "the root ended".to_owned(),
        t: BootNs(9_000_000_000_000),
    }
}

/// Bytes of a record, about, for sessions of a certain size.
pub(crate) const RECORD_BYTES: u64 = 420;
