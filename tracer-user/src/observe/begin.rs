//! The beginning of a session: who observes whom, where and since when, on disk before anything runs.

mod resumed;
mod setup;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    os::unix::ffi::OsStringExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::{
    config::ObserveConfig,
    observe::{Audience, ObserveError, json::Lines, own, pins},
    probe::attached::Attached,
    procfs::ProcRoot,
    session::{
        SessionId, StateDir, Store,
        crash::{panics::Watching, slot},
        enrollment::Enrollment,
        journal::{
            info::{
                Attachment, Backend, ClockPair, Mode, ObserverInfo, RootInfo, SessionInfo, TickRule,
            },
            record::{self, TargetBody},
        },
        recorder::{self, EndInfo, FinishReport, Recorder},
        redact::Redactor,
        summary::{Summarizer, Summary},
    },
    target::Pinned,
    units::{BootNs, Comm, Process, Tgid, Ticks},
};

pub(super) use self::setup::{join, prepare};

/// A session that has begun.
pub(super) struct Session {
    pub(super) recorder: Recorder<Summarizer>,
    /// The root's pid.
    pub(super) root_tgid: Tgid,
    /// We started the root, rather than found it.
    pub(super) started_root: bool,
    /// Where sessions are.
    pub(super) store: Store,
    /// Finished sessions to keep; 0 keeps all.
    pub(super) keep: u32,
    /// Where pins are, where the user said so.
    pub(super) bpffs: Option<PathBuf>,
    pub(super) info: SessionInfo,
    /// Nobody is to wait for a reader of `--json` any more.
    over: Arc<AtomicBool>,
    _watching: Watching,
}

/// Whom the session is about.
pub(super) struct Subject {
    pub(super) mode: Mode,
    pub(super) root: Tgid,
    pub(super) command: Vec<OsString>,
    pub(super) uid: u32,
    /// `None` when tracking could not start.
    pub(super) kernel: Option<KernelFacts>,
}

/// What the session says of the kernel side.
pub(super) struct KernelFacts {
    pub(super) degraded: Vec<String>,
    pub(super) pid_ns: u64,
    pub(super) object: BTreeMap<String, String>,
}

impl Session {
    /// Makes the session's directory and journal; the `session` record is on disk when this returns.
    pub(super) fn begin(
        proc: &ProcRoot,
        config: &ObserveConfig,
        mut subject: Subject,
        lines: Lines,
        probe: Option<&mut Attached>,
        audience: &mut dyn Audience,
    ) -> Result<Self, ObserveError> {
        let own_uid = rustix::process::getuid().as_raw();
        let state_dir = StateDir::resolve(
            config.state_dir.clone(),
            |name| std::env::var_os(name),
            own_uid,
        );
        let store = Store::open(&state_dir.map_err(recorder::SessionError::from)?)
            .map_err(recorder::SessionError::from)?;
        let clock = own::clock_pair(proc);
        let session_id = store
            .new_session_id(clock.wall)
            .map_err(recorder::SessionError::from)?;
        // Before the session is there: none that is there lacks pins because its observer was killed.
        if let (Some(probe), Some(kernel)) = (probe, &mut subject.kernel)
            && let Err(unpinned) = pins::pin(probe, config.bpffs.as_deref(), &session_id, &store)
        {
            audience.notice(&unpinned.notice());
            kernel.degraded.push(unpinned.degraded());
        }
        let mut info = session_info(proc, config, subject, clock, session_id);
        Redactor::new(config.redact).session(&mut info);
        let _silent = slot::install(); // Without it a fatal signal ends us all the same.
        let options = recorder::Options {
            tee: lines.tee,
            boot_offset: proc.host().boot_offset,
            durability: config.durability,
            ..recorder::Options::default()
        };
        let fold = Summarizer::new(info.clone());
        let recorder = Recorder::create_with(&store, info.clone(), fold, options)?;
        let kept = (store, config.keep, config.bpffs.clone());
        Ok(Self::of(recorder, info, kept, lines.over))
    }

    /// The session that `recorder` writes; `kept`: where, how many others beside it, and where its pins
    /// are.
    fn of(
        recorder: Recorder<Summarizer>,
        info: SessionInfo,
        kept: (Store, u32, Option<PathBuf>),
        over: Arc<AtomicBool>,
    ) -> Self {
        let (store, keep, bpffs) = kept;
        Self {
            _watching: recorder.watch_panics(),
            recorder,
            root_tgid: Tgid(info.root.pid),
            started_root: info.mode == Mode::Run,
            store,
            keep,
            bpffs,
            info,
            over,
        }
    }

    /// Whether `root`, found by its pid, is the process that the session is about.
    pub(super) fn is_root(&self, root: Process) -> bool {
        let start = self.info.root.starttime_ticks;
        root.tgid == self.root_tgid && start.is_none_or(|start| start == self.ticks(root.key.start))
    }

    /// What every command line passes through before it is recorded or shown.
    pub(super) fn redactor(&self) -> Redactor {
        Redactor::of(&self.info)
    }

    /// The ticks `/proc` shows for a start time.
    pub(super) fn ticks(&self, start: BootNs) -> Ticks {
        self.info.tick_rule.ticks(start)
    }

    /// Time between snapshots.
    pub(super) fn interval(&self) -> Duration {
        self.info.interval
    }

    /// Where the command was started.
    pub(super) fn cwd(&self) -> &[u8] {
        &self.info.cwd
    }

