//! Recovery as a whole: sessions without an end, in the foreground or beside a run.
//!
//! Beside a run it is a guest: it begins when the command has begun, and when the command has ended
//! nobody waits for more than the session at hand, and not for long.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use super::{Follower, ObserveError, leftovers::Leftovers, own, priority};
use crate::{
    config::{ObserveConfig, RecoverConfig},
    probe::decode::DecodeUnits,
    procfs::ProcRoot,
    session::{
        StateDir, Store,
        crash::{panics::contain, stack::SignalStack},
        recorder::SessionError,
        recover::{Options, Outcome, Recovery, Report, foreign::Importer},
    },
};

/// How long one session may take the disk, beside a run.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the end of a run waits for the session at hand.
const LAST: Duration = Duration::from_millis(200);

/// Recovers what there is to recover.
///
/// # Errors
/// [`ObserveError`] when `/proc` or the state directory cannot be used.
pub fn recover(config: &RecoverConfig) -> Result<Report, ObserveError> {
    let options = Options {
        dry_run: config.dry_run,
        ..Options::default()
    };
    let mut report = within(
        config.state_dir.as_deref(),
        config.bpffs.as_deref(),
        &options,
    )?;
    if !config.foreign_dirs.is_empty() {
        let proc = ProcRoot::open("/proc")?;
        let observer = own::identity(&proc);
        let state = state_dir(config.state_dir.as_deref())?;
        let store = if config.dry_run {
            existing_store(&state)?
        } else {
            Some(Store::open(&state).map_err(SessionError::from)?)
        };
        let mut importer = Importer::new(store.as_ref(), &proc, observer, &options);
        for dir in &config.foreign_dirs {
            let found = importer.run(dir).map_err(|source| ObserveError::Foreign {
                path: dir.clone(),
                source,
            })?;
            for found in found {
                report.add(found);
            }
        }
    }
    Ok(report)
}

fn within(
    state_dir: Option<&Path>,
    bpffs: Option<&Path>,
    options: &Options,
) -> Result<Report, ObserveError> {
    let proc = ProcRoot::open("/proc")?;
    let Some(store) = existing_store(&self::state_dir(state_dir)?)? else {
        return Ok(Report::new(options.dry_run));
    };
    let observer = own::identity(&proc);
    let units = DecodeUnits {
        page_kb: proc.host().page_size / 1024,
    };
    let mut left = Leftovers::new(&store, bpffs, units);
    let report = Recovery::new(&store, &proc, observer, options, &mut left).run();
    let mut report = report.map_err(SessionError::from)?;
    if !options.dry_run {
        left.sweep_into(&mut report);
    }
    Ok(report)
}

/// The store with its sessions.
pub(super) fn store(flag: Option<&Path>) -> Result<Store, ObserveError> {
    Ok(Store::open(&state_dir(flag)?).map_err(SessionError::from)?)
}

fn state_dir(flag: Option<&Path>) -> Result<StateDir, ObserveError> {
    let uid = rustix::process::getuid().as_raw();
    let flag = flag.map(Path::to_path_buf);
    let state = StateDir::resolve(flag, |name| std::env::var_os(name), uid);
    Ok(state.map_err(SessionError::from)?)
}

/// The store, unless nothing was ever recorded there: looking for sessions makes no directories.
fn existing_store(state: &StateDir) -> Result<Option<Store>, ObserveError> {
    Ok(Store::open_existing(state).map_err(SessionError::from)?)
}

/// A recovery beside a run.
pub(super) struct Beside {
    stop: Arc<AtomicBool>,
    done: Receiver<Option<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Beside {
    /// Begins one. Where that cannot be, nothing is recovered this time.
    pub(super) fn start(config: &ObserveConfig) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, done) = sync_channel(1);
        let options = Options {
            dry_run: false,
            patience: PATIENCE,
            stop: Arc::clone(&stop),
        };
        let (state_dir, bpffs) = (config.state_dir.clone(), config.bpffs.clone());
        let thread = std::thread::Builder::new()
            .name("recovery".to_owned())
            .spawn(move || {
                priority::stand_back();
                let _stack = SignalStack::for_this_thread();
                // A mistake in it must not end the session that it runs beside.
                let words =
                    contain(|| words(&within(state_dir.as_deref(), bpffs.as_deref(), &options)));
                let words = words.unwrap_or_else(|panicked| {
                    Some(format!(
                        "a mistake in tracer, recovering older sessions: {panicked}"
                    ))
                });
                // Nobody may be there to hear it any more.
                let _ = tell.send(words);
            });
        Self {
            stop,
            done,
            thread: thread.ok(),
        }
    }

    /// Lets it end, and says what people should hear of it.
    pub(super) fn end(mut self, follower: &mut Follower<'_>) {
        self.stop.store(true, Ordering::Relaxed);
        // One that hangs in the disk owns nothing anyone waits for. The session at hand is left
        // without an end, as it was, for the next recovery.
        let Ok(words) = self.done.recv_timeout(LAST) else {
            return;
        };
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
        if let Some(words) = words {
            follower.say(&words);
        }
    }
}

/// One line for people; nothing when nothing was done.
fn words(report: &Result<Report, ObserveError>) -> Option<String> {
    match report {
        Err(error) => Some(format!(
            "older sessions were not looked at: {}",
            super::chain(error)
        )),
        Ok(report) => {
            let ended = report.count(Outcome::Recovered) + report.count(Outcome::HostReboot);
            let failed = report.count(Outcome::Failed);
            let mut said = Vec::new();
            if ended > 0 {
                said.push(format!("ended {ended} older session{}", plural(ended)));
            }
            if failed > 0 {
                said.push(format!(
                    "could not recover {failed} older session{}: tracer recover says why",
                    plural(failed)
                ));
            }
            (!said.is_empty()).then(|| said.join("; "))
        }
    }
}

fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}
