//! The main path: target → probe → record → run → drain → end. Start reading here.
//!
//! [`run`] starts a command and [`attach`] joins a tree that is there; from then on both are the same.
//! Every other room of the house is entered from this one, and none of them knows another:
//!
//! * `target` holds the command before its first instruction, and finds the workload behind wrappers;
//! * `probe` is the kernel side: hooks, a ring of events, counted losses;
//! * `session` owns the record, on disk before the command's first instruction;
//! * `sampler` reads `/proc`; `tree` knows who lives; `verdict` says how it ended.
//!
//! Two promises shape the order of the steps. *Nothing is missed*: the target is in the kernel side's
//! map before it can run. *The command comes first*: whatever fails here, it runs, unless the user asked
//! for nothing less than a trace.

mod attached;
mod audience;
mod begin;
mod command;
mod end;
mod error;
mod follower;
mod json;
mod kernel;
mod leftovers;
mod losses;
mod outlived;
mod own;
mod past;
mod patience;
pub mod pins;
mod priority;
mod ready;
pub mod reaping;
pub mod recover;
mod rescue;
mod resume;
mod terminal;
mod unattended;
mod warden;
pub mod watching;

use self::{
    attached::Attachment, command::Command, end::Stop, error::chain, follower::Follower,
    ready::event_loop, rescue::rescue,
};
pub use self::{
    audience::{Audience, Ending},
    error::ObserveError,
    resume::resume,
};
use crate::{
    config::{AttachConfig, RunConfig},
    procfs::ProcRoot,
    session::crash::panics::survive,
};

/// Runs a command and records its process tree, from before its first instruction to its end.
///
/// # Errors
/// [`ObserveError`] when the command cannot be started, or, where the config requires a trace, when it
/// cannot be traced or recorded.
pub fn run(config: &RunConfig, audience: &mut dyn Audience) -> Result<Ending, ObserveError> {
    // The command is forked first, while this process has one thread, and held.
    let mut command = Command::hold(config)?;
    priority::go_ahead();
    let prepared = survive(|| begin::prepare(config, &command, audience));
    let (proc, probe, session) = match prepared.unwrap_or_else(|panicked| Err(panicked.into())) {
        Ok(prepared) => prepared,
        Err(error) if config.require_trace => return Err(error),
        Err(error) => {
            audience.notice(&format!("not observing: {}", chain(&error)));
            return event_loop()?.block_on(command.run_alone());
        }
    };

    let mut running = None;
    let observed = survive(|| {
        event_loop()?.block_on(async {
            let mut follower = Follower::new(session, proc, &config.observe, audience);
            // From here on no fork, exec or exit of the tree goes unseen.
            if let Err(error) = follower.track(probe) {
                let why = chain(&error);
                if config.require_trace {
                    let stop = Stop::NotStarted(why, 125);
                    follower.end(&stop, command.asking()).await;
                    return Err(error);
                }
                follower.say(&format!("running untraced: {why}"));
            }
            let older = recover::Beside::start(&config.observe);
            let stop = command.run(&mut running, &mut follower).await;
            older.end(&mut follower);
            let summary = follower.end(&stop, command.asking()).await;
            Command::exit_code(stop, summary.as_ref(), config.exit_from)
        })
    });
    // The record ends with a panic, the command does not.
    observed.unwrap_or_else(|panicked| rescue(config, command, running, panicked, audience))
}

/// Joins a process tree that is there and records it until it ends or the user has seen enough. The
/// target never notices.
///
/// # Errors
/// [`ObserveError`] when the process is not one to follow, tracking cannot start, or the workload does
/// not show.
pub fn attach(config: &AttachConfig, audience: &mut dyn Audience) -> Result<Ending, ObserveError> {
    priority::go_ahead();
    let proc = ProcRoot::open("/proc")?;
    let mut attachment = Attachment::check(&proc, config)?;
    let (probe, session) = begin::join(&proc, config, &attachment, audience)?;

    let observed = survive(|| {
        event_loop()?.block_on(async {
            let mut follower = Follower::new(session, proc, &config.observe, audience);
            if let Err(error) = follower.track(Some(probe)) {
                let stop = Stop::NotStarted(chain(&error), 125);
                follower.end(&stop, attachment.asking(&stop)).await;
                return Err(error);
            }
            let stop = attachment.watch(&mut follower, config).await;
            follower.end(&stop, attachment.asking(&stop)).await;
            match stop {
                Stop::Unresolved(reason) => Err(ObserveError::Unresolved(reason)),
                Stop::Failed(why) => Err(ObserveError::Failed(why)),
                _ => Ok(Ending { exit_code: 0 }),
            }
        })
    });
    observed.unwrap_or_else(|panicked| Err(panicked.into()))
}
