//! The notes that programs read: each has a topic and fixed particulars.

mod attached;
mod endings;
mod expense;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub use self::{
    attached::AttachDoubts,
    endings::Leftover,
    expense::{ObserverCost, ProgramCost, Reaped, TickTimes},
};
use super::record::{Crash, Note};
use crate::{
    units::{BootNs, Process},
    verdict::{
        Killer,
        aftermath::{CorePlace, OomScene, Scope},
    },
};

/// Topics of [`Note`].
pub mod topic {
    /// How the attach to a living tree went: `passes`, `converged`, `adopted`, and unless it converged
    /// `doubts`, the [`AttachDoubts`](super::AttachDoubts) by name.
    pub const ATTACHED: &str = "attached";
    /// Tracking is on, and everything that was there has been found.
    pub const ARMED: &str = "armed";
    /// The root's wait status as tracer, its parent, saw it: `status`.
    pub const WAITED: &str = "waited";
    /// The observer got a signal and passes it on: `signal`, `code`, and its sender's `pid`,
    /// `starttime_ticks`, `uid`, `comm`, `cmdline` as far as they are known.
    pub const FORWARDED: &str = "forwarded";
    /// The observer is about to end processes, as it was asked to; before its first signal: `reason`
    /// (`timeout`, `idle`, `stale`, `leftovers`), `signal`, `limit_ns` and `kill_after_ns`.
    pub const ENDING: &str = "ending";
    /// A process that outlives the command: `pid`, `starttime_ticks`, `comm`, `cmdline`, `state`,
    /// `holds` (`terminal`, `stdout`, `stderr`), and `refused` where it was to be ended.
    pub const LEFTOVER: &str = "leftover";
    /// Nothing has happened for so long: `reason` (`idle`, `stale`), `limit_ns`.
    pub const STALL: &str = "stall";
    /// Memory when the OOM killer chose: `pid`, `start_boottime_ns`, and what was found of `scope`
    /// (`cgroup`, `machine`, `nodes`), `cgroup`, `limit_kb`, `usage_kb`, `group`, `oom_kills`,
    /// `oom_kills_before`.
    pub const OOM_SCENE: &str = "oom_scene";
    /// Where a core went: `pid`, `start_boottime_ns`, `pattern`, and `file` or `piped_to`.
    pub const CORE: &str = "core";
    /// Thresholds of anomalies that are not the defaults: each by its name.
    pub const THRESHOLDS: &str = "thresholds";
    /// So many anomalies that no more are told: `untold`.
    pub const ANOMALIES_UNTOLD: &str = "anomalies_untold";
    /// What the observer itself cost: [`ObserverCost`](super::ObserverCost).
    pub const OBSERVER_COST: &str = "observer_cost";
    /// What the command and all that was waited for below it used: [`Reaped`](super::Reaped).
    pub const REAPED: &str = "reaped";
    /// Something that cannot be observed from here on, beside what the `session` record names: `lost` and
    /// `why`.
    pub const DEGRADED: &str = "degraded";
    /// What became of a file that was to be attached: `name`, `result`, and of a copy `bytes` and
    /// `crc32`.
    pub const ATTACHMENT: &str = "attachment";
    /// A crash after the one that ends the session: `cause`, `detail`.
    pub const CRASHED_TOO: &str = "crashed_too";
    /// Somebody else ends the session, because its observer could not: [`Recovered`](super::Recovered).
    pub const RECOVERED: &str = "recovered";
    /// An observer goes on with a session that another began: `kernel_went_on`.
    pub const RESUMED: &str = "resumed";
    /// What the kernel side kept while nobody watched could not be read.
    pub const UNATTENDED_LOST: &str = "unattended_lost";
    /// The rows come from the files of another recorder: `trace`, `enrollment`.
    pub const IMPORTED: &str = "imported";
}

/// Reason of the [`Gap`](super::record::Gap) between two observers: nobody watched.
pub const UNWATCHED: &str = "unwatched";

/// Reason of the [`Gap`](super::record::Gap) between two observers where the kernel side went on: no
/// event is missing, only rows.
pub const UNSAMPLED: &str = "unsampled";

