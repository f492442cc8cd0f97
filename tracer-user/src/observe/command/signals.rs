//! Signals that come to tracer while its command runs: passed on, obeyed, or counted as delivered.

use std::{
    io,
    time::{Duration, Instant},
};

use super::Command;
use crate::{
    observe::{follower::Follower, patience::asks_to_stop},
    target::{
        ChildChange, RunningChild, orphans,
        signals::{Context, Decision, OnStop, Received, forward, on_stop, stop_self},
    },
    units::{BootNs, Tgid},
};

/// How long before a signal to tracer the same one to the command counts as the same `killpg(2)`.
const SAME_SIGNAL: Duration = Duration::from_millis(100);

impl Command {
    /// Takes note of a signal. Whoever asks again while the command is being ended wants it ended now.
    pub(super) fn heard(&mut self, received: Received) {
        if asks_to_stop(received) {
            self.asked = true;
            self.warden.hasten();
        }
    }

    /// The one that a panic has kept from being dealt with, or the next.
    fn next_signal(&mut self) -> io::Result<Option<Received>> {
        match self.at_hand.take() {
            Some(received) => Ok(Some(received)),
            None => self.signals.next(),
        }
    }

    /// Deals with every signal that has come. The command's wait status once it has ended.
    pub(super) fn attend(
        &mut self,
        child: &mut RunningChild,
        mut follower: Option<&mut Follower<'_>>,
    ) -> io::Result<Option<i32>> {
        let (mut continued, mut orphans) = (false, false);
        while let Some(received) = self.next_signal()? {
            self.at_hand = Some(received);
            continued |= received.signo == libc::SIGCONT;
            self.heard(received);
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
                Decision::Child => orphans = true,
                Decision::AlreadyDelivered => {}
            }
            self.at_hand = None;
        }
        self.looked = Instant::now();
        if orphans {
            orphans::reap(child.pid());
        }
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
                            self.warden.was_stopped();
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

/// Continues the command, unless it has become somebody whom we may not signal.
fn continue_command(child: &RunningChild) {
    let _ = child.signal(libc::SIGCONT);
}

/// Whether a shell with job control may have started us: only then does stopping mean anything to it.
fn is_interactive() -> bool {
    rustix::termios::tcgetpgrp(rustix::stdio::stdin()).is_ok()
        || rustix::termios::tcgetpgrp(rustix::stdio::stderr()).is_ok()
}
