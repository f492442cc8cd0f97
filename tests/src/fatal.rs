//! Ways to die and to kill that the standard library has no names for.
//!
//! Each does one thing, by the system call that its name says. For fixtures; unsafe code is here for
//! the same reason as in [`crate::sys`].

use std::io;
use std::ptr;

use crate::sys::{exit_now, getpid, gettid};

fn done(result: libc::c_long) -> io::Result<()> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Reads address 8, which is mapped nowhere.
pub fn read_nowhere() {
    // SAFETY: there is none, which is the point: the kernel ends this process.
    let _ = unsafe { ptr::without_provenance::<u8>(8).read_volatile() };
}

/// Reads through an address that no pointer can hold.
pub fn read_beyond() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: there is none, which is the point: the kernel ends this process.
    unsafe {
        std::arch::asm!("mov {x}, qword ptr [{x}]", x = inout(reg) 0x8000_0000_0000_0000_u64 => _);
    }
}

/// Touches a page of a mapped file that has no such page.
///
/// # Errors
/// As `memfd_create(2)` and `mmap(2)`.
pub fn touch_cut_file() -> io::Result<()> {
    let file = rustix::fs::memfd_create("cut", rustix::fs::MemfdFlags::CLOEXEC)?;
    // SAFETY: a fresh shared mapping of an empty file; the read is meant to fail.
    unsafe {
        let at = rustix::mm::mmap(
            ptr::null_mut(),
            4096,
            rustix::mm::ProtFlags::READ,
            rustix::mm::MapFlags::SHARED,
            &file,
            0,
        )?;
        let _ = at.cast::<u8>().read_volatile();
    }
    Ok(())
}

/// Executes what is no instruction.
pub fn bad_instruction() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: there is none, which is the point.
    unsafe {
        std::arch::asm!("ud2");
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = crate::sys::die_of(libc::SIGILL);
}

/// Divides by zero.
pub fn divide_by_zero() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: there is none, which is the point.
    unsafe {
        std::arch::asm!("xor edx, edx", "div {zero:e}", zero = in(reg) 0_u32, inout("eax") 1 => _,
            out("edx") _);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = crate::sys::die_of(libc::SIGFPE);
}

/// Runs into a breakpoint.
pub fn breakpoint() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: there is none, which is the point.
    unsafe {
        std::arch::asm!("int3");
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = crate::sys::die_of(libc::SIGTRAP);
}

/// Makes a system call that its own seccomp filter kills for.
///
/// # Errors
/// As `prctl(2)`.
pub fn forbidden_call() -> io::Result<()> {
    #[expect(clippy::cast_possible_truncation, reason = "codes of 16 bits")]
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    #[expect(clippy::cast_possible_truncation, reason = "codes of 16 bits")]
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    #[expect(clippy::cast_possible_truncation, reason = "codes of 16 bits")]
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let code = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let forbidden = u32::try_from(libc::SYS_getppid).map_err(io::Error::other)?;
    let filter = [
        code(LOAD, 0, 0, 0),
        code(EQUAL, 0, 1, forbidden),
        code(RETURN, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
        code(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: 4,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: plain numbers, and a program that lives until the call returns.
    unsafe {
        done(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).into())?;
        done(libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        ))?;
        libc::getppid();
    }
    Ok(())
}

/// Ends like a program that has found itself out: `abort(3)`.
pub fn abort() -> ! {
    std::process::abort()
}

extern "C" fn leave_143(_signal: libc::c_int) {
    exit_now(143);
}

extern "C" fn do_nothing(_signal: libc::c_int) {}

/// Handles a signal by exiting with 143.
pub fn exit_143_on(signal: i32) {
    // SAFETY: the handler only calls _exit.
    unsafe { libc::signal(signal, leave_143 as *const () as libc::sighandler_t) };
}

/// Handles a signal by doing nothing.
pub fn shrug_at(signal: i32) {
    // SAFETY: the handler does nothing.
    unsafe { libc::signal(signal, do_nothing as *const () as libc::sighandler_t) };
}

/// Has this process scheduled as a real-time one, so that `RLIMIT_RTTIME` counts.
///
/// # Errors
/// Not root.
pub fn be_real_time() -> std::io::Result<()> {
    // SAFETY: integers only; all zeroes is one.
    let mut param: libc::sched_param = unsafe { std::mem::zeroed() };
    param.sched_priority = 1;
    // SAFETY: `param` is valid for the call.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const param) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}

extern "C" fn send_again(signal: libc::c_int) {
    // SAFETY: both may be called from a handler (signal-safety(7)).
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

/// Handles a signal by sending it again, with its default action, as who reports crashes does.
pub fn repeat(signal: i32) {
    // SAFETY: the handler calls only what a handler may.
    unsafe { libc::signal(signal, send_again as *const () as libc::sighandler_t) };
}

/// Restores a signal's default action.
pub fn default(signal: i32) {
    crate::sys::ignore(signal, false);
}

/// Unblocks a signal in the calling thread.
pub fn unblock(signal: i32) {
    // SAFETY: the set is a local that sigemptyset initialises before it is used.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, ptr::null_mut());
    }
}

/// A timer that ends this process with SIGALRM, by `setitimer(2)`.
pub fn alarm_in_ms(ms: i64) {
    let interval = libc::itimerval {
        it_interval: libc::timeval {
            tv_sec: 0,
            tv_usec: 0,
        },
        it_value: libc::timeval {
            tv_sec: 0,
            tv_usec: ms * 1000,
        },
    };
    // SAFETY: the new value is a local; the old one is not asked for.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const interval, ptr::null_mut()) };
}

/// A signal to this process when its parent ends.
///
/// # Errors
/// As `PR_SET_PDEATHSIG`.
pub fn follow_parent(signal: i32) -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes a number.
    done(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal, 0, 0, 0) }.into())
}

