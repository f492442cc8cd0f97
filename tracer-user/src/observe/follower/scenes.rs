//! What is found out besides events so that an end can be explained: the senders of signals, the
//! memory that the OOM killer found, where a core went.

use std::{collections::HashMap, os::unix::ffi::OsStrExt, path::PathBuf};

use super::Follower;
use crate::{
    event::{Exit, Oom, Signal},
    procfs::ProcRoot,
    sampler::aftermath::{CoreFacts, KernelLog, MemoryCgroups, find_core},
    session::journal::record::Note,
    target::signals::Received,
    units::{BootNs, ProcKey, Process, Tgid},
    verdict::{
        Killer, Relation, WaitStatus,
        aftermath::OomScene,
        signals::{dumps_core, is_lethal},
    },
};

/// `result` of a signal that was queued, with and without its details.
const QUEUED: [i32; 2] = [0, 4];
/// Working directories that are remembered.
const FOLDERS_MAX: usize = 16;
/// Cgroups whose counters are remembered from before.
const BEFORE_MAX: usize = 64;

/// What was there before anything happened, to compare with.
#[derive(Debug, Default)]
pub(super) struct Scenes {
    log: Option<KernelLog>,
    cgroups: Option<MemoryCgroups>,
    /// OOM kills by cgroup when it was looked at first.
    kills: HashMap<String, u64>,
    /// The memory cgroups of processes that were looked at.
    members: HashMap<ProcKey, String>,
    /// Where the workload was when it was found, and where the command was started.
    folders: Vec<PathBuf>,
    /// The target is about to end by a signal.
    doomed: bool,
    /// Something was lost, the target's end perhaps.
    pub(super) lost_some: bool,
}

impl Scenes {
    /// Looks at what a process of interest has before anything happens to it.
    pub(super) fn look(&mut self, proc: &ProcRoot, process: Process, cwd: &[u8]) {
        if self.cgroups.is_none() {
            let mounts = proc.text(c"self/mountinfo").unwrap_or_default();
            self.cgroups = MemoryCgroups::find(&mounts);
            self.log = KernelLog::open();
            self.folders = vec![PathBuf::from(std::ffi::OsStr::from_bytes(cwd))];
        }
        let Ok(dir) = proc.process(process.tgid) else {
            return;
        };
        self.look_where(proc, process);
        let Some(cgroups) = &self.cgroups else { return };
        let Some(path) = dir.cgroup().ok().and_then(|text| cgroups.of(&text)) else {
            return;
        };
        if self.members.len() < BEFORE_MAX {
            self.members.insert(process.key, path.clone());
        }
        if self.kills.len() < BEFORE_MAX
            && let Some(kills) = cgroups.read(&path).and_then(|state| state.oom_kills)
        {
            self.kills.entry(path).or_insert(kills);
        }
    }

    /// Looks where a process is that is about to dump its core there.
    fn look_where(&mut self, proc: &ProcRoot, process: Process) {
        if let Ok(cwd) = proc.process(process.tgid).and_then(|dir| dir.cwd())
            && !self.folders.contains(&cwd)
        {
            self.folders.truncate(FOLDERS_MAX - 1);
            self.folders.insert(0, cwd);
        }
    }

    /// What can still be known of the memory that the OOM killer found.
    fn oom(&mut self, proc: &ProcRoot, oom: &Oom) -> OomScene {
        let log = self.log.as_mut();
        let line = log.and_then(|log| log.oom_of(oom.victim.key.init));
        let mut scene = OomScene {
            scope: line.as_ref().and_then(|line| line.scope),
            ..OomScene::default()
        };
        let Some(cgroups) = &self.cgroups else {
            return scene;
        };
        // The victim is dying, but keeps its cgroup until it is waited for. The kernel logs only ten
        // kills in five seconds (`oom_kill_process`), whoever's they are.
        let own = || {
            let dir = proc.process(oom.victim.tgid).ok();
            let text = dir.and_then(|dir| dir.cgroup().ok());
            let now = text.and_then(|text| cgroups.of(&text));
            now.or_else(|| self.members.get(&oom.victim.key).cloned())
        };
        scene.cgroup = line
            .and_then(|line| line.oom_memcg.or(line.task_memcg))
            .or_else(own);
        if let Some(path) = &scene.cgroup
            && let Some(state) = cgroups.read(path)
        {
            scene.limit_kb = state.limit_kb;
            scene.usage_kb = state.usage_kb;
            scene.group = state.group;
            scene.kills_now = state.oom_kills;
            scene.kills_before = self.kills.get(path).copied();
        }
        scene
    }
}

