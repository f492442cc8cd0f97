//! What the watcher says of itself, as metrics, where somebody asked for them.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant, SystemTime},
};

use super::{following::Following, leftovers::LeftBehind};
use crate::{
    config::watch::WatchSettings,
    observe::{ObserveError, error::chain},
    procfs::ProcRoot,
    units::Tgid,
    watch::{
        alert::{Alert, Decision, Kind},
        metrics::{
            Degraded, Durations, Readings,
            server::{Server, seconds_since_1970},
        },
        notify::Notifiers,
        watcher::Watcher,
    },
};

/// Looks that may be missing before the watch counts as hanging.
const LATE: u32 = 3;

/// Counters of the watch, and the server that shows them.
pub(super) struct Telling {
    server: Option<Server>,
    ticks: Durations,
    missed: u64,
    decisions: BTreeMap<(String, String), u64>,
    start_time_s: f64,
    config_ok: bool,
    degraded: Vec<Degraded>,
}

impl Telling {
    /// Begins to serve, if that was asked for.
    pub(super) fn start(settings: &WatchSettings) -> Result<Self, ObserveError> {
        let server = settings.metrics.map(Server::start).transpose();
        let decisions = [Decision::Alert, Decision::Realert, Decision::Recovery];
        let none = |decision: Decision| (named(Kind::Orphan.as_str(), decision), 0);
        Ok(Self {
            server: server.map_err(|error| ObserveError::Failed(chain(&error)))?,
            ticks: Durations::default(),
            missed: 0,
            // What begins at 0 has an increase when the first comes.
            decisions: decisions.map(none).into(),
            start_time_s: seconds_since_1970(SystemTime::now()),
            config_ok: true,
            degraded: Vec::new(),
        })
    }

    /// Where it serves.
    pub(super) fn addr(&self) -> Option<SocketAddr> {
        self.server.as_ref().map(Server::addr)
    }

    /// What does not work as it should.
    pub(super) fn degraded(&mut self, degraded: Vec<Degraded>) {
        self.degraded = degraded;
    }

    /// Counts a look that begins later than it was due.
    pub(super) fn began_late(&mut self, due: Instant, begins: Instant) {
        self.missed += u64::from(begins > due);
    }

    /// Whether the settings were last read well.
    pub(super) fn config_ok(&mut self, ok: bool) {
        self.config_ok = ok;
    }

    /// Shows what a look came to.
    pub(super) fn show(
        &mut self,
        took: Duration,
        news: &[Alert],
        watcher: &Watcher,
        notifiers: &Notifiers,
        (following, left): (&Following<'_>, &LeftBehind<'_>),
        (proc, interval): (&ProcRoot, Duration),
    ) {
        self.ticks.add(took);
        for alert in news {
            let key = named(alert.kind.as_str(), alert.decision);
            *self.decisions.entry(key).or_default() += 1;
        }
        let Some(server) = &self.server else {
            return;
        };
        let mut alerts_open = BTreeMap::from([(Kind::Orphan.as_str().to_owned(), 0)]);
        for alert in watcher.open() {
            *alerts_open
                .entry(alert.kind.as_str().to_owned())
                .or_default() += 1;
        }
        let own = proc.process(Tgid(std::process::id()));
        let clk_tck = proc.host().clk_tck.max(1);
        let cpu = own.as_ref().ok().and_then(|own| own.stat().ok());
        let status = own.as_ref().ok().and_then(|own| own.status().ok());
        let mut readings = Readings {
            sessions: left.sessions().clone(),
            processes_seen: watcher.extent().0 as u64,
            alerts_open,
            decisions: self.decisions.clone(),
            notifiers: notifiers.counters(),
            ticks: self.ticks.clone(),
            ticks_missed: self.missed,
            cpu: cpu.map_or(Duration::ZERO, |stat| {
                Duration::from_millis(stat.cpu().0.saturating_mul(1000) / clk_tck)
            }),
            rss_bytes: status
                .and_then(|status| status.vm_rss_kb)
                .unwrap_or(0)
                .saturating_mul(1024),
            open_fds: own.and_then(|own| own.fd_count()).unwrap_or(0),
            start_time_s: self.start_time_s,
            degraded: self.degraded.clone(),
            config_ok: self.config_ok,
            ..Readings::default()
        };
        following.read_into(&mut readings);
        server.publish(
            readings,
            interval.saturating_mul(LATE) + Duration::from_secs(10),
        );
    }

    /// Serves no more.
    pub(super) fn end(self, deadline: Duration) {
        if let Some(server) = self.server {
            // Nobody is left to tell that a scraper did not hang up.
            let _in_time = server.shutdown(deadline);
        }
    }
}

fn named(kind: &str, decision: Decision) -> (String, String) {
    (kind.to_owned(), decision.as_str().to_owned())
}
