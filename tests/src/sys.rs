//! The system calls of the fixtures that the standard library hides or does in its own way.
//!
//! All unsafe code of the package is here and in the `main` of the fixtures that must start without
//! the standard library's runtime.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::ptr;

mod births;
pub mod calls;
mod usage;

pub use births::{clone, fork, fork_as};
pub use usage::{Usage, wait4_usage};

/// What `wait4(2)` said of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waited {
    /// Which process.
    pub pid: i32,
    /// Raw wait status.
    pub status: i32,
    /// `ru_maxrss`, KiB.
    pub max_rss_kb: i64,
}

/// This process's pid.
#[must_use]
pub fn getpid() -> i32 {
    // SAFETY: getpid has no preconditions and cannot fail.
    unsafe { libc::getpid() }
}

/// The parent's pid.
#[must_use]
pub fn getppid() -> i32 {
    // SAFETY: getppid has no preconditions and cannot fail.
    unsafe { libc::getppid() }
}

/// This thread's id.
#[must_use]
pub fn gettid() -> i32 {
    // SAFETY: gettid has no preconditions and cannot fail.
    unsafe { libc::gettid() }
}

/// `CLOCK_BOOTTIME`, ns: the clock the records are on.
#[must_use]
pub fn boot_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (s, ns) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
    s * 1_000_000_000 + ns
}

/// Ends the process without running anything else.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes any code and does not return.
    unsafe { libc::_exit(code) }
}

/// Ends only the calling thread, with `SYS_exit`. For the leader this leaves a zombie leader behind
/// while the other threads go on.
pub fn exit_thread(code: i32) -> ! {
    loop {
        // SAFETY: SYS_exit takes one integer; it ends this thread, whose stack nobody shares.
        unsafe { libc::syscall(libc::SYS_exit, code) };
    }
}

/// Sends this process a signal with its default action.
///
/// # Errors
/// The number is not a signal.
pub fn die_of(signal: i32) -> io::Result<()> {
    // SAFETY: signal(2) with SIG_DFL installs no code of ours; kill takes two integers.
    let sent = unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::kill(libc::getpid(), signal)
    };
    if sent == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// `wait4(2)` without options; -1 waits for any child.