impl Follower<'_> {
    /// Adds what only user space can know of a signal, and what the forwarding of signals needs.
    pub(super) fn complete(&mut self, t: BootNs, signal: &mut Signal) {
        if self.root.is_some_and(|root| root.key == signal.target.key) {
            if self.root_signals.len() == super::SIGNALS_MAX {
                self.root_signals.remove(0);
            }
            self.root_signals
                .push((signal.signal, signal.sender.tgid, t));
        }
        let lethal = is_lethal(signal.signal) && QUEUED.contains(&signal.result);
        let at_once = !signal.scene.handled && !signal.scene.blocked;
        if lethal && at_once && self.target.is_some_and(|at| at.key == signal.target.key) {
            self.scenes.doomed = true;
        }
        if lethal && dumps_core(signal.signal) {
            self.scenes.look_where(self.sampler.root(), signal.target);
        }
        // What the kernel side could read in time is all, if it ends as an argument does.
        let by_somebody = !signal.from_kernel && signal.sender.key != signal.target.key;
        let whole = signal.sender_cmdline.last() == Some(&0);
        if by_somebody && !whole && is_lethal(signal.signal) && signal.sender.tgid.0 != 0 {
            let line = match &self.sender {
                Some((key, line)) if *key == signal.sender.key => line.clone(),
                _ => self.cmdline(signal.sender),
            };
            self.sender = Some((signal.sender.key, line.clone()));
            if line.len() > signal.sender_cmdline.len() {
                signal.sender_cmdline = line;
            }
        }
    }

    /// The workload was sent what ends it, and has not been seen to end.
    pub(in crate::observe) fn target_is_dying(&self) -> bool {
        self.scenes.doomed && !self.target_ended
    }

    /// Looks at a process of interest before anything happens to it.
    pub(super) fn look_at(&mut self, process: Process) {
        let cwd = self.session.cwd().to_vec();
        self.scenes.look(self.sampler.root(), process, &cwd);
    }

    /// A note on what the OOM killer found.
    pub(super) fn oom_note(&mut self, oom: &Oom) -> Note {
        let scene = self.scenes.oom(self.sampler.root(), oom);
        Note::oom_scene(oom.victim, &scene)
    }

    /// A note on where a core went; `None` when there is none.
    pub(super) fn core_note(&self, exit: &Exit) -> Option<Note> {
        let status = WaitStatus(exit.status);
        if !status.core_dumped() {
            return None;
        }
        let proc = self.sampler.root();
        let pattern = proc.text(c"sys/kernel/core_pattern")?;
        let uses_pid = proc.text(c"sys/kernel/core_uses_pid");
        let now_s = self.session.wall_s(self.clock_now());
        let facts = CoreFacts {
            pid_inner: exit.process.inner,
            pid_init: exit.process.key.init,
            comm: &exit.comm.to_text(),
            signal: status.signal().unwrap_or(0),
            hostname: &proc.host().hostname,
            time_s: now_s,
            folders: &self.scenes.folders,
            // It was written just now; the clocks of file systems are some milliseconds late.
            not_before_s: now_s.saturating_sub(exit.totals.wall_ns / 1_000_000_000 + 2),
        };
        let pattern = pattern.trim_end_matches('\n');
        let place = find_core(
            pattern,
            uses_pid.is_some_and(|text| text.trim() != "0"),
            &facts,
        );
        Some(Note::core(exit.process, pattern, &place))
    }

    /// Says whose signal is about to be passed on to the command, before it can end by it.
    pub(in crate::observe) fn forwarding(&mut self, received: Received) {
        let sender = self.sender_of(received);
        let note = Note::forwarded(received.signo, received.code, &sender);
        self.note(note);
    }

    fn sender_of(&self, received: Received) -> Killer {
        let nobody = Killer {
            pid: (received.pid != 0).then_some(received.pid),
            comm: String::new(),
            uid: received.uid,
            relation: Relation::Unknown,
            ..Killer::kernel()
        };
        let read = || {
            let dir = self.sampler.root().process(Tgid(received.pid)).ok()?;
            let mut words = dir.cmdline().unwrap_or_default();
            self.session.redactor().argv(&mut words);
            let words = words.join(&b' ');
            Some(Killer {
                starttime_ticks: dir.stat().ok()?.start_time.0,
                comm: String::from_utf8_lossy(&dir.comm().ok()?).into_owned(),
                cmdline: Some(String::from_utf8_lossy(&words).into_owned())
                    .filter(|line| !line.is_empty()),
                ..nobody.clone()
            })
        };
        // From a process only where the code says so.
        if received.code > 0 || received.pid == 0 {
            return nobody;
        }
        read().unwrap_or(nobody)
    }
}
