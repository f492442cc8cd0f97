//! The command of `tracer run`: held, released, served with signals, and reaped.

use std::{
    io,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use super::{
    Ending, ObserveError,
    end::Stop,
    error::chain,
    follower::Follower,
    patience::{Asking, asks_to_stop},
    ready::Ready,
    terminal::Terminal,
};
use rustix::event::{PollFd, PollFlags};

use crate::{
    config::{ExitFrom, RunConfig},
    session::summary::Summary,
    target::{
        ChildChange, LaunchError, LaunchSpec, RunningChild, SuspendedChild, User,
        signals::{Context, Decision, OnStop, Received, SignalFd, forward, on_stop, stop_self},
    },
    units::{BootNs, Tgid},
    verdict::WaitStatus,
};

/// How long execs are reported at once while the workload is not found: after that it is found a few
/// milliseconds later, and a storm of execs costs less.
const URGENT: Duration = Duration::from_secs(2);
/// How long before a signal to tracer the same one to the command counts as the same `killpg(2)`.
const SAME_SIGNAL: Duration = Duration::from_millis(100);

/// The command.
pub(super) struct Command {
    held: Option<SuspendedChild>,
    pid: Tgid,
    uid: u32,
    signals: SignalFd,
    terminal: Option<Terminal>,
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
        match self.serve(child, Some(&mut *follower)).await {
            Ok(status) => Stop::RootEnded(Some(status)),
            Err(source) => {
                follower.say(&format!("no longer observing the command: {source}"));
                self.serve_to_the_end(child).map_or_else(
                    |source| Stop::Failed(format!("cannot wait for the command: {source}")),
                    |status| Stop::RootEnded(Some(status)),
                )
            }
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

    /// Waits for the command, passing signals on and observing meanwhile.
    async fn serve(
        &mut self,
        child: &mut RunningChild,
        mut follower: Option<&mut Follower<'_>>,
    ) -> io::Result<i32> {
        let signals = Ready::new(self.signals.as_fd())?;
        self.connect(child, follower.as_deref_mut())?;
        let started = tokio::time::Instant::now();
        let mut schedule = follower.as_ref().map(|follower| follower.schedule());
        let mut urgent = true;
        loop {
            if let Some(status) = self.attend(child, follower.as_deref_mut())? {
                self.disconnect(follower.as_deref_mut());
                return Ok(status);
            }
            // The command goes on when its record has crashed.
            if follower.as_deref().is_some_and(Follower::has_crashed) {
                schedule = None;
            }
            if let (Some(follower), Some(schedule)) = (follower.as_deref_mut(), &mut schedule) {
                follower.tick_if_due(schedule);
            }
            let next_tick = schedule.as_ref().map(|schedule| schedule.wait(mono_ns()));
            tokio::select! {
                biased;
                ready = signals.wait() => ready?,
                () = readable(follower.as_deref_mut()), if schedule.is_some() => {
                    if let Some(follower) = follower.as_deref_mut() {
                        follower.take_events();
                    }
                }
                () = pause(next_tick) => {}
                () = tokio::time::sleep_until(started + URGENT), if urgent => {
                    urgent = false;
                    if let Some(follower) = follower.as_deref_mut() {
                        follower.relax();
                    }
                }
            }
        }
    }

    /// Waits for the command and passes signals on, with nothing but poll(2): for when the event loop
    /// fails. The command must not stay without its parent, nor its exit code unread.
    fn serve_to_the_end(&mut self, child: &mut RunningChild) -> io::Result<i32> {
        self.terminal = None;
        loop {
            if let Some(status) = self.attend(child, None)? {
                return Ok(status);
            }
            let mut fds = [
                PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(child.pidfd(), PollFlags::IN),
            ];
            match rustix::event::poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Deals with every signal that has come. The command's wait status once it has ended.
    fn attend(
        &mut self,
        child: &mut RunningChild,
        mut follower: Option<&mut Follower<'_>>,
    ) -> io::Result<Option<i32>> {
        let mut continued = false;
        while let Some(received) = self.signals.next()? {
            continued |= received.signo == libc::SIGCONT;
            self.asked |= asks_to_stop(received);
            let context = Context {
                shares_group: self.terminal.is_none() && child.gets_from_terminal(received.signo),
                command_got_it: got_it(follower.as_deref_mut(), received, self.looked.elapsed()),
            };
            match forward(received, context) {
                // A command of another user, or one that has just ended, cannot be told any more.
                Decision::Forward(signal) => {
                    if let Some(follower) = follower.as_deref_mut() {
                        follower.forwarding(received);
                    }
                    drop(child.signal(signal));
                }
                Decision::Resize => {
                    if let Some(terminal) = &self.terminal {
                        terminal.resize();
                    }
                }
                Decision::AlreadyDelivered | Decision::Child => {}
            }
        }
        self.looked = Instant::now();
        while let Some(change) = child.poll_change()? {
            match change {
                ChildChange::Exited { status } => {
                    self.status = Some(status);
                    return Ok(Some(status));
                }
                ChildChange::Continued => {}
                ChildChange::Stopped(signal) => {
                    match on_stop(signal, is_interactive(), continued) {
                        OnStop::StopToo => {
                            if let Some(terminal) = &mut self.terminal {
                                terminal.suspend();
                            } else {
                                stop_self()?;
                                continue_command(child);
                            }
                        }
                        OnStop::Continue => continue_command(child),
                        OnStop::Wait => {}
                    }
                }
            }
        }
        Ok(None)
    }
}

impl Command {
    fn connect(
        &mut self,
        child: &RunningChild,
        follower: Option<&mut Follower<'_>>,
    ) -> io::Result<()> {
        let terminal = self.terminal.as_mut();
        let Some(terminal) = terminal.filter(|terminal| !terminal.is_connected()) else {
            return Ok(());
        };
        terminal
            .connect(child)
            .map_err(|error| io::Error::other(chain(&error)))?;
        if let Some(follower) = follower {
            follower.audience().raw_terminal(terminal.is_raw());
        }
        Ok(())
    }

    fn disconnect(&mut self, follower: Option<&mut Follower<'_>>) {
        let Some(terminal) = &mut self.terminal else {
            return;
        };
        let mut follower = follower;
        let copied = terminal.disconnect(|| {
            if let Some(follower) = follower.as_deref_mut() {
                follower.take_events();
            }
        });
        let Some(follower) = follower else { return };
        follower.audience().raw_terminal(false);
        if copied.is_some_and(|copied| copied.still_open) {
            follower.say("a process that outlived the command still holds its terminal");
        }
    }
}

/// Whether the kernel side saw the same signal, from the same sender, reach the command. It may have
/// waited for us as long as `since_last_look`.
fn got_it(
    follower: Option<&mut Follower<'_>>,
    received: Received,
    since_last_look: Duration,
) -> bool {
    let Some(follower) = follower.filter(|_| received.code <= 0) else {
        return false;
    };
    follower.take_all_events();
    let since = u64::try_from((since_last_look + SAME_SIGNAL).as_nanos()).unwrap_or(u64::MAX);
    let t = BootNs(follower.clock_now().0.saturating_sub(since));
    follower.root_got(received.signo, Tgid(received.pid), t)
}

fn ended(status: i32) -> Ending {
    Ending {
        exit_code: WaitStatus(status.cast_unsigned()).shell_code(),
    }
}

/// Continues the command, unless it has become somebody whom we may not signal.
fn continue_command(child: &RunningChild) {
    let _ = child.signal(libc::SIGCONT);
}

/// Whether a shell with job control may have started us: only then does stopping mean anything to it.
fn is_interactive() -> bool {
    rustix::termios::tcgetpgrp(rustix::stdio::stdin()).is_ok()
        || rustix::termios::tcgetpgrp(rustix::stdio::stderr()).is_ok()
}

async fn readable(follower: Option<&mut Follower<'_>>) {
    match follower {
        Some(follower) => follower.readable().await,
        None => std::future::pending().await,
    }
}

async fn pause(length: Option<Duration>) {
    match length {
        Some(length) => tokio::time::sleep(length).await,
        None => std::future::pending().await,
    }
}

fn mono_ns() -> u64 {
    crate::procfs::host::read_mono_ns()
}
