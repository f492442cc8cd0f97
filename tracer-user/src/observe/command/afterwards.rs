//! When the command has ended: its leftovers are ended or named, and its last output is shown.
//!
//! Nothing here waits for a leftover that is not to be ended: one that keeps the terminal or a pipe open
//! is named, and the run ends.

use std::io;

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    stdio::{stderr, stdout},
};

use super::Command;
use crate::{
    observe::{error::chain, follower::Follower, outlived::Ours, terminal::Terminal},
    procfs::FileId,
    target::{RunningChild, orphans},
};

impl Command {
    /// Bytes that have come out of a terminal of ours.
    pub(super) fn shown(&self) -> Option<u64> {
        self.terminal.as_ref().map(Terminal::came)
    }

    /// Connects the terminal, where the command has one of ours.
    pub(super) fn connect(&mut self, follower: Option<&mut Follower<'_>>) -> io::Result<()> {
        let terminal = self.terminal.as_mut();
        let Some(terminal) = terminal.filter(|terminal| !terminal.is_connected()) else {
            return Ok(());
        };
        terminal
            .connect()
            .map_err(|error| io::Error::other(chain(&error)))?;
        if let Some(follower) = follower {
            follower.audience().raw_terminal(terminal.is_raw());
        }
        Ok(())
    }

    /// Does what there is to do when the command has ended.
    pub(super) fn afterwards(
        &mut self,
        child: &RunningChild,
        mut follower: Option<&mut Follower<'_>>,
    ) {
        self.warden.command_ended(follower.as_deref_mut());
        self.end_the_rest(follower.as_deref_mut());
        orphans::reap(child.pid());
        let held = self.disconnect(follower.as_deref_mut());
        if let Some(follower) = follower {
            let ours = self.ours(held);
            follower.name_leftovers(&mut self.warden, &ours);
        }
    }

    /// Waits until all that is to be ended has ended, or cannot be.
    fn end_the_rest(&mut self, mut follower: Option<&mut Follower<'_>>) {
        let mut schedule = follower.as_ref().map(|follower| follower.schedule());
        while self.warden.is_ending() {
            // A signal descriptor that fails tells nothing; the deadlines hold.
            while let Ok(Some(received)) = self.signals.next() {
                self.heard(received);
            }
            if let (Some(follower), Some(schedule)) = (follower.as_deref_mut(), &mut schedule) {
                follower.take_events();
                follower.tick_if_due(schedule);
            }
            let shown = self.shown();
            self.warden.step(follower.as_deref_mut(), shown);
            let wait = self
                .warden
                .wait()
                .and_then(|wait| Timespec::try_from(wait).ok());
            let mut signals = [PollFd::new(&self.signals, PollFlags::IN)];
            if self.warden.is_ending()
                && let Err(errno) = poll(&mut signals, wait.as_ref())
                && errno != Errno::INTR
            {
                return;
            }
        }
    }

    /// Shows the last output, and gives the real terminal back. Whether somebody still holds the command's.
    fn disconnect(&mut self, mut follower: Option<&mut Follower<'_>>) -> bool {
        let Some(terminal) = &mut self.terminal else {
            return false;
        };
        let copied = terminal.disconnect(|| {
            if let Some(follower) = follower.as_deref_mut() {
                follower.take_events();
            }
        });
        let held = copied.is_none_or(|copied| copied.still_open);
        let Some(follower) = follower else {
            return held;
        };
        follower.audience().raw_terminal(false);
        if let Some(lost) = copied
            .map(|copied| copied.lost_bytes)
            .filter(|&lost| lost > 0)
        {
            follower.say(&format!(
                "{lost} bytes of the command's output were not shown: standard output is closed, or its \
                 reader too slow"
            ));
        }
        held
    }

    /// What of ours others may hold.
    fn ours(&mut self, terminal_is_held: bool) -> Ours {
        let terminal = self.terminal.as_mut().filter(|_| terminal_is_held);
        let terminal = terminal.and_then(|terminal| terminal.pty().other_side());
        let pipe = |file: Option<FileId>| file.filter(FileId::has_other_end);
        Ours {
            terminal,
            stdout: pipe(FileId::of(stdout())),
            stderr: pipe(FileId::of(stderr())),
        }
    }
}
