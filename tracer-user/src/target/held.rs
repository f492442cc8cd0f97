//! A process that was looked at, held so that a signal can reach it and nobody else.
//!
//! Sources: `pidfd_open(2)`, fs/proc/base.c. The open directory in `/proc` stands for the process that was
//! looked at, the number does not. A pidfd is opened by number, and then the directory is read: it can be
//! read only while that process is there, and while it is there nobody else has its number. So a pidfd
//! that was open before is that process's. However often the number passes on, a stranger gets nothing.

use std::io;

use super::Handle;
use crate::{
    procfs::{Identity, ProcDir, ProcRoot, ReadEnd, stat::ProcStat},
    units::{Tgid, Ticks},
};

/// A process that was looked at.
#[derive(Debug)]
pub struct Held {
    dir: ProcDir,
    identity: Identity,
}

/// What became of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It was sent.
    Sent,
    /// The process had ended.
    Gone,
}

/// A step of sending, for tests that put something in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing was done yet.
    Before,
    /// The pidfd is open, whosever it is.
    Opened,
    /// The process was found to be there.
    Checked,
}

impl Held {
    /// Holds the process of that number and that start, if it is there and has not ended.
    ///
    /// # Errors
    /// [`ReadEnd::Gone`] also when the number is another's now.
    pub fn look(proc: &ProcRoot, tgid: Tgid, start: Ticks) -> Result<Self, ReadEnd> {
        let held = Self::any(proc, tgid)?;
        if held.identity.start == start {
            Ok(held)
        } else {
            Err(ReadEnd::Gone)
        }
    }

    /// Holds whoever has that number, unless it has ended.
    ///
    /// # Errors
    /// [`ReadEnd`].
    pub fn any(proc: &ProcRoot, tgid: Tgid) -> Result<Self, ReadEnd> {
        let dir = proc.process(tgid)?;
        let start = living(&dir)?.start_time;
        Ok(Self {
            dir,
            identity: Identity { tgid, start },
        })
    }

    /// Who it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Its directory.
    #[must_use]
    pub fn dir(&self) -> &ProcDir {
        &self.dir
    }

    /// What `/proc` says of it while it has not ended.
    ///
    /// # Errors
    /// [`ReadEnd::Gone`] when it has.
    pub fn stat(&self) -> Result<ProcStat, ReadEnd> {
        living(&self.dir)
    }

    /// Sends it a signal. `at` is called between the steps.
    ///
    /// # Errors
    /// What the system said; that it has ended is no error.
    pub fn signal(&self, signal: i32, at: &mut dyn FnMut(Step)) -> io::Result<Sent> {
        at(Step::Before);
        let handle = match Handle::open(self.identity.tgid) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(Sent::Gone),
            handle => handle?,
        };
        at(Step::Opened);
        match self.stat() {
            Ok(_) => {}
            Err(ReadEnd::Gone | ReadEnd::Zombie) => return Ok(Sent::Gone),
            Err(end) => return Err(io::Error::other(end)),
        }
        at(Step::Checked);
        match handle.signal(signal) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(Sent::Gone),
            sent => sent.map(|()| Sent::Sent),
        }
    }
}

fn living(dir: &ProcDir) -> Result<ProcStat, ReadEnd> {
    let stat = dir.stat()?;
    if stat.state.has_ended() && !stat.leader_ended_first() {
        return Err(ReadEnd::Gone);
    }
    Ok(stat)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_ended_gets_nothing_also_while_it_waits_to_be_reaped() {
        let proc = ProcRoot::open("/proc").unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let held = Held::any(&proc, Tgid(child.id())).unwrap();
        let start = held.identity().start;
        assert!(Held::look(&proc, Tgid(child.id()), Ticks(start.0 + 1)).is_err());
        assert_eq!(held.signal(libc::SIGKILL, &mut |_| {}).unwrap(), Sent::Sent);
        // Ended, not reaped.
        let id = rustix::process::Pid::from_child(&child);
        let options =
            rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        rustix::process::waitid(rustix::process::WaitId::Pid(id), options).unwrap();
        assert_eq!(held.signal(libc::SIGKILL, &mut |_| {}).unwrap(), Sent::Gone);
        child.wait().unwrap();
        assert_eq!(held.signal(libc::SIGKILL, &mut |_| {}).unwrap(), Sent::Gone);
        assert!(Held::look(&proc, Tgid(child.id()), start).is_err());
    }
}
