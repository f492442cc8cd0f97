//! Holds one thread of a program at a system call of the test's choice, without the program knowing.
//!
//! `ptrace(2)` with `PTRACE_SEIZE` on that thread alone: the others go on, and a signal to the process
//! reaches one of them. What a thread is about to do to its files can be held there for as long as a
//! test likes, in the very program that users run.

use std::io;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::wait::{PATIENCE, wait_for};

/// A system call that a thread is about to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its number.
    pub number: i64,
    /// What its first argument names, if that is a descriptor: the end of its path.
    pub file: String,
}

impl Call {
    /// Whether it changes a file, a directory, or what of them is on disk.
    #[must_use]
    pub fn is_effect(&self) -> bool {
        [
            libc::SYS_write,
            libc::SYS_fdatasync,
            libc::SYS_fsync,
            libc::SYS_openat,
            libc::SYS_openat2,
            libc::SYS_renameat2,
            libc::SYS_unlinkat,
            libc::SYS_mkdirat,
        ]
        .contains(&self.number)
            || self.is_rename()
    }

    #[cfg(target_arch = "x86_64")]
    fn is_rename(&self) -> bool {
        [libc::SYS_rename, libc::SYS_renameat].contains(&self.number)
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn is_rename(&self) -> bool {
        self.number == libc::SYS_renameat
    }

    /// Whether it appends to a session's journal.
    #[must_use]
    pub fn is_append(&self) -> bool {
        self.number == libc::SYS_write && self.file.starts_with("journal.")
    }
}

/// A thread under the test's hand. Dropped, it goes on.
#[derive(Debug)]
pub struct Hold {
    pid: i32,
    tid: i32,
    /// What to go on with: a signal that was on its way, or 0; `None` when it is gone.
    pending: Option<i32>,
}

impl Hold {
    /// Stops the thread of this name, wherever it is. Only the thread of the test that calls this may
    /// use the result.
    ///
    /// # Errors
    /// There is no such thread, or it cannot be stopped.
    pub fn thread(pid: i32, name: &str, deadline: Duration) -> Result<Self> {
        let tid = wait_for(&format!("thread {name} of {pid}"), deadline, || {
            find(pid, name)
        })?;
        let options = usize::try_from(libc::PTRACE_O_TRACESYSGOOD)?;
        ptrace(libc::PTRACE_SEIZE, tid, options)?;
        ptrace(libc::PTRACE_INTERRUPT, tid, 0)?;
        let mut held = Self {
            pid,
            tid,
            pending: Some(0),
        };
        ensure!(held.stop(deadline)?.is_some(), "thread {tid} ended");
        Ok(held)
    }

    /// Lets it go on until it is about to make a call that is wanted, and holds it there. `None`: it
    /// ended before.
    ///
    /// # Errors
    /// It makes no such call in time.
    pub fn at(
        &mut self,
        wanted: impl Fn(&Call) -> bool,
        deadline: Duration,
    ) -> Result<Option<Call>> {
        loop {
            let Some(signal) = self.pending else {
                return Ok(None);
            };
            ptrace(libc::PTRACE_SYSCALL, self.tid, usize::try_from(signal)?)?;
            let Some(status) = self.stop(deadline)? else {
                return Ok(None);
            };
            let signal = libc::WSTOPSIG(status);
            // With PTRACE_O_TRACESYSGOOD a call stops with this one; others are on their way to the
            // thread, unless an event stopped it.
            self.pending = Some(0);
            if signal != libc::SIGTRAP | 0x80 {
                if status >> 16 == 0 {
                    self.pending = Some(signal);
                }
                continue;
            }
            if let Some(call) = self.call()?.filter(|call| wanted(call)) {
                return Ok(Some(call));
            }
        }
    }

    /// The call it is about to make; `None` when it has just made it.
    fn call(&self) -> Result<Option<Call>> {
        // SAFETY: integers only; all zeroes is one.
        let mut info: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
        // SAFETY: the size is that of the place.
        let got = unsafe {
            libc::ptrace(
                libc::PTRACE_GET_SYSCALL_INFO,
                self.tid,
                size_of_val(&info),
                &raw mut info,
            )
        };
        ensure!(
            got > 0,
            "PTRACE_GET_SYSCALL_INFO: {}",
            io::Error::last_os_error()
        );
        if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
            return Ok(None);
        }
        // SAFETY: the kernel says that this is the member it has filled in.
        let entry = unsafe { info.u.entry };
        let path = std::fs::read_link(format!("/proc/{}/fd/{}", self.pid, entry.args[0]));
        let name = path
            .ok()
            .and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
        Ok(Some(Call {
            number: i64::try_from(entry.nr)?,
            file: name.unwrap_or_default(),
        }))
    }

    /// Waits until it stops: its wait status. `None`: it has ended.
    fn stop(&mut self, deadline: Duration) -> Result<Option<i32>> {
        let tid = self.tid;
        let stopped = wait_for("a held thread to stop", deadline, || {
            let mut status = 0;
            // SAFETY: a number, and a valid place.
            match unsafe { libc::waitpid(tid, &raw mut status, libc::__WALL | libc::WNOHANG) } {
                0 => Ok(None),
                waited if waited == tid && libc::WIFSTOPPED(status) => Ok(Some(Some(status))),
                // Ended, or the whole process was killed.
                _ => Ok(Some(None)),
            }
        })?;
        if stopped.is_none() {
            self.pending = None;
        }
        Ok(stopped)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let Some(signal) = self.pending else { return };
        let signal = usize::try_from(signal).unwrap_or(0);
        if ptrace(libc::PTRACE_DETACH, self.tid, signal).is_err() {
            // Killed with its process, which is not seen to have ended before we have taken note.
            let _ = self.stop(PATIENCE);
        }
    }
}

fn find(pid: i32, name: &str) -> Result<Option<i32>> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    for task in tasks.with_context(|| format!("list threads of {pid}"))? {
        let task = task?;
        let comm = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if comm.trim_end() == name {
            let tid = task.file_name().into_string().ok();
            return Ok(tid.and_then(|tid| tid.parse().ok()));
        }
    }
    Ok(None)
}

fn ptrace(request: libc::c_uint, tid: i32, data: usize) -> Result<()> {
    // SAFETY: these requests take numbers only.
    let done = unsafe { libc::ptrace(request, tid, std::ptr::null_mut::<libc::c_void>(), data) };
    if done == -1 {
        let error = io::Error::last_os_error();
        bail!("ptrace request {request:#x} on {tid}: {error}");
    }
    Ok(())
}
