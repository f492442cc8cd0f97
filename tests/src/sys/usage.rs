//! What `wait4(2)` says of the resources that a process has used.

use std::io;

/// What the kernel charged for a process, and for those it had waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// User and system time, µs; each is rounded down.
    pub cpu_us: u64,
    /// Page faults without I/O.
    pub faults_minor: u64,
    /// Page faults with I/O.
    pub faults_major: u64,
    /// Voluntary context switches.
    pub voluntary: u64,
    /// Involuntary context switches.
    pub involuntary: u64,
}

/// `wait4(2)` without options, and only for what it says of resources.
///
/// # Errors
/// As `wait4(2)`, ECHILD included. EINTR is retried.
pub fn wait4_usage(pid: i32) -> io::Result<Usage> {
    loop {
        // SAFETY: rusage is a plain C struct for which all zeroes is a value.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        let mut status = 0;
        // SAFETY: both pointers are to live locals of the right types.
        if unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) } > 0 {
            let us = |time: libc::timeval| time.tv_sec * 1_000_000 + time.tv_usec;
            let cpu = us(usage.ru_utime) + us(usage.ru_stime);
            return Ok(Usage {
                cpu_us: cpu.unsigned_abs(),
                faults_minor: usage.ru_minflt.unsigned_abs(),
                faults_major: usage.ru_majflt.unsigned_abs(),
                voluntary: usage.ru_nvcsw.unsigned_abs(),
                involuntary: usage.ru_nivcsw.unsigned_abs(),
            });
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