    /// Seconds since 1970 at a time of the boot clock.
    pub(super) fn wall_s(&self, t: BootNs) -> u64 {
        u64::try_from(self.info.clock.wall_of(t).as_second()).unwrap_or(0)
    }

    /// When it began.
    pub(super) fn began(&self) -> BootNs {
        self.info.clock.boot
    }

    /// The record of the pin. `latency_ns` is the time from the exec that showed it.
    pub(super) fn pinned(&self, pinned: &Pinned, latency_ns: u64) -> TargetBody {
        let target = &pinned.target;
        let mut cmdline = joined(target.argv());
        let redacted = self.redactor().cmdline(&mut cmdline);
        TargetBody::Pinned(record::Pinned {
            process: target.process(),
            rule: pinned.rule.name().to_owned(),
            skipped: pinned
                .skipped
                .iter()
                .map(|skipped| record::Skipped {
                    process: skipped.process,
                    comm: skipped.comm,
                    reason: skipped.why.to_owned(),
                })
                .collect(),
            comm: target.comm(),
            cmdline,
            exe: target.exe().to_vec(),
            pin_latency_ns: self.started_root.then_some(latency_ns),
            redacted,
        })
    }

    /// Whose session it is: the workload's, or the root's when that was not found.
    pub(super) fn enrollment(
        &self,
        pinned: Option<&Pinned>,
        unresolved: Option<&str>,
    ) -> Enrollment {
        let info = &self.info;
        let root = &info.root;
        let root_ticks = root.starttime_ticks;
        let own = Enrollment {
            session_id: info.session_id.to_string(),
            pid: root.pid,
            boot_id: info.boot_id.clone(),
            starttime_ticks: root_ticks,
            comm: root.comm.as_bytes().to_vec(),
            cmdline: root.cmdline.clone(),
            exe: Vec::new(),
            enrolled_at: Some(Timestamp::now()),
            pid_ns: info.observer.pid_ns,
            uid: Some(info.uid),
            hostname: info.hostname.clone(),
            root_pid: Some(root.pid),
            root_starttime_ticks: root_ticks,
            observer: Some(info.observer.clone()),
            labels: info.labels.clone(),
            unresolved: unresolved.map(str::to_owned),
            redacted: info.redacted,
        };
        let Some(target) = pinned.map(|pinned| &pinned.target) else {
            return own;
        };
        let mut cmdline = joined(target.argv());
        let redacted = self.redactor().cmdline(&mut cmdline);
        Enrollment {
            pid: target.process().tgid.0,
            starttime_ticks: Some(self.ticks(target.start())),
            comm: target.comm().as_bytes().to_vec(),
            cmdline,
            exe: target.exe().to_vec(),
            redacted,
            ..own
        }
    }

    /// Ends the session.
    pub(super) fn finish(&self, end: EndInfo, deadline: Instant) -> FinishReport<Summary> {
        self.over.store(true, Ordering::Relaxed);
        self.recorder.finish(end, deadline)
    }
}

fn session_info(
    proc: &ProcRoot,
    config: &ObserveConfig,
    subject: Subject,
    clock: ClockPair,
    session_id: SessionId,
) -> SessionInfo {
    let host = proc.host();
    let start_of = |tgid| Some(proc.process(tgid).ok()?.identity().ok()?.start);
    let observer = own::identity(proc);
    let root_dir = proc.process(subject.root).ok();
    let comm = root_dir
        .as_ref()
        .and_then(|dir| dir.comm().ok())
        .unwrap_or_default();
    let command: Vec<Vec<u8>> = match &root_dir {
        Some(dir) if subject.mode == Mode::Attach => dir.cmdline().unwrap_or_default(),
        _ => subject
            .command
            .into_iter()
            .map(OsStringExt::into_vec)
            .collect(),
    };
    let cwd = std::fs::read_link(format!("/proc/{}/cwd", subject.root)).unwrap_or_default();
    let (pid_ns, degraded, object) = match &subject.kernel {
        Some(facts) => (
            Some(facts.pid_ns),
            facts.degraded.clone(),
            facts.object.clone(),
        ),
        None => (None, Vec::new(), BTreeMap::new()),
    };
    SessionInfo {
        session_id,
        epoch: 0,
        boot_id: host.boot_id.clone(),
        clock,
        tick_rule: TickRule {
            clk_tck: host.clk_tck,
            boottime_offset_ns: 0,
        },
        observer: ObserverInfo {
            pid_ns: pid_ns.or(observer.pid_ns),
            ..observer
        },
        root: RootInfo {
            pid: subject.root.0,
            starttime_ticks: start_of(subject.root),
            start: None,
            comm: Comm::from_bytes(&comm),
            cmdline: joined(&command),
        },
        mode: subject.mode,
        command,
        cwd: cwd.into_os_string().into_vec(),
        interval: config.interval,
        labels: config.labels.clone(),
        backend: if subject.kernel.is_some() {
            Backend::Ebpf
        } else {
            Backend::None
        },
        degraded,
        hostname: host.hostname.clone(),
        uid: subject.uid,
        object,
        attachments: config.attach_files.iter().map(Attachment::from).collect(),
        redact: false,
        redacted: 0,
    }
}

/// Arguments as `/proc/<pid>/cmdline` has them.
fn joined(argv: &[Vec<u8>]) -> Vec<u8> {
    argv.iter()
        .flat_map(|word| word.iter().copied().chain([0]))
        .collect()
}
