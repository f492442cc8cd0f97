//! `attach --pid`: whether a number names a process that can be joined, and who that is.
//!
//! Source: `/proc/<pid>/{stat,status,comm,exe,cmdline}` through [`ProcRoot`], which has refused a
//! procfs of another pid namespace already. `PF_KTHREAD` from include/linux/sched.h; `/proc/<tid>`
//! opens for a thread too, and its `Tgid` line tells. Decides nothing about the tree below.

use std::path::PathBuf;

use thiserror::Error;

use crate::procfs::stat::ProcStat;
use crate::procfs::status::ProcStatus;
use crate::procfs::{Identity, ProcDir, ProcRoot, ReadEnd};
use crate::units::{Comm, Tgid};

/// `task->flags`: a kernel thread.
const PF_KTHREAD: u64 = 0x0020_0000;

/// A process to join, held: its directory stays this process's even if the number is used again.
#[derive(Debug)]
pub struct AttachRoot {
    /// Its directory in `/proc`.
    pub dir: ProcDir,
    /// Number and start.
    pub identity: Identity,
    /// The number in its own, innermost pid namespace.
    pub inner_pid: u32,
    /// Its parent.
    pub ppid: Tgid,
    /// Its name.
    pub comm: Comm,
    /// Its image, if we may know it.
    pub exe: Option<PathBuf>,
    /// Its arguments; empty if we may not know them.
    pub argv: Vec<Vec<u8>>,
}

/// Why a number cannot be joined.
#[derive(Debug, Error)]
pub enum AttachError {
    /// Nothing has that number.
    #[error(
        "no process has pid {pid}; `ps -e` lists those there are, pids are of this pid namespace"
    )]
    Missing {
        /// As it was asked for.
        pid: u32,
    },
    /// It ended between two looks.
    #[error("process {pid} ended while it was being joined")]
    Gone {
        /// As it was asked for.
        pid: u32,
    },
    /// Only its exit status is left.
    #[error(
        "process {pid} ({comm}) has ended and waits for its parent {parent} to read its exit status"
    )]
    Ended {
        /// As it was asked for.
        pid: u32,
        /// Its name.
        comm: Comm,
        /// Its parent.
        parent: Tgid,
    },
    /// A thread's number.
    #[error("{pid} ({comm}) is a thread of process {process}; use --pid {process}")]
    Thread {
        /// As it was asked for.
        pid: u32,
        /// The thread's name.
        comm: Comm,
        /// The process it belongs to.
        process: Tgid,
    },
    /// It runs no program.
    #[error(
        "{pid} ({comm}) is a kernel thread: it runs no program and has no descendants to follow"
    )]
    KernelThread {
        /// As it was asked for.
        pid: u32,
        /// Its name.
        comm: Comm,
    },
    /// Ourselves.
    #[error("{pid} is this tracer itself; name the process to follow")]
    Ourselves {
        /// As it was asked for.
        pid: u32,
    },
    /// `/proc` could not be read.
    #[error("cannot read about process {pid} in /proc; run as its user or as root")]
    Unreadable {
        /// As it was asked for.
        pid: u32,
        /// Why.
        source: ReadEnd,
    },
}

impl AttachError {
    /// Why a file of the process could not be read.
    pub(crate) fn from_end(pid: u32, end: ReadEnd) -> Self {
        match end {
            ReadEnd::Gone | ReadEnd::Zombie => Self::Gone { pid },
            source => Self::Unreadable { pid, source },
        }
    }

    /// Whether the process that was meant has ended, at whatever moment.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. } | Self::Gone { .. } | Self::Ended { .. }
        )
    }
}

/// Checks a number and holds the process.
///
/// # Errors
/// [`AttachError`] says what the number is instead.
pub fn find(proc: &ProcRoot, pid: u32) -> Result<AttachRoot, AttachError> {
    let gone = |end| AttachError::from_end(pid, end);
    // No process has number 0, and none beyond what a pid_t holds.
    if pid == 0 || i32::try_from(pid).is_err() {
        return Err(AttachError::Missing { pid });
    }
    let dir = proc.process(Tgid(pid)).map_err(|end| match end {
        ReadEnd::Gone => AttachError::Missing { pid },
        source => AttachError::Unreadable { pid, source },
    })?;
    let stat = dir.stat().map_err(gone)?;
    let status = dir.status().map_err(gone)?;
    judge(pid, std::process::id(), &stat, &status)?;
    // A leader that has ended before the other threads has let go of both; any of those has them.
    let deputy = dir.deputy();
    let speaker = deputy.as_ref().unwrap_or(&dir);
    // Another user's image and arguments may be hidden; the process can be joined all the same.
    let exe = unless_hidden(speaker.exe()).map_err(gone)?;
    let argv = unless_hidden(speaker.cmdline()).map_err(gone)?;
    Ok(AttachRoot {
        identity: Identity {
            tgid: Tgid(pid),
            start: stat.start_time,
        },
        inner_pid: status.inner_pid.unwrap_or(pid),
        ppid: stat.ppid,
        comm: stat.comm,
        exe: exe.map(|exe| exe.path),
        argv: argv.unwrap_or_default(),
        dir,
    })
}

