//! Telling others of alerts: each notifier on a thread of its own, with a bounded queue on disk, so that
//! one that is slow, broken or gone changes nothing for the others and nothing for the watcher.
//!
//! An alert goes to the thread that files it (`spool`), from there into the inbox of every notifier, and
//! is taken out when it is told. Delivery is at least once: whoever is killed between telling and taking
//! out tells it again.

mod alertmanager;
mod board;
mod command;
mod count;
mod failure;
mod http;
mod json;
mod lines;
mod outage;
mod plan;
mod queue;
mod running;
#[cfg(test)]
mod sample;
mod secret;
mod shared;
mod spool;
mod store;
mod webhook;
mod worker;

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use thiserror::Error;

pub use self::count::Counters;
use self::{lines::Lines, plan::Plan, running::Running, spool::Spool};
use crate::{config::notify::NotifySettings, watch::alert::Alert};

/// How often the end of a thread is looked for: `std` joins without a deadline or not at all.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Says one line to whoever runs the watch.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// Why nobody could be told.
#[derive(Debug, Error)]
pub enum NotifyError {
    /// No thread to be had.
    #[error("start a thread for notifier {name}")]
    Thread {
        /// Whose.
        name: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The queue of a notifier cannot be used.
    #[error("open the queue of notifier {name} in {dir}: make the directory writable")]
    Queue {
        /// Whose.
        name: String,
        /// Where it should be.
        dir: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A notifier that was removed has not come to its end, and has the queue of the new one.
    #[error("notifier {name} was removed and is still in its last attempt: reload once more")]
    StillEnding {
        /// Which.
        name: String,
    },
}

/// Everybody who is told.
pub struct Notifiers {
    lines: Option<Lines>,
    spool: Spool,
    running: Vec<Running>,
    /// Removed by a reload, in their last attempt.
    ending: Vec<Running>,
    /// Alerts that never reached the spool.
    missed: AtomicU64,
    queues: PathBuf,
    host: String,
    say: Say,
}

impl Notifiers {
    /// Starts them. `queues` is a directory of their own, made when it is not there; what an earlier
    /// run has left there is delivered first.
    ///
    /// # Errors
    /// What is missing, by notifier.
    pub fn start(settings: &NotifySettings, queues: &Path, say: &Say) -> Result<Self, NotifyError> {
        Self::start_with(settings, queues, Box::new(io::stdout()), say)
    }

    /// The same, with JSON lines going elsewhere than to standard output.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(
        settings: &NotifySettings,
        queues: &Path,
        stdout: Box<dyn Write + Send>,
        say: &Say,
    ) -> Result<Self, NotifyError> {
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy().into_owned();
        let running = Plan::all(settings, &host)
            .into_iter()
            .map(|plan| Running::start(plan, queues, say))
            .collect::<Result<Vec<_>, _>>()?;
        let lines = settings.stdout.then(|| Lines::start(stdout, say));
        Ok(Self {
            lines: lines.transpose()?,
            spool: Spool::start(inboxes(&running))?,
            running,
            ending: Vec::new(),
            missed: AtomicU64::new(0),
            queues: queues.to_path_buf(),
            host,
            say: Arc::clone(say),
        })
    }

    /// Hands an alert to everybody. Never blocks; whoever has no room for it counts it as dropped.
    pub fn offer(&self, alert: &Alert) {
        if let Some(lines) = &self.lines {
            lines.offer(alert);
        }
        if !self.running.is_empty() && !self.spool.alert(alert) {
            for running in &self.running {
                running.dropped(1);
            }
            if self.missed.fetch_add(1, Ordering::Relaxed) == 0 {
                (self.say)("the disk of the notifiers' queues does not answer: alerts are dropped");
            }
        }
    }

    /// What a new watcher knows to be open, by [`Alert::key`]: everything else that a notifier still
    /// holds open from earlier is over, and is told so. Never blocks.
    pub fn only_these_are_open(&self, keys: &BTreeSet<String>) {
        if !self.spool.only(keys) {
            (self.say)("the disk of the notifiers' queues does not answer: old alerts stay open");
        }
    }

    /// Goes on with other settings: what is new starts, what is gone ends after the attempt it is in, and
    /// what is still there keeps its queue and its counters. Whether JSON lines are printed is decided at
    /// the start. Never blocks on a notifier.
    ///
    /// # Errors
    /// As [`Self::start`]; everything is then as it was.
    pub fn reload(&mut self, settings: &NotifySettings) -> Result<(), NotifyError> {
        self.ending.retain(|ending| !ending.is_over());
        let plans = Plan::all(settings, &self.host);
        let mut fresh = Vec::new();
        for plan in plans.iter().filter(|plan| !has(&self.running, plan)) {
            if has(&self.ending, plan) {
                let name = plan.settings.name.clone();
                return Err(NotifyError::StillEnding { name });
            }
            match Running::start(plan.clone(), &self.queues, &self.say) {
                Ok(running) => fresh.push(running),
                Err(error) => {
                    for running in &fresh {
                        running.inbox.stop(Instant::now());
                    }
                    self.ending.append(&mut fresh);
                    return Err(error);
                }
            }
        }
        for mut running in std::mem::take(&mut self.running) {
            match plans.iter().find(|plan| same(&running.plan, plan)) {
                Some(plan) if *plan == running.plan => self.running.push(running),
                Some(plan) => {
                    running.inbox.replan(plan.clone());
                    running.plan = plan.clone();
                    self.running.push(running);
                }
                None => {
                    running.inbox.stop(Instant::now());
                    self.ending.push(running);
                }
            }
        }
        self.running.append(&mut fresh);
        if !self.spool.serve(inboxes(&self.running)) {
            (self.say)("the disk of the notifiers' queues does not answer: reload once more");
        }
        Ok(())
    }

    /// What became of the alerts so far, by notifier.
    #[must_use]
    pub fn counters(&self) -> Vec<Counters> {
        let lines = self.lines.iter().map(Lines::counters);
        lines
            .chain(self.running.iter().map(Running::counters))
            .collect()
    }

    /// Takes nothing more, delivers what it can until `deadline`, and returns what came of it all. What
    /// is left on disk is delivered by the next run.
    #[must_use]
    pub fn shutdown(self, deadline: Duration) -> Vec<Counters> {
        let until = Instant::now() + deadline;
        let unfiled = self.spool.shutdown(until);
        for running in self.running.iter().chain(&self.ending) {
            running.inbox.stop(until);
        }
        for running in &self.running {
            running.dropped(unfiled);
        }
        let lines = self.lines.map(|lines| lines.shutdown(until));
        let mut counters: Vec<_> = lines.into_iter().collect();
        counters.extend(self.running.into_iter().map(|running| running.join(until)));
        for ending in self.ending {
            let _its_counters_are_gone = ending.join(until);
        }
        counters
    }
}

/// Settings of the same notifier, told in the same way.
fn same(a: &Plan, b: &Plan) -> bool {
    a.settings.name == b.settings.name && a.channel() == b.channel()
}

fn has(running: &[Running], plan: &Plan) -> bool {
    running.iter().any(|running| same(&running.plan, plan))
}

fn inboxes(running: &[Running]) -> Vec<Arc<dyn shared::Filing>> {
    running
        .iter()
        .map(|running| Arc::clone(&running.inbox))
        .collect()
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, NotifyError> {
    let builder = std::thread::Builder::new().name(format!("alerts-{name}"));
    builder.spawn(work).map_err(|source| NotifyError::Thread {
        name: name.to_owned(),
        source,
    })
}

/// Waits for a thread's end. False: it has not come.
fn join_until(thread: JoinHandle<()>, until: Instant) -> bool {
    while !thread.is_finished() && Instant::now() < until {
        std::thread::sleep(LOOK_EVERY);
    }
    // A panic in it has been told by the hook.
    thread.is_finished() && thread.join().is_ok()
}
