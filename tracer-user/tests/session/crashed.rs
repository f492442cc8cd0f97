//! Sessions whose observer left no end, made to order, and what recovery tests look at.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tracer::{
    procfs::ProcRoot,
    session::{
        SessionId, Store,
        derive::RULES,
        journal::{
            Body, Record,
            info::{ObserverInfo, SessionInfo},
            record::{Pinned, TargetBody},
        },
        recorder::Recorder,
        recover::{Options, Outcome, Recovery, Report, gates::Gate},
        summary::Summarizer,
    },
    units::{BootNs, Comm, Tgid, Ticks},
};

use crate::support::*;

pub(crate) fn proc() -> ProcRoot {
    ProcRoot::open("/proc").expect("procfs is mounted")
}

pub(crate) fn own(proc: &ProcRoot) -> ObserverInfo {
    let own = proc.process(Tgid(std::process::id())).expect("we live");
    ObserverInfo {
        pid: std::process::id(),
        starttime_ticks: Some(own.identity().expect("we live").start),
        version: "0.1.0".to_owned(),
        pid_ns: Some(own.pid_ns().expect("our own")),
        rules: RULES,
    }
}

/// Recovers everything in a store.
pub(crate) fn recover_with(store: &Store, options: &Options) -> Report {
    let proc = proc();
    let mut nothing = ();
    Recovery::new(store, &proc, own(&proc), options, &mut nothing)
        .run()
        .expect("listed")
}

pub(crate) fn recover(store: &Store) -> Report {
    recover_with(store, &Options::default())
}

pub(crate) fn dry() -> Options {
    Options {
        dry_run: true,
        ..Options::default()
    }
}

/// A process that was there and is reaped: its number may only be used by a later start.
pub(crate) fn dead() -> (u32, Ticks) {
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .spawn()
        .expect("cat is there");
    let start = start_of(child.id());
    drop(child.stdin.take());
    child.wait().expect("ours");
    (child.id(), start)
}

pub(crate) fn start_of(pid: u32) -> Ticks {
    let process = proc().process(Tgid(pid)).expect("it lives");
    process.identity().expect("it lives").start
}

/// A living process, ended when dropped.
pub(crate) struct Living(pub(crate) Child);

impl Living {
    pub(crate) fn new() -> Self {
        let child = Command::new("cat").stdin(Stdio::piped()).spawn();
        Self(child.expect("cat is there"))
    }

    pub(crate) fn root(&self) -> (u32, Option<Ticks>) {
        (self.0.id(), Some(start_of(self.0.id())))
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// What a session of this boot, of this pid namespace and of a dead root says of itself.
pub(crate) fn own_info(store: &Store) -> SessionInfo {
    let proc = proc();
    let (pid, start) = dead();
    let mut info = info(store);
    info.boot_id.clone_from(&proc.host().boot_id);
    info.observer = own(&proc);
    info.attachments.clear();
    info.root.pid = pid;
    info.root.starttime_ticks = Some(start);
    // What a missing file of the caller's adds is another test's matter.
    info.attachments.clear();
    info
}

/// Records as an observer that is killed does: no end.
pub(crate) fn interrupted(
    store: &Store,
    info: SessionInfo,
    records: Vec<Record>,
) -> (SessionId, PathBuf) {
    let id = info.session_id;
    let fold = Summarizer::new(info.clone());
    let recorder = Recorder::create(store, info, fold).expect("made");
    recorder.accept_all(&mut { records });
    assert!(recorder.flush(soon()).complete);
    let path = recorder.path().to_owned();
    drop(recorder);
    (id, path)
}

pub(crate) fn crashed(store: &Store) -> (SessionId, PathBuf) {
    interrupted(store, own_info(store), (0..20).map(fork).collect())
}

pub(crate) fn only(report: &Report) -> (Outcome, Option<Gate>, String) {
    assert_eq!(report.found.len(), 1, "{report:?}");
    let found = &report.found[0];
    (found.outcome, found.gate, found.reason.clone())
}

pub(crate) fn json(path: &Path) -> Value {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).expect("JSON")
}

/// Every file below, with its bytes.
pub(crate) fn all_bytes(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("listed") {
            let path = entry.expect("listed").path();
            if path.is_dir() {
                all.insert(path.clone(), Vec::new());
                folders.push(path);
            } else {
                all.insert(path.clone(), std::fs::read(&path).expect("ours"));
            }
        }
    }
    all
}

/// Kinds of the records of one epoch.
pub(crate) fn kinds(session: &Path, epoch: u32) -> Vec<String> {
    let text = std::fs::read_to_string(session.join(format!("journal.{epoch}.jsonl")));
    let kind = |line: &str| -> String {
        let value: Value = serde_json::from_str(line).expect("a whole line");
        value["kind"].as_str().expect("a kind").to_owned()
    };
    text.expect("a journal").lines().map(kind).collect()
}

pub(crate) fn pinned(info: &SessionInfo, comm: &str) -> Record {
    let mut process = process(info.root.pid);
    let start = info.root.starttime_ticks.expect("known").0;
    process.key.start = BootNs(start * 10_000_000);
    let body = Body::Target(Box::new(TargetBody::Pinned(Pinned {
        process,
        rule: "comm".to_owned(),
        skipped: Vec::new(),
        comm: Comm::from_bytes(comm.as_bytes()),
        cmdline: Vec::new(),
        exe: Vec::new(),
        pin_latency_ns: None,
        redacted: 0,
    })));
    Record {
        t: BootNs(5_000_000_000),
        body,
    }
}

/// A workload's row under this name.
pub(crate) fn row_of(info: &SessionInfo, comm: &str) -> Record {
    let mut record = row(7);
    if let Body::Snapshot { row, .. } = &mut record.body {
        row.pid = info.root.pid;
        row.starttime_ticks = info.root.starttime_ticks.expect("known").0;
        row.comm = Some(comm.to_owned());
    }
    record
}
