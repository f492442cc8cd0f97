//! `tracer watch`: looks at intervals, tells the notifiers, and keeps what was told.
//!
//! Read-only on everything but its own state. Order of each look: decide, put the news on disk, hand them
//! over, forget that they are pending. Switched off, it opens nothing at all.

mod cgroups;
mod following;
mod keeping;
mod leftovers;
mod orders;
mod places;
mod source;
mod telling;

use std::{
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use self::{
    following::Following, keeping::Keeping, leftovers::LeftBehind, places::Checked,
    telling::Telling,
};
use super::{
    ObserveError,
    error::chain,
    ready::{Ready, event_loop},
    recover,
};
use crate::{
    config::{
        RecoverConfig,
        watch::{Flags, WatchSettings, reload},
    },
    procfs::ProcRoot,
    session::redact::redact_argv,
    target::signals::SignalFd,
    units::BootNs,
    watch::{
        collect::Collector,
        metrics::Degraded,
        notify::{Notifiers, Say},
        patterns::Patterns,
        watcher::{self, Watcher},
    },
};

/// How long the end waits for notifiers.
const LAST: Duration = Duration::from_secs(5);
/// Directory of the notifiers' queues.
const QUEUES: &str = "watch-queues";
/// Said where nothing is looked at.
const OFF: &str = "the watch is off: --enable turns it on, or TRACER_WATCH_ENABLED=true, or enabled = true in its \
     configuration file (tracer config example prints one)";

/// `tracer watch`.
#[derive(Debug, Clone)]
pub struct WatchConfig {
    /// What to look for, and who is told.
    pub settings: WatchSettings,
    /// What the flags said: they have more weight than a file that is read again.
    pub flags: Flags,
    /// The file that is read again on SIGHUP.
    pub file: PathBuf,
    /// Where killed tracers may have left something in the kernel.
    pub bpffs: Option<PathBuf>,
    /// Look once and end.
    pub once: bool,
}

/// Watches until it is told to end.
///
/// # Errors
/// [`ObserveError`] when it cannot begin. What fails later is said, and tried again at the next look.
pub fn watch(config: &WatchConfig, say: &Say) -> Result<(), ObserveError> {
    let settings = &config.settings;
    if !settings.enabled {
        say(OFF);
        return Ok(());
    }
    let failed = |error: &dyn std::error::Error| ObserveError::Failed(chain(error));
    let patterns = Patterns::new(&settings.patterns).map_err(|error| failed(&error))?;
    // Before any thread is there to take one.
    let signals = SignalFd::install()?;
    recover_first(config, say);
    let store = recover::store(settings.state_dir.as_deref())?;
    let proc = ProcRoot::open("/proc")?;
    let keeping = Keeping::begin(store.dir())?;
    let following = Following::begin(&settings.follow, config.once, &keeping, (&proc, say))?;
    let telling = Telling::start(settings)?;
    let (_, at) = watcher::clocks(&proc);
    let collector = Collector::new(patterns, redact_argv);
    let state = keeping.read(say);
    let rules = watcher::rules(settings);
    let watcher = Watcher::new(&proc, rules, collector, redact_argv, state, at);
    let queues = store.dir().path().join(QUEUES);
    let notifiers =
        Notifiers::start(&settings.notify, &queues, say).map_err(|error| failed(&error))?;
    notifiers.only_these_are_open(&watcher.open().map(|alert| alert.key.clone()).collect());
    let mut round = Round {
        config,
        settings: settings.clone(),
        proc: &proc,
        keeping: &keeping,
        notifiers,
        left: LeftBehind::new(&store),
        following,
        watcher,
        telling,
        kept: true,
        say,
    };
    round.begin();
    let ended = if config.once {
        round.look();
        Ok(())
    } else {
        round.hello();
        event_loop()?.block_on(round.go_on(&signals))
    };
    round.end();
    ended
}

/// Sessions whose tracer was killed have no end, and what they left is theirs to tell of only then.
fn recover_first(config: &WatchConfig, say: &Say) {
    let recovery = RecoverConfig {
        state_dir: config.settings.state_dir.clone(),
        bpffs: config.bpffs.clone(),
        dry_run: false,
        foreign_dirs: Vec::new(),
    };
    if let Err(error) = recover::recover(&recovery) {
        say(&format!("sessions were not recovered: {}", chain(&error)));
    }
}

/// What looks need.
struct Round<'a> {
    config: &'a WatchConfig,
    /// As they are now.
    settings: WatchSettings,
    proc: &'a ProcRoot,
    keeping: &'a Keeping<'a>,
    notifiers: Notifiers,
    left: LeftBehind<'a>,
    following: Following<'a>,
    watcher: Watcher,
    telling: Telling,
    /// What is known is on disk.
    kept: bool,
    say: &'a Say,
}

