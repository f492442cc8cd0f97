//! Signal numbers and names on Linux (`signal(7)`, the x86 and ARM numbering).

/// Names of the standard signals, by number.
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

/// The name of a signal: `SIGKILL`, `SIGRTMIN+2`, or `signal 99` for a number that is none.
#[must_use]
pub fn name(signal: i32) -> String {
    match usize::try_from(signal) {
        Ok(number @ 1..32) => NAMES[number].to_owned(),
        // The kernel's own first real-time signal is 32; glibc keeps two for itself and calls 34
        // SIGRTMIN, which is the name people know.
        Ok(number @ 34..=64) => match number - 34 {
            0 => "SIGRTMIN".to_owned(),
            above => format!("SIGRTMIN+{above}"),
        },
        _ => format!("signal {signal}"),
    }
}

/// The number of a standard signal's name, with or without `SIG`.
#[must_use]
pub fn number(name: &str) -> Option<i32> {
    let bare = name.strip_prefix("SIG").unwrap_or(name);
    (1..32)
        .find(|&number| NAMES[number].strip_prefix("SIG") == Some(bare))
        .map(|n| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_possible_wrap,
                reason = "below 32"
            )]
            let n = n as i32;
            n
        })
}

/// Signals by which the kernel tells a program of its own fault.
#[must_use]
pub fn is_fault(signal: i32) -> bool {
    matches!(
        name(signal).as_str(),
        "SIGSEGV" | "SIGBUS" | "SIGILL" | "SIGFPE" | "SIGTRAP" | "SIGABRT" | "SIGSYS"
    )
}

/// Signals by which the kernel tells that a timer of `setitimer(2)` or `alarm(2)` ran out.
#[must_use]
pub fn is_timer(signal: i32) -> bool {
    matches!(name(signal).as_str(), "SIGALRM" | "SIGVTALRM" | "SIGPROF")
}

/// Whether the default action of a signal dumps core (`signal(7)`: Core).
#[must_use]
pub fn dumps_core(signal: i32) -> bool {
    is_fault(signal) || matches!(name(signal).as_str(), "SIGQUIT" | "SIGXCPU" | "SIGXFSZ")
}

/// Whether the default action of a signal ends the process (`signal(7)`: Term and Core).
#[must_use]
pub fn is_lethal(signal: i32) -> bool {
    matches!(signal, 1..=16 | 24..=27 | 29..=64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_agree_with_the_c_library() {
        for (number, expected) in [
            (libc::SIGKILL, "SIGKILL"),
            (libc::SIGSEGV, "SIGSEGV"),
            (libc::SIGCHLD, "SIGCHLD"),
            (libc::SIGSYS, "SIGSYS"),
            (libc::SIGSTKFLT, "SIGSTKFLT"),
            (40, "SIGRTMIN+6"),
            (0, "signal 0"),
            (-3, "signal -3"),
        ] {
            assert_eq!(name(number), expected);
        }
    }

    #[test]
    fn names_and_numbers_agree() {
        for signal in 1..32 {
            assert_eq!(number(&name(signal)), Some(signal));
        }
        assert_eq!(name(9), "SIGKILL");
        assert_eq!(name(34), "SIGRTMIN");
        assert_eq!(name(-3), "signal -3");
        assert_eq!(number("KILL"), Some(9));
        assert_eq!(number("SIGNOPE"), None);
    }

    #[test]
    fn stops_continues_and_ignored_signals_do_not_kill() {
        for signal in [
            "SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGURG", "SIGWINCH",
        ] {
            assert!(!is_lethal(number(signal).unwrap()), "{signal}");
        }
        for signal in ["SIGTERM", "SIGKILL", "SIGIO", "SIGXCPU", "SIGPROF"] {
            assert!(is_lethal(number(signal).unwrap()), "{signal}");
        }
    }
}
