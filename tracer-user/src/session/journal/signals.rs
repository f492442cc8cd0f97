//! Names of signals, as `kill -l` gives them. Source: `signal(7)`, the numbers of x86, Arm and
//! most others.

use std::borrow::Cow;

const NAMES: [&str; 32] = [
    "",
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// The name of a signal; of a number that is none, `signal N`.
#[must_use]
pub fn signal_name(number: i32) -> Cow<'static, str> {
    match usize::try_from(number) {
        Ok(n @ 1..=31) => Cow::Borrowed(NAMES[n]),
        // 32 and 33 are the C library's own; 34 is what programs see as SIGRTMIN.
        Ok(n @ 34..=64) => Cow::Owned(format!("SIGRTMIN+{}", n - 34)),
        _ => Cow::Owned(format!("signal {number}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_agree_with_the_c_library() {
        for (number, name) in [
            (libc::SIGKILL, "SIGKILL"),
            (libc::SIGSEGV, "SIGSEGV"),
            (libc::SIGCHLD, "SIGCHLD"),
            (libc::SIGSYS, "SIGSYS"),
            (libc::SIGSTKFLT, "SIGSTKFLT"),
            (40, "SIGRTMIN+6"),
            (0, "signal 0"),
            (-3, "signal -3"),
        ] {
            assert_eq!(signal_name(number), name);
        }
    }
}
