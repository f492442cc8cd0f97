//! `tracer watch`: looks at intervals, tells the notifiers, and keeps what was told.
//!
//! Read-only on everything but its own state. Order of each look: decide, put the news on disk, hand them
//! over, forget that they are pending. Switched off, it opens nothing at all.

mod keeping;
mod leftovers;

use std::{
    os::fd::AsFd,
    sync::Arc,
    time::{Duration, Instant},
};

use self::{keeping::Keeping, leftovers::LeftBehind};
use super::{
    ObserveError,
    error::chain,
    ready::{Ready, event_loop},
    recover,
};
use crate::{
    config::{RecoverConfig, notify::NotifySettings, watch::WatchConfig},
    procfs::ProcRoot,
    session::redact::redact_argv,
    target::signals::SignalFd,
    watch::{
        collect::Collector,
        notify::{Notifiers, Say},
        patterns::Patterns,
        watcher::{self, Watcher},
    },
};

/// How long the end waits for notifiers.
const LAST: Duration = Duration::from_secs(5);
/// Directory of the notifiers' queues.
const QUEUES: &str = "watch-queues";

/// Watches until it is told to end.
///
/// # Errors
/// [`ObserveError`] when it cannot begin. What fails later is said, and tried again at the next look.
pub fn watch(config: &WatchConfig, say: &Say) -> Result<(), ObserveError> {
    if !config.settings.enabled {
        say("the watch is off: TRACER_WATCH_ENABLED=true or --enable turns it on");
        return Ok(());
    }
    let patterns = Patterns::new(&config.settings.patterns)
        .map_err(|error| ObserveError::Failed(chain(&error)))?;
    // Before any thread is there to take one.
    let signals = SignalFd::install()?;
    recover_first(config, say);
    let store = recover::store(config.state_dir.as_deref())?;
    let proc = ProcRoot::open("/proc")?;
    let keeping = Keeping::begin(store.dir())?;
    let mut left = LeftBehind::new(&store);
    let (_, at) = watcher::clocks(&proc);
    let rules = watcher::rules(config.settings.older_than, config.settings.cooldown);
    let collector = Collector::new(patterns, redact_argv);
    let state = keeping.read(say);
    let mut watcher = Watcher::new(&proc, rules, collector, redact_argv, state, at);
    let queues = store.dir().path().join(QUEUES);
    let notifiers = Notifiers::start(&NotifySettings::default(), &queues, say)
        .map_err(|error| ObserveError::Failed(chain(&error)))?;
    notifiers.only_these_are_open(&watcher.open().map(|alert| alert.key.clone()).collect());
    // What an earlier watcher decided, and perhaps told nobody.
    keeping.write(&watcher.state(), say);
    for alert in watcher.pending() {
        notifiers.offer(alert);
    }
    watcher.delivered();
    let mut round = Round {
        proc: &proc,
        keeping: &keeping,
        notifiers: &notifiers,
        left: &mut left,
        watcher: &mut watcher,
        say,
    };
    let ended = if config.once {
        round.look();
        Ok(())
    } else {
        event_loop()?.block_on(round.go_on(&signals, config.settings.interval))
    };
    for counters in notifiers.shutdown(LAST) {
        if counters.dropped > 0 {
            say(&format!(
                "{}: {} alerts were dropped",
                counters.notifier, counters.dropped
            ));
        }
    }
    ended
}

/// Sessions whose tracer was killed have no end, and what they left is theirs to tell of only then.
fn recover_first(config: &WatchConfig, say: &Say) {
    let recovery = RecoverConfig {
        state_dir: config.state_dir.clone(),
        bpffs: config.bpffs.clone(),
        dry_run: false,
        foreign_dirs: Vec::new(),
    };
    if let Err(error) = recover::recover(&recovery) {
        say(&format!("sessions were not recovered: {}", chain(&error)));
    }
}

/// What a look needs.
struct Round<'a> {
    proc: &'a ProcRoot,
    keeping: &'a Keeping<'a>,
    notifiers: &'a Notifiers,
    left: &'a mut LeftBehind<'a>,
    watcher: &'a mut Watcher,
    say: &'a Say,
}

impl Round<'_> {
    async fn go_on(&mut self, signals: &SignalFd, interval: Duration) -> Result<(), ObserveError> {
        let failed = |source| ObserveError::System {
            step: "wait for signals",
            source,
        };
        let ready = Ready::new(signals.as_fd()).map_err(failed)?;
        let mut next = Instant::now();
        loop {
            self.look();
            // A look that took too long costs looks, and does not make a crowd of them.
            next = (next + interval).max(Instant::now());
            loop {
                tokio::select! {
                    waited = ready.wait() => waited.map_err(failed)?,
                    () = tokio::time::sleep_until(next.into()) => break,
                }
                while let Some(received) = signals.next().map_err(failed)? {
                    match received.signo {
                        libc::SIGTERM | libc::SIGINT | libc::SIGQUIT => return Ok(()),
                        libc::SIGHUP => {
                            (self.say)("SIGHUP: there is no configuration file to read");
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    fn look(&mut self) {
        let (now, at) = watcher::clocks(self.proc);
        let left = self.left.look(self.proc, self.say);
        let tick = self.watcher.tick(self.proc, now, at, left);
        if let Some(warning) = tick.warning {
            (self.say)(warning);
        }
        if tick.news.is_empty() {
            return;
        }
        self.keeping.write(&self.watcher.state(), self.say);
        for alert in &tick.news {
            self.notifiers.offer(alert);
        }
        self.watcher.delivered();
        self.keeping.write(&self.watcher.state(), self.say);
    }
}

/// Says lines on whatever the caller shows people.
pub fn say(line: impl Fn(&str) + Send + Sync + 'static) -> Say {
    Arc::new(line)
}
