//! The command of `tracer run`: held, released, served with signals, and reaped.

mod afterwards;
mod serve;
mod signals;

use std::time::Instant;

use super::{
    Ending, ObserveError, end::Stop, error::chain, follower::Follower, patience::Asking,
    terminal::Terminal, warden::Warden,
};
use crate::{
    config::{ExitFrom, RunConfig},
    session::summary::Summary,
    target::{
        LaunchError, LaunchSpec, RunningChild, SuspendedChild, User, orphans,
        signals::{Received, SignalFd},
    },
    units::Tgid,
    verdict::WaitStatus,
};

/// The command.
pub(super) struct Command {
    held: Option<SuspendedChild>,
    pid: Tgid,
    uid: u32,
    signals: SignalFd,
    terminal: Option<Terminal>,
    /// Ends it when its time is over, and what it leaves.
    warden: Warden,
    /// Read, and not dealt with yet: whoever goes on after a panic deals with it.
    at_hand: Option<Received>,
    /// When all signals until then had been read.
    looked: Instant,
    /// Somebody has asked to stop.
    asked: bool,
    /// Its wait status, once it has ended.
    status: Option<i32>,
}

impl Command {
    /// Forks the command and holds it before its first instruction; from then on, signals are events.
    /// Must be called while this process has one thread.
    pub(super) fn hold(config: &RunConfig) -> Result<Self, ObserveError> {
        let user = config.user.as_deref().map(User::lookup).transpose()?;
        let uid = user
            .as_ref()
            .map_or(rustix::process::getuid().as_raw(), User::uid);
        let mut terminal = config.pty.then(Terminal::open).transpose()?;
        let pty = terminal
            .as_mut()
            .and_then(|terminal| terminal.pty().slave());
        orphans::adopt();
        let held = SuspendedChild::spawn(&LaunchSpec {
            argv: config.command.clone(),
            pty,
            user,
        })?;
        if let Some(terminal) = &mut terminal {
            terminal.pty().close_slave();
        }
        let signals = SignalFd::install()?;
        let pid = Tgid(held.pid().as_raw_pid().cast_unsigned());
        Ok(Self {
            held: Some(held),
            pid,
            uid,
            signals,
            terminal,
            warden: Warden::new(&config.ending),
            at_hand: None,
            looked: Instant::now(),
            asked: false,
            status: None,
        })
    }

    /// Its pid.
    pub(super) fn pid(&self) -> Tgid {
        self.pid
    }

    /// The user it runs as.
    pub(super) fn uid(&self) -> u32 {
        self.uid
    }

    /// Releases the command into `running`, which outlives a panic here, and serves it until it ends.
    pub(super) async fn run(
        &mut self,
        running: &mut Option<RunningChild>,
        follower: &mut Follower<'_>,
    ) -> Stop {
        let child = match self.release() {
            Ok(child) => running.insert(child),
            Err(error) => return Stop::NotStarted(chain(&error), error.exit_code()),
        };
        let served = self.serve(child, Some(&mut *follower)).await;
        let served = served.or_else(|source| {
            follower.say(&format!("no longer observing the command: {source}"));
            self.serve_to_the_end(child)
        });
        match served {
            Ok(status) => {
                self.afterwards(child, Some(follower));
                Stop::RootEnded(Some(status))
            }
            Err(source) => Stop::Failed(format!("cannot wait for the command: {source}")),
        }
    }

    /// Runs the command without observing it.
    pub(super) async fn run_alone(mut self) -> Result<Ending, ObserveError> {
        let child = self.release()?;
        self.serve_alone(child).await
    }

    /// Serves it to its end, however far it has come, after a panic has ended its observation. `None`:
    /// it never began, or is not to.
    pub(super) async fn go_on(
        mut self,
        running: Option<RunningChild>,
        may_begin: bool,
    ) -> Option<Result<Ending, ObserveError>> {
        if let Some(status) = self.status {
            return Some(Ok(ended(status)));
        }
        let child = match running {
            Some(child) => child,
            None if may_begin && self.held.is_some() => match self.release() {
                Ok(child) => child,
                Err(error) => return Some(Err(error.into())),
            },
            None => return None,
        };
        Some(self.serve_alone(child).await)
    }

    async fn serve_alone(mut self, mut child: RunningChild) -> Result<Ending, ObserveError> {
        let served = self.serve(&mut child, None).await;
        let status = served.or_else(|_| self.serve_to_the_end(&mut child));
        let status = status.map_err(|source| ObserveError::System {
            step: "wait for the command",
            source,
        })?;
        self.afterwards(&child, None);
        Ok(ended(status))
    }

    /// Who may ask for a faster end.
    pub(super) fn asking(&self) -> Asking<'_> {
        Asking {
            signals: &self.signals,
            asked: self.asked,
        }
    }

    /// What tracer should exit with.
    pub(super) fn exit_code(
        stop: Stop,
        summary: Option<&Summary>,
        from: ExitFrom,
    ) -> Result<Ending, ObserveError> {
        match stop {
            Stop::RootEnded(Some(status)) => {
                let own = WaitStatus(status.cast_unsigned()).shell_code();
                let workload = summary
                    .filter(|_| from == ExitFrom::Workload)
                    .and_then(|summary| u8::try_from(summary.exit_code).ok());
                Ok(Ending {
                    exit_code: workload.unwrap_or(own),
                })
            }
            Stop::NotStarted(why, code) => Err(ObserveError::NotStarted { why, code }),
            Stop::Failed(why) => Err(ObserveError::Failed(why)),
            Stop::RootEnded(None) | Stop::WorkloadEnded | Stop::Asked(_) | Stop::Unresolved(_) => {
                Ok(Ending { exit_code: 0 })
            }
        }
    }

    fn release(&mut self) -> Result<RunningChild, LaunchError> {
        match self.held.take() {
            Some(held) => held.release(),
            None => Err(LaunchError::Empty),
        }
    }
}

fn ended(status: i32) -> Ending {
    Ending {
        exit_code: WaitStatus(status.cast_unsigned()).shell_code(),
    }
}
