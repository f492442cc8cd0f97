//! The command's life: signals passed on, events taken, rows read, deadlines kept, until it has ended.

use std::{io, os::fd::AsFd, time::Duration};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::Command;
use crate::{
    observe::{follower::Follower, ready::Ready},
    target::RunningChild,
};

/// How long execs are reported at once while the workload is not found: after that it is found a few
/// milliseconds later, and a storm of execs costs less.
const URGENT: Duration = Duration::from_secs(2);

impl Command {
    /// Waits for the command, passing signals on and observing meanwhile.
    pub(super) async fn serve(
        &mut self,
        child: &mut RunningChild,
        mut follower: Option<&mut Follower<'_>>,
    ) -> io::Result<i32> {
        let signals = Ready::new(self.signals.as_fd())?;
        self.connect(follower.as_deref_mut())?;
        self.warden.begin();
        let started = tokio::time::Instant::now();
        let mut schedule = follower.as_ref().map(|follower| follower.schedule());
        let mut urgent = true;
        loop {
            if let Some(status) = self.attend(child, follower.as_deref_mut())? {
                return Ok(status);
            }
            // The command goes on when its record has crashed.
            if follower.as_deref().is_some_and(Follower::has_crashed) {
                schedule = None;
            }
            if let (Some(follower), Some(schedule)) = (follower.as_deref_mut(), &mut schedule) {
                follower.tick_if_due(schedule);
            }
            let shown = self.shown();
            self.warden.step(follower.as_deref_mut(), shown);
            let next_tick = schedule.as_ref().map(|schedule| schedule.wait(mono_ns()));
            let next_step = self.warden.wait();
            tokio::select! {
                biased;
                ready = signals.wait() => ready?,
                () = readable(follower.as_deref_mut()), if schedule.is_some() => {
                    if let Some(follower) = follower.as_deref_mut() {
                        follower.take_events();
                    }
                }
                () = pause(next_tick) => {}
                () = pause(next_step) => {}
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
    pub(super) fn serve_to_the_end(&mut self, child: &mut RunningChild) -> io::Result<i32> {
        if let Some(terminal) = self.terminal.take() {
            terminal.let_go();
        }
        loop {
            if let Some(status) = self.attend(child, None)? {
                return Ok(status);
            }
            self.warden.step(None, None);
            let wait = self.warden.wait();
            let wait = wait.and_then(|wait| Timespec::try_from(wait).ok());
            let mut fds = [
                PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(child.pidfd(), PollFlags::IN),
            ];
            match rustix::event::poll(&mut fds, wait.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
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
