//! What the session tests share: a store of their own, records of every kind, a counting fold.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tracer::{
    event::{Exit, ExitTotals, Fork},
    session::{
        SessionId, StateDir, Store,
        derive::{Fold, RULES},
        enrollment::Enrollment,
        epochs::{self, Standing},
        journal::{
            JournalReader,
            info::{
                Attachment, Backend, ClockPair, Mode, ObserverInfo, RootInfo, SessionInfo, TickRule,
            },
            reader::{Entry, ReadStats},
            record::{Body, ObserverEnding, Record, SnapshotEvent},
        },
        recorder::{EndInfo, Options, Recorder},
        store::{ClaimedSession, SessionClaim},
    },
    snapshot::{Role, SnapshotRow},
    units::{BootNs, Comm, Process, Ticks},
};

#[path = "../../src/event/made.rs"]
mod made;

use self::made::Told as _;

/// Long enough for a busy machine; every wait ends far earlier.
pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

pub(crate) fn store_in(dir: &Path) -> Store {
    let state = StateDir::resolve(Some(dir.join("state")), |_| None, 0).expect("a flag is enough");
    Store::open(&state).expect("a fresh directory")
}

pub(crate) fn process(pid: u32) -> Process {
    made::process(pid, 1_000_000_000 + u64::from(pid))
}

pub(crate) fn info(store: &Store) -> SessionInfo {
    let wall = "2026-11-21T05:45:12.123456Z".parse().expect("a time");
    SessionInfo {
        session_id: store.new_session_id(wall).expect("random bytes"),
        epoch: 0,
        boot_id: "e0f3a1c2-0000-4000-8000-000000000000".to_owned(),
        clock: ClockPair {
            boot: BootNs(5_000_000_000),
            wall,
        },
        tick_rule: TickRule::default(),
        observer: ObserverInfo {
            pid: std::process::id(),
            starttime_ticks: Some(Ticks(400)),
            version: "0.1.0".to_owned(),
            pid_ns: Some(4_026_531_836),
            rules: RULES,
        },
        root: RootInfo {
            pid: 100,
            starttime_ticks: Some(Ticks(450)),
            start: Some(BootNs(4_500_000_000)),
            comm: Comm::from_bytes(b"tracer"),
            cmdline: b"sh\0-c\0exit 7\0".to_vec(),
        },
        mode: Mode::Run,
        command: vec![b"sh".to_vec(), b"-c".to_vec(), b"exit \xff".to_vec()],
        cwd: b"/tmp/\xfe".to_vec(),
        interval: Duration::from_millis(1_500),
        labels: BTreeMap::from([("ci".to_owned(), "a/b \"c\"".to_owned())]),
        backend: Backend::Ebpf,
        degraded: vec!["io accounting".to_owned()],
        hostname: "host".to_owned(),
        uid: 0,
        object: BTreeMap::new(),
        attachments: vec![Attachment {
            name: "usage.json".to_owned(),
            path: b"/nowhere/u\xffsage.json".to_vec(),
        }],
        redact: true,
        redacted: 0,
    }
}

pub(crate) fn fork(n: u64) -> Record {
    let pid = u32::try_from(n % 4_000_000).expect("small") + 2;
    Record {
        t: BootNs(5_000_000_000 + n),
        body: Body::Event(
            Fork {
                comm: Comm::from_bytes(b"worker"),
                depth: 3,
                uid: 1000,
                ..made::fork(process(pid), process(1))
            }
            .told(),
        ),
    }
}

pub(crate) fn exec(n: u64) -> Record {
    let words = [
        "/usr/bin/python3",
        "-m",
        "pytest",
        "tests/unit",
        "-k",
        "name and not other",
    ];
    Record {
        t: BootNs(5_000_000_000 + n),
        body: Body::Event(made::exec(process(77), &words).told()),
    }
}

pub(crate) fn exit(n: u64) -> Record {
    let exit = Exit {
        comm: Comm::from_bytes(b"python3"),
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
        ..made::exit(process(77), process(1), 0x700)
    };
    Record {
        t: BootNs(5_000_000_000 + n),
        body: Body::Event(exit.told()),
    }
}

pub(crate) fn row(n: u64) -> Record {
    let row = SnapshotRow {
        captured_at: format!(
            "2026-11-21T05:45:{:02}.{:06}Z",
            n / 1_000_000 % 60,
            n % 1_000_000
        ),
        pid: 77,
        ppid: Some(1),
        starttime_ticks: 450,
        role: Role::Workload,
        comm: Some("pyth\"on".to_owned()),
        state: Some("sleeping".to_owned()),
        vm_rss_kb: Some(39_412),
        vm_hwm_kb: Some(39_412),
        threads: Some(4),
        fd_count: Some(12),
        fd_soft_limit: Some(-1),
        ctx_switches_voluntary: Some(4_973),
        ctx_switches_involuntary: Some(7),
        sig_pnd: Some("0000000000000000".to_owned()),
        sig_blk: Some("0000000000010000".to_owned()),
        sig_cgt: None,
        oom_score: Some(667),
        oom_score_adj: Some(0),
        wchan: Some("do_sys_poll".to_owned()),
        cpu_percent: Some(12.5),
        cpu_us: Some(81_920),
        io_read_bytes: None,
        io_write_bytes: None,
        net_established: Some(0),
        threads_disk_sleep: Some(0),
        threads_disk_sleep_wchan: Some(Vec::new()),
        cgroup: Some("/".to_owned()),
        cgroup_memory_kb: Some(81_920),
        cgroup_memory_limit_kb: Some(-1),
        unread: BTreeMap::from([("sig_cgt".to_owned(), "denied".to_owned())]),
    };
    Record {
        t: BootNs(5_000_000_000 + n),
        body: Body::Snapshot {
            row: Box::new(row),
            event: SnapshotEvent::Snapshot,
        },
    }
}

