//! The threads of a process and its children, by `task/`.
//!
//! Source: `proc_pid_task(5)`, `proc_tid_children(5)`. Only living threads (and a leader that ended
//! first) are listed; what an ended thread used up is in no file of `/proc`.

use std::ffi::CStr;

use rustix::io::Errno;

use super::{
    ProcDir, ReadEnd,
    read::{self, ShortPath},
    scan,
    stat::State,
    status::ProcStatus,
};
use crate::units::Tgid;

/// Context switches of one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskSwitches {
    /// The thread.
    pub tid: u32,
    /// It gave the processor up.
    pub voluntary: u64,
    /// The processor was taken from it.
    pub involuntary: u64,
    /// It is in uninterruptible sleep.
    pub in_disk_sleep: bool,
}

impl ProcDir {
    /// Replaces `tasks` by the context switches of each living thread, sorted by tid.
    ///
    /// # Errors
    /// [`ReadEnd`].
    pub fn tasks(&self, tasks: &mut Vec<TaskSwitches>) -> Result<(), ReadEnd> {
        tasks.clear();
        read::list(self.fd(), c"task", |dir, name| {
            let Some(tid) = parse_tid(name) else {
                return Ok(());
            };
            let path = ShortPath::of(format_args!("{tid}/status"))?;
            let status = match read::read_small(dir, path.as_bytes(), ProcStatus::parse) {
                Ok(status) => status,
                // Ended since it was listed.
                Err(Errno::NOENT | Errno::SRCH) => return Ok(()),
                Err(errno) => return Err(errno),
            };
            if let (Some(voluntary), Some(involuntary)) = (status.voluntary, status.involuntary) {
                tasks.push(TaskSwitches {
                    tid,
                    voluntary,
                    involuntary,
                    in_disk_sleep: status.state == Some(State::DiskSleep),
                });
            }
            Ok(())
        })
        .map_err(|errno| self.end(errno, c"task"))?;
        tasks.sort_unstable_by_key(|task| task.tid);
        Ok(())
    }

    /// Where one thread is in disk sleep, as [`ProcDir::wchan`]; `None` when it is not, or woke meanwhile:
    /// where it then waited is where many do, and no trouble.
    #[must_use]
    pub fn disk_sleep(&self, tid: u32) -> Option<String> {
        let thread = self.thread(tid).ok()?;
        let before = thread.status().ok()?;
        let name = thread.wchan().ok()?;
        let after = thread.status().ok()?;
        before.sleeps_until(&after).then_some(name)
    }

    /// A thread that is not on its way out; `None` when there is none.
    ///
    /// # Errors
    /// [`ReadEnd`].
    pub fn living_thread(&self) -> Result<Option<Self>, ReadEnd> {
        let mut found = None;
        read::list(self.fd(), c"task", |_, name| {
            if found.is_none()
                && let Some(tid) = parse_tid(name)
                && let Ok(thread) = self.thread(tid)
                && thread.stat().is_ok_and(|stat| !stat.leader_exiting())
            {
                found = Some(thread);
            }
            Ok(())
        })
        .map_err(|errno| self.end(errno, c"task"))?;
        Ok(found)
    }

    /// A thread that has what the leader has let go of: memory, arguments, descriptors. `None` while the
    /// leader has them itself, and when no thread lives.
    #[must_use]
    pub fn deputy(&self) -> Option<Self> {
        let is_exiting = self.stat().is_ok_and(|stat| stat.leader_exiting());
        is_exiting.then(|| self.living_thread().ok().flatten())?
    }

    /// Its children as the kernel lists them, by thread. A child that ends meanwhile can make the
    /// kernel leave out another one.
    ///
    /// # Errors
    /// [`ReadEnd`]; the file needs `CONFIG_PROC_CHILDREN`.
    pub fn children(&self) -> Result<Vec<Tgid>, ReadEnd> {
        let mut children = Vec::new();
        let mut bytes = Vec::new();
        read::list(self.fd(), c"task", |dir, name| {
            let Some(tid) = parse_tid(name) else {
                return Ok(());
            };
            let path = ShortPath::of(format_args!("{tid}/children"))?;
            bytes.clear();
            match read::read_all(dir, path.as_bytes(), &mut bytes, read::MOST) {
                Ok(()) => {}
                Err(Errno::SRCH) => return Ok(()),
                // The thread, or the file on this kernel, is not there.
                Err(Errno::NOENT) if self.thread(tid).is_err() => return Ok(()),
                Err(errno) => return Err(errno),
            }
            children.extend(scan::words(&bytes).filter_map(scan::parse_u32).map(Tgid));
            Ok(())
        })
        .map_err(|errno| self.end(errno, c"task"))?;
        children.sort_unstable();
        children.dedup();
        Ok(children)
    }
}

fn parse_tid(name: &CStr) -> Option<u32> {
    scan::parse_u32(name.to_bytes())
}