///
/// # Errors
/// As `wait4(2)`, ECHILD included. EINTR is retried.
pub fn wait4(pid: i32) -> io::Result<Waited> {
    let mut status = 0;
    loop {
        // SAFETY: rusage is a plain C struct for which all zeroes is a value.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are to live locals of the right types.
        let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        if waited > 0 {
            return Ok(Waited {
                pid: waited,
                status,
                max_rss_kb: usage.ru_maxrss,
            });
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Sets the disposition of a signal to ignored (or default).
pub fn ignore(signal: i32, ignored: bool) {
    let action = if ignored {
        libc::SIG_IGN
    } else {
        libc::SIG_DFL
    };
    // SAFETY: SIG_IGN and SIG_DFL install no code of ours.
    unsafe { libc::signal(signal, action) };
}

/// Blocks one signal in the calling thread.
pub fn block(signal: i32) {
    // SAFETY: the set is a local that sigemptyset initialises before it is used.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut());
    }
}

/// Waits for one of `signals`, which must be blocked, and takes it.
///
/// # Errors
/// As `sigwait(3)`.
pub fn take_signal(signals: &[i32]) -> io::Result<i32> {
    let mut taken = 0;
    // SAFETY: the set is a local that sigemptyset initialises before it is used.
    let error = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for &signal in signals {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::sigwait(&raw const set, &raw mut taken)
    };
    if error == 0 {
        Ok(taken)
    } else {
        Err(io::Error::from_raw_os_error(error))
    }
}

/// Makes a new session with `terminal` as its controlling terminal.
///
/// # Errors
/// As `setsid(2)` and `TIOCSCTTY`.
pub fn take_terminal(terminal: i32) -> io::Result<()> {
    // SAFETY: setsid has no preconditions; TIOCSCTTY takes an integer.
    let failed =
        unsafe { libc::setsid() == -1 || libc::ioctl(terminal, libc::TIOCSCTTY, 0_i32) == -1 };
    if failed {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Joins new namespaces, `unshare(2)`.
///
/// # Errors
/// As `unshare(2)`.
pub fn unshare(flags: i32) -> io::Result<()> {
    // SAFETY: unshare takes flags; this package asks only for pid and mount namespaces, which do
    // not change what memory or descriptors mean.
    if unsafe { libc::unshare(flags) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Mounts, `mount(2)`, without data.
///
/// # Errors
/// As `mount(2)`.
pub fn mount(source: &CStr, target: &CStr, kind: &CStr, flags: u64) -> io::Result<()> {
    // SAFETY: all strings are C strings; null data means none.
    let done = unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            flags,
            ptr::null(),
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sets the calling thread's comm to any bytes; the kernel keeps 15.
///
/// # Errors
/// As `PR_SET_NAME`.
pub fn set_comm(name: &CStr) -> io::Result<()> {
    rustix::thread::set_name(name).map_err(io::Error::from)
}

/// Touches every page of `mib` MiB of fresh memory once, then gives it back.
///
/// # Errors
/// As `mmap(2)`.
pub fn touch(mib: usize) -> io::Result<()> {
    let len = mib << 20;
    // SAFETY: a fresh anonymous mapping is written only inside its length, then unmapped, and no
    // reference to it is kept.
    unsafe {
        let start = libc::mmap(
            ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        for offset in (0..len).step_by(4096) {
            start.cast::<u8>().add(offset).write_volatile(1);
        }
        libc::munmap(start, len);
    }
    Ok(())
}

/// Makes `fd` a copy of `from` that an exec keeps. For use between fork and exec.
///
/// # Errors
/// As `dup2(2)`.
pub fn put_at(from: i32, fd: i32) -> io::Result<()> {
    // SAFETY: dup2 takes numbers; the copy belongs to the program about to be executed.
    if unsafe { libc::dup2(from, fd) } == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Closes a descriptor by number. For use between fork and exec, where nothing owns it any more.
pub fn close(fd: i32) {
    // SAFETY: between fork and exec nothing in the process uses the descriptor afterwards.
    unsafe { libc::close(fd) };
}

/// Gives up every capability for this process and all it executes, root or not.
///
/// # Errors
/// As `PR_CAPBSET_DROP`.
pub fn drop_capabilities() -> io::Result<()> {
    for capability in 0_i64..64 {
        // SAFETY: PR_CAPBSET_DROP takes one number; EINVAL is the end of those the kernel knows.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } == -1 {
            let error = io::Error::last_os_error();
            return if error.raw_os_error() == Some(libc::EINVAL) {
                Ok(())
            } else {
                Err(error)
            };
        }
    }
    Ok(())
}

/// Gives the calling thread, and what it starts from now on, a mount namespace of its own, and mounts a
/// file system of this kind there.
///
/// # Errors
/// As `unshare(2)` and `mount(2)`.
pub fn mount_for_this_thread(kind: &CStr, at: &CStr) -> io::Result<()> {
    // SAFETY: changes the calling thread's namespace and no memory.
    done(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: valid strings; only this thread's namespace changes.
    done(unsafe {
        libc::mount(
            ptr::null(),
            c"/".as_ptr(),
            ptr::null(),
            private,
            ptr::null(),
        )
    })?;
    // SAFETY: as above.
    done(unsafe { libc::mount(kind.as_ptr(), at.as_ptr(), kind.as_ptr(), 0, ptr::null()) })
}

/// Takes a mount away, at once from the tree and wholly when nobody uses it any more.
///
/// # Errors
/// As `umount2(2)`.
pub fn unmount(at: &CStr) -> io::Result<()> {
    // SAFETY: a valid string.
    done(unsafe { libc::umount2(at.as_ptr(), libc::MNT_DETACH) })
}

/// `union bpf_attr`, as far as the calls below need it.
#[repr(C)]
#[derive(Default)]
struct BpfAttr([u64; 4]);

fn bpf(command: i64, attr: &mut BpfAttr) -> io::Result<i32> {
    let size = size_of::<BpfAttr>();
    // SAFETY: the attribute is as long as is said; what it points to lives in the caller.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, ptr::from_mut(attr), size) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(result).map_err(io::Error::other)
}

/// A descriptor of our own that closes itself.
fn owned(fd: i32) -> OwnedFd {
    // SAFETY: a descriptor that the kernel has just given us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// The program that a pinned link keeps attached.
///
/// # Errors
/// As `bpf(2)`: `BPF_OBJ_GET`, `BPF_OBJ_GET_INFO_BY_FD`.
pub fn program_of_link(path: &CStr) -> io::Result<u32> {
    let link = owned(bpf(7, &mut BpfAttr([path.as_ptr() as u64, 0, 0, 0]))?);
    // `struct bpf_link_info`: type, id, prog_id.
    let mut info = [0_u32; 4];
    let fd = u64::from(link.as_raw_fd().unsigned_abs());
    let at = ptr::from_mut(&mut info) as u64;
    bpf(15, &mut BpfAttr([fd | 16 << 32, at, 0, 0]))?;
    Ok(info[2])
}

/// Whether the kernel has this program.
///
/// # Errors
/// As `bpf(2)`: `BPF_PROG_GET_FD_BY_ID`.
pub fn program_exists(id: u32) -> io::Result<bool> {
    match bpf(13, &mut BpfAttr([id.into(), 0, 0, 0])).map(owned) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

fn done(result: i32) -> io::Result<()> {
    if result == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}