impl Round<'_> {
    /// Tells what an earlier watcher decided, and perhaps told nobody.
    fn begin(&mut self) {
        // The end of what was open on another boot is decided, and not to be forgotten.
        self.keep();
        for alert in self.watcher.pending() {
            self.notifiers.offer(alert);
        }
        self.watcher.delivered();
        // Or the next watcher would tell it once more.
        self.keep();
    }

    async fn go_on(&mut self, signals: &SignalFd) -> Result<(), ObserveError> {
        let failed = |source| ObserveError::System {
            step: "wait for signals",
            source,
        };
        let ready = Ready::new(signals.as_fd()).map_err(failed)?;
        let mut next = Instant::now();
        loop {
            self.look();
            let interval = Duration::from_secs(self.settings.interval_s.max(1));
            // A look that took too long costs looks, and does not make a crowd of them.
            let due = next + interval;
            next = due.max(Instant::now());
            self.telling.began_late(due, next);
            loop {
                tokio::select! {
                    waited = ready.wait() => waited.map_err(failed)?,
                    () = tokio::time::sleep_until(next.into()) => break,
                    () = self.following.cgroup_made() => self.following.find(self.say),
                }
                while let Some(received) = signals.next().map_err(failed)? {
                    match received.signo {
                        libc::SIGTERM | libc::SIGINT | libc::SIGQUIT => return Ok(()),
                        libc::SIGHUP => {
                            self.read_again();
                            if !self.settings.enabled {
                                (self.say)(OFF);
                                return Ok(());
                            }
                            // What is new may be to be told now.
                            next = Instant::now();
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    fn look(&mut self) {
        let began = Instant::now();
        let (now, at) = watcher::clocks(self.proc);
        self.left.look(self.proc, self.say);
        self.following.look(self.proc, now, at, self.say);
        self.ask_sessions(now);
        let (left, orphans) = (self.left.left(), self.following.orphans());
        let tick = self.watcher.tick(self.proc, now, at, left, orphans);
        if let Some(warning) = tick.warning {
            (self.say)(warning);
        }
        // What could not be kept is kept at the next look, news or not.
        if !tick.news.is_empty() || !self.kept {
            self.keep();
            for alert in &tick.news {
                self.notifiers.offer(alert);
            }
            self.watcher.delivered();
            self.keep();
        }
        let interval = Duration::from_secs(self.settings.interval_s.max(1));
        self.telling.degraded(self.degraded(tick.blind));
        self.telling.show(
            began.elapsed(),
            &tick.news,
            &self.watcher,
            &self.notifiers,
            (&self.following, &self.left),
            (self.proc, interval),
        );
    }

    /// Says what it does: whoever started it by hand sees nothing else for an hour.
    fn hello(&self) {
        let WatchSettings {
            age_min,
            patterns,
            interval_s,
            ..
        } = &self.settings;
        (self.say)(&format!(
            "watching for processes older than {age_min} min that a session left behind or that fit \
             {patterns:?}; a look every {interval_s} s"
        ));
        if let Some(addr) = self.telling.addr() {
            (self.say)(&format!("metrics are at http://{addr}/metrics"));
        }
    }

    /// Puts on disk what is known now. Of a disk that does not take it for long, the beginning is said.
    fn keep(&mut self) {
        let written = self.keeping.write(&self.watcher.state());
        if let Err(why) = &written
            && self.kept
        {
            (self.say)(&format!(
                "what was told cannot be kept: {why}; after an end of this watcher it may be told again"
            ));
        }
        self.kept = written.is_ok();
    }

    /// What does not work as it should.
    fn degraded(&self, blind: bool) -> Vec<Degraded> {
        let part = |part: &str, why: &str| Degraded {
            part: part.to_owned(),
            why: why.to_owned(),
        };
        let mut degraded = Vec::new();
        if blind {
            degraded.push(part("procfs", "/proc cannot be listed: nothing is told of"));
        }
        if !self.kept {
            let why = "what was told cannot be kept: a restart may tell it again";
            degraded.push(part("state", why));
        }
        degraded
    }

    /// Finds the sessions of those orphans that are old enough to be told of.
    fn ask_sessions(&mut self, now: BootNs) {
        let age_ns = self.settings.age_min.saturating_mul(60_000_000_000);
        let older_than = BootNs(now.0.saturating_sub(age_ns)).to_ticks(self.proc.host().clk_tck);
        let unasked = self.following.unasked(older_than);
        let sessions = self.left.on_record(&unasked, self.proc, self.say);
        self.following.of_sessions(sessions, self.say);
    }

    /// Reads the file again; with anything wrong in it everything stays as it is.
    fn read_again(&mut self) {
        let done = self.try_read_again(&self.config.file);
        self.telling.config_ok(done.is_ok());
        match done {
            Ok(()) => (self.say)("settings were read again"),
            Err(why) => (self.say)(&format!(
                "{}: {why}; the settings stay as they are",
                self.config.file.display()
            )),
        }
    }

    fn try_read_again(&mut self, file: &Path) -> Result<(), String> {
        let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
        let environment = |key: &str| std::env::var(key).ok();
        let new = reload(&self.settings, &text, &environment, &self.config.flags)?;
        let patterns = Patterns::new(&new.patterns).map_err(|error| chain(&error))?;
        let checked = Checked::look(&new.follow)?;
        self.notifiers
            .reload(&new.notify)
            .map_err(|error| chain(&error))?;
        self.following.follow(checked, self.say);
        self.watcher.follow(watcher::rules(&new), patterns);
        self.settings = new;
        Ok(())
    }

    fn end(mut self) {
        self.following.stop(LAST);
        for counters in self.notifiers.shutdown(LAST) {
            if counters.dropped > 0 {
                let (who, count) = (&counters.notifier, counters.dropped);
                (self.say)(&format!("{who}: {count} alerts were dropped"));
            }
        }
        self.telling.end(LAST);
    }
}

/// Says lines on whatever the caller shows people.
pub fn say(line: impl Fn(&str) + Send + Sync + 'static) -> Say {
    Arc::new(line)
}
