//! The tree of `tracer attach`: joined while it lives, watched until it ends or the user has enough.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::{
    ObserveError,
    end::Stop,
    follower::Follower,
    patience::{Asking, asks_to_stop},
    ready::Ready,
};
use crate::{
    config::{AttachConfig, Follow},
    probe::attached::Doubts,
    procfs::{ProcRoot, host::read_mono_ns},
    session::journal::notes::AttachDoubts,
    target::{
        Miss,
        attach::{self, AttachError},
        signals::SignalFd,
    },
    units::Tgid,
    verdict::signals,
};

/// What can be followed, and the means to.
pub(super) struct Attachment {
    root: Tgid,
    uid: u32,
    /// Tells that the root has ended even if its exit event was lost.
    pidfd: OwnedFd,
    signals: SignalFd,
}

impl Attachment {
    /// Makes sure that there is something to follow, before anything is loaded.
    pub(super) fn check(proc: &ProcRoot, config: &AttachConfig) -> Result<Self, ObserveError> {
        let root = attach::find(proc, config.pid)?;
        let pid = Pid::from_raw(config.pid.cast_signed());
        let pidfd = pid
            .ok_or(rustix::io::Errno::SRCH)
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
        let pidfd = pidfd.map_err(|errno| match errno {
            rustix::io::Errno::SRCH => AttachError::Gone { pid: config.pid }.into(),
            errno => ObserveError::System {
                step: "hold the process of --pid",
                source: errno.into(),
            },
        })?;
        // The pid may have passed to another process between the two looks: the directory is still
        // the first one's, and can only be read while that lives.
        let status = root
            .dir
            .status()
            .map_err(|end| AttachError::from_end(config.pid, end))?;
        let uid = status
            .uids
            .map_or_else(|| rustix::process::getuid().as_raw(), |(real, _)| real);
        Ok(Self {
            root: root.identity.tgid,
            uid,
            pidfd,
            signals: SignalFd::install()?,
        })
    }

    /// The process of `--pid`.
    pub(super) fn root(&self) -> Tgid {
        self.root
    }

    /// Its user.
    pub(super) fn uid(&self) -> u32 {
        self.uid
    }

    /// Who may ask for a faster end.
    pub(super) fn asking(&self, stop: &Stop) -> Asking<'_> {
        Asking {
            signals: &self.signals,
            asked: matches!(stop, Stop::Asked(_)),
        }
    }

    /// Watches until there is a reason to stop.
    pub(super) async fn watch(
        &mut self,
        follower: &mut Follower<'_>,
        config: &AttachConfig,
    ) -> Stop {
        follower.look_at_existing();
        match self.watch_events(follower, config).await {
            Ok(stop) => stop,
            Err(source) => Stop::Failed(format!("cannot wait for the target: {source}")),
        }
    }

    async fn watch_events(
        &self,
        follower: &mut Follower<'_>,
        config: &AttachConfig,
    ) -> io::Result<Stop> {
        let signals = Ready::new(self.signals.as_fd())?;
        let ended = Ready::new(self.pidfd.as_fd())?;
        let started = Instant::now();
        // Beyond the clock's reach is for ever.
        let resolve_by = tokio::time::Instant::now().checked_add(config.timeout);
        let mut root_gone = false;
        let mut schedule = follower.schedule();
        loop {
            if let Some(stop) = self.attend()? {
                return Ok(stop);
            }
            if follower.has_crashed() {
                return Ok(Stop::Failed(
                    "a mistake in tracer has ended the record".to_owned(),
                ));
            }
            if config.follow == Follow::Workload && follower.target_ended() {
                return Ok(Stop::WorkloadEnded);
            }
            let outlived = config.follow == Follow::Workload && follower.has_target();
            if follower.root_ended() && !outlived {
                return Ok(vanished(follower, started.elapsed()));
            }
            // Before the events, of which a storm may never leave a moment without.
            follower.tick_if_due(&mut schedule);
            if !follower.is_settled() && resolve_by.is_some_and(|at| at <= Instant::now().into()) {
                follower.take_all_events();
                if let Some(why) = follower.settle_or_give_up(Miss::TimedOut, started.elapsed()) {
                    return Ok(Stop::Unresolved(why));
                }
            }
            tokio::select! {
                biased;
                ready = signals.wait() => ready?,
                () = follower.readable() => {
                    follower.take_events();
                }
                ready = ended.wait(), if !root_gone => {
                    ready?;
                    root_gone = true;
                    follower.last_events_of_root().await;
                    if config.follow == Follow::Root || !follower.has_target() {
                        return Ok(vanished(follower, started.elapsed()));
                    }
                }
                () = tokio::time::sleep(schedule.wait(read_mono_ns())) => {}
                () = until(resolve_by), if !follower.is_settled() => {}
            }
        }
    }

    /// Looks at the signals that have come: those that ask to stop stop the observation, never the
    /// target.
    fn attend(&self) -> io::Result<Option<Stop>> {
        while let Some(received) = self.signals.next()? {
            if asks_to_stop(received) {
                return Ok(Some(Stop::Asked(signals::name(received.signo))));
            }
        }
        Ok(None)
    }
}

/// Why an adoption may have missed somebody, as a record says it.
pub(super) fn doubts(found: Doubts) -> AttachDoubts {
    let Doubts {
        unwatched,
        skipped,
        unwritten,
        untracked,
        unfinished,
    } = found;
    AttachDoubts {
        unwatched: unwatched.into(),
        skipped,
        unwritten,
        untracked,
        unfinished: unfinished.into(),
    }
}

async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The root has ended: with its workload found, that is the end of the session; else a miss.
fn vanished(follower: &mut Follower<'_>, waited: Duration) -> Stop {
    match follower.settle_or_give_up(Miss::RootVanished, waited) {
        Some(why) => Stop::Unresolved(why),
        None => Stop::RootEnded(None),
    }
}
