//! Orphans of the command: they come to us instead of to init, and are reaped here.
//!
//! Sources: prctl(2) `PR_SET_CHILD_SUBREAPER`, waitid(2). What the command can notice of it: the
//! `getppid(2)` of an orphan is our pid and not 1, until we end and init takes it over; and one that asked
//! for a signal at its parent's death (`PR_SET_PDEATHSIG`) gets it then once more.

use nix::{
    errno::Errno,
    sys::wait::{Id, WaitPidFlag, waitid},
    unistd::Pid,
};

/// From now on orphans come to this process. Where the kernel refuses, they go to init as ever.
pub fn adopt() {
    // Any pid means yes. Nothing depends on it but who is found where there is no kernel side.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// Reaps orphans that have ended. `command` is our own child, whose status is somebody else's to take.
pub fn reap(command: rustix::process::Pid) {
    let command = command.as_raw_pid();
    let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
    // Looked at first, and taken only when it is not the command. While that waits to be reaped the kernel
    // may name it before others: they are reaped the next time.
    while let Ok(status) = waitid(Id::All, ended | WaitPidFlag::WNOWAIT) {
        let Some(pid) = status.pid().filter(|pid| pid.as_raw() != command) else {
            return;
        };
        if !take(pid, ended) {
            return;
        }
    }
}

fn take(pid: Pid, ended: WaitPidFlag) -> bool {
    loop {
        match waitid(Id::Pid(pid), ended) {
            Err(Errno::EINTR) => {}
            taken => return taken.is_ok(),
        }
    }
}
