//! Recovery as a whole: sessions without an end, in the foreground or beside a run.
//!
//! Beside a run it is a guest: it begins when the command has begun, and when the command has ended
//! nobody waits for more than the session at hand, and not for long.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use super::{ObserveError, begin, leftovers::Leftovers};
use crate::{
    config::RecoverConfig,
    probe::decode::DecodeUnits,
    procfs::ProcRoot,
    session::{
        StateDir, Store,
        recorder::SessionError,
        recover::{Options, Outcome, Recovery, Report},
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
    within(
        config.state_dir.as_deref(),
        config.bpffs.as_deref(),
        &options,
    )
}

fn within(
    state_dir: Option<&Path>,
    bpffs: Option<&Path>,
    options: &Options,
) -> Result<Report, ObserveError> {
    let proc = ProcRoot::open("/proc")?;
    let Some(store) = existing_store(state_dir)? else {
        return Ok(Report::new(options.dry_run));
    };
    let own = begin::own_identity(&proc);
    let units = DecodeUnits {
        page_kb: proc.host().page_size / 1024,
    };
    let mut left = Leftovers::new(&store, bpffs, units);
    let report = Recovery::new(&store, &proc, own, options, &mut left).run();
    let mut report = report.map_err(SessionError::from)?;
    if !options.dry_run {
        left.sweep_into(&mut report);
    }
    Ok(report)
}

/// The store, unless nothing was ever recorded there: looking for sessions makes no directories.
fn existing_store(state_dir: Option<&Path>) -> Result<Option<Store>, ObserveError> {
    let uid = rustix::process::getuid().as_raw();
    let flag = state_dir.map(Path::to_path_buf);
    let state = StateDir::resolve(flag, |name| std::env::var_os(name), uid);
    let state = state.map_err(SessionError::from)?;
    if !state.path().join("sessions").exists() {
        return Ok(None);
    }
    Ok(Some(Store::open(&state).map_err(SessionError::from)?))
}

/// A recovery beside a run.
pub(super) struct Beside {
    stop: Arc<AtomicBool>,
    done: Receiver<Option<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Beside {
    /// Begins one. Where that cannot be, nothing is recovered this time.
    pub(super) fn start(state_dir: Option<&Path>, bpffs: Option<&Path>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, done) = channel();
        let options = Options {
            dry_run: false,
            patience: PATIENCE,
            stop: Arc::clone(&stop),
        };
        let state_dir = state_dir.map(Path::to_path_buf);
        let bpffs = bpffs.map(Path::to_path_buf);
        let thread = std::thread::Builder::new()
            .name("recovery".to_owned())
            .spawn(move || {
                // Nobody may be there to hear it any more.
                let report = within(state_dir.as_deref(), bpffs.as_deref(), &options);
                let _ = tell.send(words(&report));
            });
        Self {
            stop,
            done,
            thread: thread.ok(),
        }
    }

    /// Lets it end; what people should hear of it.
    pub(super) fn end(mut self) -> Option<String> {
        self.stop.store(true, Ordering::Relaxed);
        match self.done.recv_timeout(LAST) {
            Ok(words) => {
                if let Some(thread) = self.thread.take() {
                    let _panicked = thread.join();
                }
                words
            }
            // It hangs in the disk and owns nothing anyone waits for. The session at hand is left
            // without an end, as it was, for the next recovery.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
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
