//! `tracer reap`: ends what ended sessions left behind, and nobody else.
//!
//! Whom a session left, its record says; each is held by its directory in `/proc` from the first look on,
//! and every signal goes through a pidfd that was checked against that. The kernel side follows them while
//! they are ended, so that what they fork meanwhile is ended too; without it `/proc` is asked for their
//! children, which is less sure and is said. What was done is on disk, the intent before the first signal.

mod account;
mod living;

use std::{collections::HashSet, time::Duration};

use rustix::event::Timespec;

pub use self::account::{Fate, Reaped, Report};
use self::{account::Account, living::Flock};
use super::{ObserveError, error::chain, recover, warden::course::Course};
use crate::{
    config::reap::ReapConfig,
    procfs::{ProcRoot, host::read_mono_ns, stat::State},
    session::{SessionId, Store, left, list::reference::find, redact::redact_argv},
    target::held::{Held, Sent},
    units::{Tgid, Ticks},
    verdict::signals,
    watch::{holders, patterns::Patterns},
};

const SIGTERM: i32 = 15;
const SIGCONT: i32 = 18;

/// A process to be ended.
pub(super) struct Target {
    pub(super) held: Held,
    pub(super) session: Option<SessionId>,
    pub(super) comm: String,
    pub(super) cmdline: String,
}

/// Looks for what was left and ends it, or only says what it would end.
///
/// # Errors
/// [`ObserveError`] when nothing could be begun: no such session, no record of it.
pub fn reap(config: &ReapConfig) -> Result<Report, ObserveError> {
    let store = recover::store(config.state_dir.as_deref())?;
    let proc = ProcRoot::open("/proc")?;
    let mut report = Report {
        dry_run: config.dry_run,
        ..Report::default()
    };
    let mut targets = chosen(config, &store, &proc, &mut report)?;
    targets.sort_by_key(|target| (target.held.identity().start, target.held.identity().tgid));
    if config.dry_run || targets.is_empty() {
        let fates = targets.iter().map(|target| Reaped::of(target, Fate::Left));
        report.reaped = fates.collect();
        return Ok(report);
    }
    let mut account = Account::begin(store.dir(), &proc, &targets)?;
    let mut flock = Flock::gather(&proc, targets, &mut report);
    end_all(&mut flock, config.grace, &mut account);
    report.reaped = flock.into_fates();
    account.end(&report)?;
    Ok(report)
}

/// Whom the chosen sessions have left and who lives.
fn chosen(
    config: &ReapConfig,
    store: &Store,
    proc: &ProcRoot,
    report: &mut Report,
) -> Result<Vec<Target>, ObserveError> {
    let failed = |error: &dyn std::error::Error| ObserveError::Failed(chain(error));
    let patterns = Patterns::new(&config.patterns).map_err(|error| failed(&error))?;
    let all = store.session_ids().map_err(|error| failed(&error))?;
    let ids = if config.sessions.is_empty() {
        all
    } else {
        let named = config.sessions.iter().map(|text| find(&all, text));
        named
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| failed(&error))?
    };
    let mut targets = Vec::new();
    let spared = living::own_line(proc);
    let mut seen: HashSet<(Tgid, Ticks)> = HashSet::new();
    for id in ids {
        let left = match left::left(store, &id) {
            Ok(Some(left)) => left,
            Ok(None) => {
                // Whoever names a session wants to know why nothing happens to it.
                if !config.sessions.is_empty() {
                    report.notes.push(format!(
                        "session {id} has not ended: what runs in it is not left behind"
                    ));
                }
                continue;
            }
            Err(error) => {
                report
                    .failures
                    .push(format!("what {id} left is not known: {}", chain(&error)));
                continue;
            }
        };
        let fits = |(key, value): &(String, String)| left.labels.get(key) == Some(value);
        if left.boot_id != proc.host().boot_id || !config.labels.iter().all(fits) {
            continue;
        }
        for (tgid, start) in left.processes {
            if !seen.insert((tgid, start)) {
                continue;
            }
            let Ok(held) = Held::look(proc, tgid, start) else {
                continue;
            };
            if spared.contains(&tgid) {
                report
                    .notes
                    .push(format!("pid {tgid} is spared: this tracer runs below it"));
                continue;
            }
            let words = held.dir().cmdline().unwrap_or_default();
            if !config.patterns.is_empty() && patterns.find(&words.join(&b' ')).is_none() {
                continue;
            }
            if let Ok(named) = holders::name(held.dir(), tgid, redact_argv) {
                targets.push(Target {
                    held,
                    session: Some(id),
                    comm: named.comm,
                    cmdline: named.cmdline,
                });
            }
        }
    }
    Ok(targets)
}

/// SIGTERM, the grace, SIGKILL, until nobody is left or no more can be done.
fn end_all(flock: &mut Flock<'_>, grace: Duration, account: &mut Account<'_>) {
    let mut course = Course::new(read_mono_ns(), SIGTERM, grace);
    loop {
        let now = read_mono_ns();
        let living = flock.living();
        if living.is_empty() || course.is_over(now) {
            return;
        }
        for (who, signal) in course.pass(now, &living) {
            let Some(held) = flock.held(who) else {
                continue;
            };
            let was_stopped = held.stat().is_ok_and(|stat| stat.state == State::Stopped);
            let sent = held.signal(signal, &mut |_| {});
            account.signal(held.identity(), &signals::name(signal), &sent);
            // A stopped process acts on nothing but SIGKILL.
            if was_stopped && matches!(sent, Ok(Sent::Sent)) {
                let woken = held.signal(SIGCONT, &mut |_| {});
                account.signal(held.identity(), &signals::name(SIGCONT), &woken);
            }
            flock.was_sent(who, signal, sent);
        }
        let pause = course.next().saturating_sub(read_mono_ns());
        if let Ok(pause) = Timespec::try_from(Duration::from_nanos(pause)) {
            // Nothing to wait for but the time: whoever was forked meanwhile shows in no descriptor.
            let _timeout = rustix::event::poll(&mut [], Some(&pause));
        }
    }
}