/// What a recovery found, and when: the particulars of the note [`topic::RECOVERED`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The machine has started anew since: the target ended with the boot it ran on.
    pub host_reboot: bool,
    /// The kernel side went on recording without an observer, and what it kept follows.
    pub kernel_went_on: bool,
    /// When, RFC 3339: the boot clock of the session may be another one.
    pub at: String,
    /// The boot that it was recovered on.
    pub boot_id: String,
    /// `seq` of the last good record before.
    pub last_seq: Option<u64>,
    /// Bad lines before it.
    pub bad_lines: u64,
    /// Records missing before it.
    pub missing: u64,
    /// Bytes of the unfinished line behind it.
    pub torn_bytes: u64,
}

impl Note {
    /// What anomalies are judged by, where that is not the defaults.
    #[must_use]
    pub fn thresholds(changed: &BTreeMap<String, f64>) -> Self {
        let mut note = Self::new(
            topic::THRESHOLDS,
            "anomalies are judged by other numbers",
            [],
        );
        let values = changed.iter();
        note.data
            .extend(values.map(|(name, &value)| (name.clone(), Value::from(value))));
        note
    }

    /// Anomalies of which nothing was recorded.
    #[must_use]
    pub fn anomalies_untold(untold: u64) -> Self {
        let text = "too many anomalies: these were not recorded";
        let data = [("untold", Value::from(untold))];
        Self::new(topic::ANOMALIES_UNTOLD, text, data)
    }

    /// Tracking is on.
    #[must_use]
    pub fn armed() -> Self {
        Self::new(topic::ARMED, "tracking is on", [])
    }

    /// The root's raw wait status, as its parent saw it.
    #[must_use]
    pub fn waited(status: u32) -> Self {
        let data = [("status", Value::from(status))];
        Self::new(
            topic::WAITED,
            "the root's wait status, as its parent saw it",
            data,
        )
    }

    /// Something cannot be observed; `lost` as the `session` record says it.
    #[must_use]
    pub fn degraded(lost: &str) -> Self {
        let (name, why) = lost.split_once(": ").unwrap_or((lost, ""));
        let data = [("lost", Value::from(name)), ("why", Value::from(why))];
        Self::new(topic::DEGRADED, lost, data)
    }

    /// A crash that is not the first.
    #[must_use]
    pub fn crashed_too(crash: &Crash) -> Self {
        let data = [
            ("cause", Value::from(crash.cause.as_str())),
            ("detail", Value::from(crash.detail.as_str())),
        ];
        Self::new(
            topic::CRASHED_TOO,
            "another crash while the first was recorded",
            data,
        )
    }

    /// The session is ended by somebody else than its observer.
    #[must_use]
    pub fn recovered(found: &Recovered) -> Self {
        let text = if found.host_reboot {
            "the machine was started anew; the record is ended by recovery"
        } else {
            "the observer had crashed or was killed; the record is ended by recovery"
        };
        let data = [
            ("host_reboot", Value::from(found.host_reboot)),
            ("kernel_went_on", Value::from(found.kernel_went_on)),
            ("at", Value::from(found.at.as_str())),
            ("boot_id", Value::from(found.boot_id.as_str())),
            ("last_seq", Value::from(found.last_seq)),
            ("bad_lines", Value::from(found.bad_lines)),
            ("missing", Value::from(found.missing)),
            ("torn_bytes", Value::from(found.torn_bytes)),
        ];
        Self::new(topic::RECOVERED, text, data)
    }