pub(crate) fn end(cause: &str) -> EndInfo {
    EndInfo {
        ending: ObserverEnding::Completed,
        cause: cause.to_owned(),
        t: BootNs(9_000_000_000),
    }
}

pub(crate) fn enrollment(session_id: &str) -> Enrollment {
    Enrollment {
        session_id: session_id.to_owned(),
        pid: 77,
        boot_id: "e0f3a1c2-0000-4000-8000-000000000000".to_owned(),
        starttime_ticks: Some(Ticks(450)),
        comm: b"py\xffthon".to_vec(),
        cmdline: b"python3\0-c\0print(1)\0".to_vec(),
        exe: b"/usr/bin/python3".to_vec(),
        enrolled_at: Some("2026-11-21T05:45:12.2Z".parse().expect("a time")),
        pid_ns: Some(4_026_531_836),
        uid: Some(0),
        hostname: "host".to_owned(),
        root_pid: Some(76),
        root_starttime_ticks: None,
        observer: None,
        labels: BTreeMap::from([("ci".to_owned(), "main".to_owned())]),
        unresolved: None,
        redacted: 0,
    }
}

/// Remembers what it was given: `seq`s, kinds and the last time.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) seqs: Vec<u64>,
    pub(crate) kinds: BTreeMap<String, u64>,
}

impl Fold for Seen {
    type Output = Value;

    fn apply(&mut self, seq: u64, _t: BootNs, body: &Body) {
        self.seqs.push(seq);
        *self.kinds.entry(body.kind().to_owned()).or_default() += 1;
    }

    fn finish(self) -> Value {
        let in_order = self.seqs.windows(2).all(|pair| pair[1] == pair[0] + 1);
        json!({ "kinds": self.kinds, "records": self.seqs.len(), "in_order": in_order })
    }

    fn index_row(output: &Value) -> Value {
        output.clone()
    }
}

/// All entries of a session's journal as another process would read it.
pub(crate) fn read_journal(session: &Path) -> (Vec<Entry>, ReadStats) {
    let file = File::open(session.join("journal.0.jsonl")).expect("a journal");
    let mut reader = JournalReader::new(file).starting_at(0);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry().expect("readable") {
        entries.push(entry);
    }
    (entries, reader.stats())
}

/// A session whose observer went away after `records` forks.
pub(crate) fn left(store: &Store, records: u64) -> SessionInfo {
    let info = info(store);
    let recorder = Recorder::create(store, info.clone(), Seen::default()).expect("made");
    recorder.accept_all(&mut (0..records).map(fork).collect());
    assert!(recorder.flush(soon()).complete);
    info
}

pub(crate) fn claimed(store: &Store, id: &SessionId) -> ClaimedSession {
    match store.claim(id).expect("there") {
        SessionClaim::Held(claimed) => claimed,
        SessionClaim::Taken => panic!("{id} is taken"),
    }
}

/// Goes on with a session as another observer does.
pub(crate) fn reopen(store: &Store, info: &SessionInfo) -> (Recorder<Seen>, Standing) {
    let claimed = claimed(store, &info.session_id);
    let mut fold = Seen::default();
    let standing = epochs::replay(&claimed.dir, &mut fold).expect("readable");
    let options = Options::default();
    let recorder = Recorder::reopen(store, claimed, &standing, info.clone(), fold, options);
    (recorder.expect("made"), standing)
}

pub(crate) fn replayed(store: &Store, id: &SessionId) -> (Seen, Standing) {
    let dir = store.existing_session(id).expect("there");
    let mut fold = Seen::default();
    let standing = epochs::replay(&dir, &mut fold).expect("readable");
    (fold, standing)
}

pub(crate) fn bytes(path: &Path, name: &str) -> Vec<u8> {
    std::fs::read(path.join(name)).expect("there")
}

pub(crate) fn append(path: &Path, name: &str, text: &[u8]) {
    let mut file = File::options()
        .append(true)
        .open(path.join(name))
        .expect("there");
    file.write_all(text).expect("room");
}

pub(crate) fn files(path: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(path)
        .expect("there")
        .map(|entry| {
            entry
                .expect("entry")
                .file_name()
                .into_string()
                .expect("text")
        })
        .collect();
    names.sort();
    names
}

/// Waits until `ready` says yes.
pub(crate) fn wait_for(what: &str, mut ready: impl FnMut() -> bool) {
    let deadline = soon();
    while !ready() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
