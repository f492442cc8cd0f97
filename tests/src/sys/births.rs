//! Making processes as a fixture needs them: with chosen flags, or with a chosen pid.

use std::io;

use super::exit_now;

fn call_in_child(pid: i64, child: impl FnOnce() -> i32) -> io::Result<i32> {
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => exit_now(child()),
        pid => i32::try_from(pid).map_err(io::Error::other),
    }
}

/// Forks; the child runs `child` and ends with what it returns.
///
/// In a process with several threads the child must do nothing but system calls: another thread may
/// have held the allocator's lock.
///
/// # Errors
/// As `fork(2)`.
pub fn fork(child: impl FnOnce() -> i32) -> io::Result<i32> {
    // SAFETY: both sides return from fork as they would from any call; the child leaves through
    // _exit and so runs no destructor twice.
    let pid = unsafe { libc::fork() };
    call_in_child(pid.into(), child)
}

/// As [`fork`], with further `clone(2)` flags that leave the memory separate.
///
/// # Errors
/// As `clone(2)`; flags that share memory are refused.
pub fn clone(flags: i32, child: impl FnOnce() -> i32) -> io::Result<i32> {
    if flags & (libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SETTLS) != 0 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: without CLONE_VM and with a null stack this is fork: the child has its own copy of
    // this stack. The unused pointer arguments are null.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone,
            i64::from(flags | libc::SIGCHLD),
            0_i64,
            0_i64,
            0_i64,
            0_i64,
        )
    };
    call_in_child(pid, child)
}

/// Forks a child that gets this pid, which must be free (`clone3(2)`, `set_tid`): pid reuse without
/// waiting for it.
///
/// # Errors
/// As `clone3(2)`; EEXIST when the number is in use.
pub fn fork_as(pid: i32, child: impl FnOnce() -> i32) -> io::Result<i32> {
    let set_tid = [pid];
    // SAFETY: all zeroes is a valid `clone_args`: integers only.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.exit_signal = libc::SIGCHLD.unsigned_abs().into();
    args.set_tid = set_tid.as_ptr() as u64;
    args.set_tid_size = 1;
    // SAFETY: without CLONE_VM and without a stack this is fork; the kernel reads `args` and the one
    // pid it points to during the call.
    let made = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) };
    call_in_child(made, child)
}