fn unless_hidden<T>(read: Result<T, ReadEnd>) -> Result<Option<T>, ReadEnd> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(ReadEnd::Denied) => Ok(None),
        Err(end) => Err(end),
    }
}

/// What a number is, from its two files.
fn judge(
    pid: u32,
    ourselves: u32,
    stat: &ProcStat,
    status: &ProcStatus,
) -> Result<(), AttachError> {
    let comm = stat.comm;
    let process = status.tgid.unwrap_or(pid);
    if process == ourselves {
        return Err(AttachError::Ourselves { pid });
    }
    if process != pid {
        return Err(AttachError::Thread {
            pid,
            comm,
            process: Tgid(process),
        });
    }
    if stat.flags & PF_KTHREAD != 0 {
        return Err(AttachError::KernelThread { pid, comm });
    }
    // A leader that has ended while threads live on is no end of the process.
    if stat.state.has_ended() && !stat.leader_ended_first() {
        return Err(AttachError::Ended {
            pid,
            comm,
            parent: stat.ppid,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(flags: &str, state: char, threads: u32, tgid: u32) -> String {
        let line = format!(
            "70 (kworker/0:1) {state} 2 0 0 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 {threads} 0 31 0 0 0 0 0 0 0 0 0 \
             0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
        );
        let stat = ProcStat::parse(line.as_bytes()).unwrap();
        let status = ProcStatus::parse(format!("Tgid:\t{tgid}\n").as_bytes());
        judge(70, 5, &stat, &status).map_or_else(|error| error.to_string(), |()| "fine".into())
    }

    #[test]
    fn a_kernel_thread_is_told_by_its_flag() {
        let text = judged("2097152", 'S', 1, 70);
        assert!(text.contains("(kworker/0:1) is a kernel thread"), "{text}");
    }

    #[test]
    fn a_thread_is_told_with_its_process() {
        let text = judged("0", 'S', 3, 69);
        assert!(
            text.contains("thread of process 69; use --pid 69"),
            "{text}"
        );
    }

    #[test]
    fn a_zombie_has_ended_unless_it_is_a_leader_whose_threads_live() {
        let text = judged("0", 'Z', 1, 70);
        assert!(
            text.contains("has ended and waits for its parent 2"),
            "{text}"
        );
        assert_eq!(judged("0", 'Z', 4, 70), "fine");
    }

    #[test]
    fn a_live_process_is_held_with_its_names() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let proc = ProcRoot::open("/proc").unwrap();
        let found = find(&proc, child.id()).unwrap();
        // Until it has executed, the child still shows us.
        assert_eq!(found.identity.tgid, Tgid(child.id()));
        assert_eq!(found.ppid, Tgid(std::process::id()));
        child.kill().unwrap();
        assert!(matches!(
            wait_ended(&proc, child.id()),
            AttachError::Ended { .. }
        ));
        child.wait().unwrap();
        assert!(matches!(found.dir.stat(), Err(ReadEnd::Gone)));
        assert!(matches!(
            find(&proc, child.id()),
            Err(AttachError::Missing { .. })
        ));
    }

    /// The error for a process that was killed, once the kernel has come to it.
    fn wait_ended(proc: &ProcRoot, pid: u32) -> AttachError {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            match find(proc, pid) {
                Ok(_) | Err(AttachError::Gone { .. }) if std::time::Instant::now() < deadline => {
                    std::thread::yield_now();
                }
                Ok(_) => panic!("{pid} did not end"),
                Err(error) => return error,
            }
        }
    }

    #[test]
    fn our_own_process_and_threads_are_refused() {
        let proc = ProcRoot::open("/proc").unwrap();
        let own_thread = rustix::thread::gettid().as_raw_pid().cast_unsigned();
        for pid in [std::process::id(), own_thread] {
            assert!(matches!(
                find(&proc, pid),
                Err(AttachError::Ourselves { .. })
            ));
        }
        assert!(matches!(find(&proc, 0), Err(AttachError::Missing { .. })));
        assert!(matches!(
            find(&proc, u32::MAX),
            Err(AttachError::Missing { .. })
        ));
    }
}
