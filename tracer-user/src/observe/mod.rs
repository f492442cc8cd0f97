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
mod begin;
mod command;
mod end;
mod error;
mod follower;
mod json;
mod kernel;
mod leftovers;
mod losses;
mod pins;
mod ready;
pub mod recover;
mod terminal;
mod unattended;

use std::path::Path;

pub use self::error::ObserveError;
use self::{attached::Attachment, command::Command, end::Stop, error::chain, follower::Follower};
use crate::{
    config::{AttachConfig, RunConfig},
    event::Event,
    procfs::ProcRoot,
    session::summary::Summary,
};

/// Whoever looks on. What an observation has to say to people goes through here.
pub trait Audience {
    /// The terminal is raw from now on, or no longer: lines need a carriage return meanwhile.
    fn raw_terminal(&mut self, raw: bool);
    /// A session has begun, in this directory.
    fn began(&mut self, directory: &Path);
    /// Something people should know.
    fn notice(&mut self, text: &str);
    /// An event, as it is taken.
    fn event(&mut self, event: &Event);
    /// The session has ended, and this is what it came to.
    fn finished(&mut self, summary: &Summary, directory: &Path);
}

/// How an observation came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// What tracer should exit with.
    pub exit_code: u8,
}

/// Runs a command and records its process tree, from before its first instruction to its end.
///
/// # Errors
/// [`ObserveError`] when the command cannot be started, or, where the config requires a trace, when it
/// cannot be traced or recorded.
pub fn run(config: &RunConfig, audience: &mut dyn Audience) -> Result<Ending, ObserveError> {
    // The command is forked first, while this process has one thread, and held.
    let mut command = Command::hold(config)?;
    let prepared = begin::prepare(config, &command, audience);
    let (proc, probe, session) = match prepared {
        Ok(prepared) => prepared,
        Err(error) if config.require_trace => return Err(error),
        Err(error) => {
            audience.notice(&format!("not observing: {}", chain(&error)));
            return event_loop()?.block_on(command.run_alone());
        }
    };

    event_loop()?.block_on(async {
        let mut follower = Follower::new(session, proc, &config.observe, audience);
        // From here on no fork, exec or exit of the tree goes unseen.
        if let Err(error) = follower.track(probe) {
            let why = chain(&error);
            if config.require_trace {
                follower.end(&Stop::NotStarted(why, 125)).await;
                return Err(error);
            }
            follower.say(&format!("running untraced: {why}"));
        }
        let older = recover::Beside::start(&config.observe);
        let stop = command.run(&mut follower).await;
        older.end(&mut follower);
        let summary = follower.end(&stop).await;
        Command::exit_code(stop, summary.as_ref(), config.exit_from)
    })
}

/// Joins a process tree that is there and records it until it ends or the user has seen enough. The
/// target never notices.
///
/// # Errors
/// [`ObserveError`] when the process is not one to follow, tracking cannot start, or the workload does
/// not show.
pub fn attach(config: &AttachConfig, audience: &mut dyn Audience) -> Result<Ending, ObserveError> {
    let proc = ProcRoot::open("/proc")?;
    let mut attachment = Attachment::check(&proc, config)?;
    let (probe, session) = begin::join(&proc, config, &attachment, audience)?;

    event_loop()?.block_on(async {
        let mut follower = Follower::new(session, proc, &config.observe, audience);
        if let Err(error) = follower.track(Some(probe)) {
            follower.end(&Stop::NotStarted(chain(&error), 125)).await;
            return Err(error);
        }
        let stop = attachment.watch(&mut follower, config).await;
        follower.end(&stop).await;
        match stop {
            Stop::Unresolved(reason) => Err(ObserveError::Unresolved(reason)),
            Stop::Failed(why) => Err(ObserveError::Failed(why)),
            _ => Ok(Ending { exit_code: 0 }),
        }
    })
}

/// One thread for everything but the recorder: events are handled in their order, without locks.
fn event_loop() -> Result<tokio::runtime::Runtime, ObserveError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|source| ObserveError::System {
            step: "start the event loop",
            source,
        })
}