/// Sends by one system call or another: `kill`, `tgkill`, `sigqueue`, `killpg` or `pidfd`.
///
/// # Errors
/// As the call; another name.
pub fn send(how: &str, pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: plain numbers, but for the details of sigqueue, which live until the call returns.
    let result = unsafe {
        match how {
            "kill" => libc::kill(pid, signal).into(),
            "killpg" => libc::killpg(pid, signal).into(),
            "tgkill" => libc::syscall(libc::SYS_tgkill, pid, pid, signal),
            "sigqueue" => libc::sigqueue(
                pid,
                signal,
                libc::sigval {
                    sival_ptr: ptr::null_mut(),
                },
            )
            .into(),
            "pidfd" => {
                let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
                if fd < 0 {
                    return Err(io::Error::last_os_error());
                }
                libc::syscall(
                    libc::SYS_pidfd_send_signal,
                    fd,
                    signal,
                    ptr::null::<u8>(),
                    0,
                )
            }
            _ => return Err(io::Error::from(io::ErrorKind::InvalidInput)),
        }
    };
    done(result)
}

/// Sends this thread a signal, details pretended: `rt_tgsigqueueinfo(2)` with any code.
///
/// # Errors
/// As the call.
pub fn pretend(signal: i32, code: i32) -> io::Result<()> {
    // SAFETY: siginfo is plain data for which zeroes are a value, and it lives until the call returns.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        info.si_signo = signal;
        info.si_code = code;
        done(libc::syscall(
            libc::SYS_rt_tgsigqueueinfo,
            getpid(),
            gettid(),
            signal,
            &raw const info,
        ))
    }
}

/// A child that shares this process's memory without being a thread of it (`CLONE_VM`). It waits until
/// a signal ends it. The parent gets its pid.
///
/// # Errors
/// As `clone(2)`.
pub fn sharer() -> io::Result<i32> {
    extern "C" fn wait_forever(_: *mut libc::c_void) -> libc::c_int {
        loop {
            // SAFETY: pause has no preconditions.
            unsafe { libc::pause() };
        }
    }
    let stack: &'static mut [u8] = vec![0_u8; 64 << 10].leak();
    // SAFETY: the child runs a function that only waits, on a stack of its own that is never freed.
    let pid = unsafe {
        libc::clone(
            wait_forever,
            stack.as_mut_ptr_range().end.cast(),
            libc::CLONE_VM | libc::SIGCHLD,
            ptr::null_mut(),
        )
    };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(pid)
}

/// Takes memory, page by page, and keeps it: `mib` MiB, or until the kernel ends it.
pub fn hold_memory(mib: usize) {
    for _ in 0..mib {
        std::hint::black_box(vec![1_u8; 1 << 20].leak());
    }
}
