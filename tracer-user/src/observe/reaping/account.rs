//! The record of a reap: one JSON line for the intent, each signal and the outcome, in `reaps.jsonl`.

use std::{fs::File, io, io::Write as _};

use jiff::Timestamp;
use rustix::fs::{Mode, OFlags};
use serde::Serialize;

use super::Target;
use crate::{
    observe::ObserveError,
    procfs::{Identity, ProcRoot, host::read_wall_us},
    session::{reaps, store::Dir},
    target::held::Sent,
};

/// What became of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Nothing was done to it.
    Left,
    /// It ended before any signal.
    EndedItself,
    /// It ended after SIGTERM.
    Terminated,
    /// It ended after SIGKILL.
    Killed,
    /// It lives, and why.
    Survived(String),
}

/// One process of a reap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reaped {
    /// Its pid.
    pub pid: u32,
    /// Its start in clock ticks after boot.
    pub starttime_ticks: u64,
    /// Its name.
    pub comm: String,
    /// Its command line, without secrets, cut.
    pub cmdline: String,
    /// The session that left it; null for what was forked meanwhile.
    pub session: Option<String>,
    /// What became of it.
    pub fate: Fate,
}

/// What a reap came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Nothing was done.
    pub dry_run: bool,
    /// Whom it was about.
    pub reaped: Vec<Reaped>,
    /// What there is to know besides.
    pub notes: Vec<String>,
    /// What could not be looked at.
    pub failures: Vec<String>,
}

impl Report {
    /// How many live on although they were to be ended.
    #[must_use]
    pub fn survivors(&self) -> usize {
        let survived = |reaped: &&Reaped| matches!(reaped.fate, Fate::Survived(_));
        self.reaped.iter().filter(survived).count()
    }
}

impl Reaped {
    pub(super) fn of(target: &Target, fate: Fate) -> Self {
        let identity = target.held.identity();
        Self {
            pid: identity.tgid.0,
            starttime_ticks: identity.start.0,
            comm: target.comm.clone(),
            cmdline: target.cmdline.clone(),
            session: target.session.map(|id| id.to_string()),
            fate,
        }
    }
}

#[derive(Serialize)]
struct Begin<'a> {
    at: String,
    event: &'static str,
    boot_id: &'a str,
    observer_pid: u32,
    targets: Vec<Reaped>,
}

#[derive(Serialize)]
struct Signal<'a> {
    at: String,
    event: &'static str,
    observer_pid: u32,
    pid: u32,
    starttime_ticks: u64,
    #[serde(rename = "signal")]
    name: &'a str,
    result: String,
}

#[derive(Serialize)]
struct End<'a> {
    at: String,
    event: &'static str,
    observer_pid: u32,
    survivors: usize,
    #[serde(flatten)]
    report: &'a Report,
}

/// The record while it is written.
pub(super) struct Account<'a> {
    file: File,
    dir: &'a Dir,
    failed: Option<io::Error>,
}

impl<'a> Account<'a> {
    /// Puts down what is about to happen, durably: without that nothing may happen.
    pub(super) fn begin(
        dir: &'a Dir,
        proc: &ProcRoot,
        targets: &[Target],
    ) -> Result<Self, ObserveError> {
        let failed = |source| ObserveError::System {
            step: "write to reaps.jsonl in the state directory; nothing was ended",
            source,
        };
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
        let file = dir
            .open(reaps::FILE, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| failed(errno.into()))?;
        let mut account = Self {
            file: file.into(),
            dir,
            failed: None,
        };
        account.put(&Begin {
            at: now(),
            event: "begin",
            boot_id: &proc.host().boot_id,
            observer_pid: std::process::id(),
            targets: targets
                .iter()
                .map(|target| Reaped::of(target, Fate::Left))
                .collect(),
        });
        account.settle().map_err(failed)?;
        Ok(account)
    }

    /// Puts down one signal.
    pub(super) fn signal(&mut self, who: Identity, signal: &str, sent: &io::Result<Sent>) {
        let result = match sent {
            Ok(Sent::Sent) => "sent".to_owned(),
            Ok(Sent::Gone) => "gone".to_owned(),
            Err(error) => error.to_string(),
        };
        self.put(&Signal {
            at: now(),
            event: "signal",
            observer_pid: std::process::id(),
            pid: who.tgid.0,
            starttime_ticks: who.start.0,
            name: signal,
            result,
        });
    }

    /// Puts down the outcome, durably.
    pub(super) fn end(mut self, report: &Report) -> Result<(), ObserveError> {
        self.put(&End {
            at: now(),
            event: "end",
            observer_pid: std::process::id(),
            survivors: report.survivors(),
            report,
        });
        self.settle().map_err(|source| ObserveError::System {
            step: "write to reaps.jsonl what was done",
            source,
        })
    }

    fn put(&mut self, line: &impl Serialize) {
        let written = reaps::line(line).and_then(|line| self.file.write_all(&line));
        if let Err(error) = written {
            self.failed.get_or_insert(error);
        }
    }

    fn settle(&mut self) -> io::Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.file.sync_all()?;
        Ok(self.dir.sync()?)
    }
}

fn now() -> String {
    let now = Timestamp::from_microsecond(read_wall_us()).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{now:.6}")
}