    /// The particulars of a note [`topic::RECOVERED`]; what it does not say is nothing.
    #[must_use]
    pub fn as_recovered(&self) -> Recovered {
        let text = |key| {
            let value = self.data.get(key).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        let number = |key| self.number(key).unwrap_or(0);
        Recovered {
            host_reboot: self.flag("host_reboot"),
            kernel_went_on: self.flag("kernel_went_on"),
            at: text("at"),
            boot_id: text("boot_id"),
            last_seq: self.number("last_seq"),
            bad_lines: number("bad_lines"),
            missing: number("missing"),
            torn_bytes: number("torn_bytes"),
        }
    }

    /// Another observer goes on from here. `kernel_went_on`: without one, the kernel side did.
    #[must_use]
    pub fn resumed(kernel_went_on: bool) -> Self {
        let text = if kernel_went_on {
            "another observer goes on; what the kernel side kept meanwhile follows"
        } else {
            "another observer goes on; what happened meanwhile is not known"
        };
        let data = [("kernel_went_on", Value::from(kernel_went_on))];
        Self::new(topic::RESUMED, text, data)
    }

    /// The rows that follow are those of another recorder's file.
    #[must_use]
    pub fn imported(trace: &str, enrollment: &str) -> Self {
        let data = [
            ("trace", Value::from(trace)),
            ("enrollment", Value::from(enrollment)),
        ];
        let text = "the rows are those of another recorder";
        Self::new(topic::IMPORTED, text, data)
    }

    /// What was kept while nobody watched could not be read, and why.
    #[must_use]
    pub fn unattended_lost(why: &str) -> Self {
        Self::new(topic::UNATTENDED_LOST, why, [])
    }

    /// A particular that is true.
    #[must_use]
    pub fn flag(&self, key: &str) -> bool {
        self.data.get(key) == Some(&Value::Bool(true))
    }

    /// The observer got a signal from `sender` and is about to pass it on to the root.
    #[must_use]
    pub fn forwarded(signal: i32, code: i32, sender: &Killer) -> Self {
        let data = [
            ("signal", Value::from(signal)),
            ("code", Value::from(code)),
            ("pid", Value::from(sender.pid)),
            ("starttime_ticks", Value::from(sender.starttime_ticks)),
            ("uid", Value::from(sender.uid)),
            ("comm", Value::from(sender.comm.clone())),
            ("cmdline", Value::from(sender.cmdline.clone())),
        ];
        Self::new(topic::FORWARDED, "a signal that is passed on", data)
    }

    /// Memory as it was when the OOM killer chose `victim`.
    #[must_use]
    pub fn oom_scene(victim: Process, scene: &OomScene) -> Self {
        let scope = scene.scope.map(|scope| match scope {
            Scope::Cgroup => "cgroup",
            Scope::Machine => "machine",
            Scope::Nodes => "nodes",
        });
        let data = [
            ("pid", Value::from(victim.tgid.0)),
            ("start_boottime_ns", start(victim.key.start)),
            ("scope", Value::from(scope)),
            ("cgroup", Value::from(scene.cgroup.clone())),
            ("limit_kb", Value::from(scene.limit_kb)),
            ("usage_kb", Value::from(scene.usage_kb)),
            ("group", Value::from(scene.group)),
            ("oom_kills", Value::from(scene.kills_now)),
            ("oom_kills_before", Value::from(scene.kills_before)),
        ];
        Self::new(topic::OOM_SCENE, "memory when the OOM killer chose", data)
    }

    /// Where the core of a process went, by this pattern.
    #[must_use]
    pub fn core(process: Process, pattern: &str, place: &CorePlace) -> Self {
        let (file, piped_to) = match place {
            CorePlace::File(file) => (Some(file.clone()), None),
            CorePlace::Piped(program) => (None, Some(program.clone())),
            CorePlace::Unknown => (None, None),
        };
        let data = [
            ("pid", Value::from(process.tgid.0)),
            ("start_boottime_ns", start(process.key.start)),
            ("pattern", Value::from(pattern)),
            ("file", Value::from(file)),
            ("piped_to", Value::from(piped_to)),
        ];
        Self::new(topic::CORE, "where a core went", data)
    }

    /// A particular that is a whole number.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        self.data.get(key)?.as_u64()
    }

    pub(crate) fn new<const N: usize>(topic: &str, text: &str, data: [(&str, Value); N]) -> Self {
        let data = data.map(|(key, value)| (key.to_owned(), value));
        Self {
            topic: topic.to_owned(),
            text: text.to_owned(),
            data: Map::from_iter(data),
        }
    }
}

fn start(start: BootNs) -> Value {
    Value::from(start.0)
}
