//! Everything a program inherits, one line a thing: `show_self REPORT EXIT [anything…]`.
//!
//! Writes the report, copies stdin to stdout unless it is a terminal, says a line on stderr, and ends
//! as `tiny EXIT` would. It starts without the standard library's runtime, which would ignore
//! SIGPIPE, catch SIGSEGV and open closed descriptors before anything could be seen.
#![no_main]

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileTypeExt as _;

use anyhow::{Context as _, Result};
use tracer_tests::sys;

const LIMIT_OF_FDS: i32 = 256;
const STATUS: [&str; 21] = [
    "Umask",
    "Uid",
    "Gid",
    "Groups",
    "Threads",
    "SigPnd",
    "ShdPnd",
    "SigBlk",
    "SigIgn",
    "SigCgt",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
    "Seccomp_filters",
    "Cpus_allowed",
    "Mems_allowed",
    "THP_enabled",
];
const FILES: [&str; 7] = [
    "limits",
    "oom_score_adj",
    "coredump_filter",
    "cgroup",
    "loginuid",
    "autogroup",
    "personality",
];
const LINKS: [&str; 11] = [
    "cwd",
    "root",
    "exe",
    "ns/pid",
    "ns/mnt",
    "ns/net",
    "ns/user",
    "ns/ipc",
    "ns/uts",
    "ns/cgroup",
    "ns/time",
];

/// What a descriptor is, without opening anything: that would take a number.
fn descriptor(out: &mut String, fd: i32) -> Result<()> {
    // SAFETY: F_GETFL and F_GETFD take no argument and only report; isatty takes a number.
    let (status, flags, tty) = unsafe {
        (
            libc::fcntl(fd, libc::F_GETFL),
            libc::fcntl(fd, libc::F_GETFD),
            libc::isatty(fd),
        )
    };
    if flags == -1 {
        return Ok(());
    }
    let path = format!("/proc/self/fd/{fd}");
    let target = fs::read_link(&path)?;
    let kind = fs::metadata(&path)?.file_type();
    let kind = [
        (kind.is_fifo(), "pipe"),
        (kind.is_socket(), "socket"),
        (kind.is_char_device(), "character device"),
        (kind.is_file(), "file"),
        (kind.is_dir(), "directory"),
    ]
    .into_iter()
    .find_map(|(is, name)| is.then_some(name));
    writeln!(
        out,
        "fd {fd} {kind:?} {} status {status:#o} flags {flags} tty {tty}",
        target.display()
    )?;
    if tty == 1 {
        // SAFETY: the descriptor is open (F_GETFD has just said so) and nobody closes it meanwhile.
        let terminal = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
        let size = rustix::termios::tcgetwinsize(terminal)?;
        writeln!(out, "fd {fd} size {}x{}", size.ws_row, size.ws_col)?;
    }
    Ok(())
}

fn numbers(out: &mut String) -> Result<()> {
    // SAFETY: each call takes integers and reports one, or fills the local given to it.
    unsafe {
        let mut signal = 0;
        libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut signal);
        writeln!(out, "pdeathsig {signal}")?;
        let mut reaper = 0;
        libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &raw mut reaper);
        writeln!(out, "subreaper {reaper}")?;
        writeln!(out, "timer slack {}", libc::prctl(libc::PR_GET_TIMERSLACK))?;
        writeln!(out, "dumpable {}", libc::prctl(libc::PR_GET_DUMPABLE))?;
        writeln!(out, "securebits {}", libc::prctl(libc::PR_GET_SECUREBITS))?;
        writeln!(out, "nice {}", libc::getpriority(libc::PRIO_PROCESS, 0))?;
        writeln!(out, "policy {}", libc::sched_getscheduler(0))?;
        writeln!(out, "ioprio {}", libc::syscall(libc::SYS_ioprio_get, 1, 0))?;
        let (session, group, parent) = (libc::getsid(0), libc::getpgrp(), libc::getppid());
        writeln!(out, "number of session {session}, of group {group}")?;
        let with_parent = (
            libc::getsid(parent) == session,
            libc::getpgid(parent) == group,
        );
        writeln!(out, "in the parent's session and group {with_parent:?}")?;
        writeln!(
            out,
            "leads session {}, group {}",
            session == libc::getpid(),
            group == libc::getpid()
        )?;
        writeln!(out, "in the foreground {}", libc::tcgetpgrp(0) == group)?;
        writeln!(out, "AT_SECURE {}", libc::getauxval(libc::AT_SECURE))?;
        for timer in [libc::ITIMER_REAL, libc::ITIMER_VIRTUAL, libc::ITIMER_PROF] {
            let mut value: libc::itimerval = std::mem::zeroed();
            libc::getitimer(timer, &raw mut value);
            writeln!(
                out,
                "timer {timer} armed {}",
                value.it_value.tv_sec + value.it_value.tv_usec > 0
            )?;
        }
    }
    let stat = tracer_tests::proc::stat_fields(sys::getpid())?;
    for (index, name) in [
        (4, "tty_nr"),
        (5, "number of foreground group"),
        (35, "exit signal"),
    ] {
        writeln!(
            out,
            "{name} {}",
            stat.get(index).map_or("?", String::as_str)
        )?;
    }
    Ok(())
}

fn report() -> Result<String> {
    let mut out = String::new();
    for fd in 0..LIMIT_OF_FDS {
        descriptor(&mut out, fd).with_context(|| format!("descriptor {fd}"))?;
    }
    numbers(&mut out)?;
    for name in STATUS {
        let line = tracer_tests::proc::status_line(sys::getpid(), name);
        writeln!(
            out,
            "{name} {}",
            line.unwrap_or_else(|_| "not there".to_owned())
        )?;
    }
    for name in FILES {
        let text = fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        text.lines()
            .try_for_each(|line| writeln!(out, "{name}: {line}"))?;
    }
    for name in LINKS {
        writeln!(
            out,
            "{name} {:?}",
            fs::read_link(format!("/proc/self/{name}")).ok()
        )?;
    }
    writeln!(out, "comm {:?}", tracer_tests::proc::comm(sys::getpid())?)?;
    // Not the report's own name and how to end: those a test may vary.
    for arg in std::env::args_os()
        .take(1)
        .chain(std::env::args_os().skip(3))
    {
        writeln!(
            out,
            "argument {:?}",
            String::from_utf8_lossy(arg.as_bytes())
        )?;
    }
    for (key, value) in std::env::vars_os() {
        let (key, value) = (
            key.as_bytes().escape_ascii(),
            value.as_bytes().escape_ascii(),
        );
        writeln!(out, "environment {key}={value}")?;
    }
    Ok(out)
}

fn show() -> Result<i32> {
    let report = report()?;
    let args: Vec<_> = std::env::args_os().collect();
    let (path, end) = (
        args.get(1).context("no REPORT")?,
        args.get(2).context("no EXIT")?,
    );
    let mut stdin_bytes = Vec::new();
    // A closed stdin fails at once; that too is something to compare.
    // SAFETY: isatty takes a number.
    let copied = if unsafe { libc::isatty(0) } == 1 {
        String::from("terminal")
    } else {
        format!(
            "{:?}",
            std::io::stdin()
                .read_to_end(&mut stdin_bytes)
                .map_err(|error| error.kind())
        )
    };
    fs::write(path, format!("{report}stdin {copied}\n"))?;
    let said = std::io::stdout().write_all(&stdin_bytes).and_then(|()| {
        std::io::stdout().write_all(b"said on stdout\n")?;
        std::io::stdout().flush()?;
        std::io::stderr().write_all(b"said on stderr\n")
    });
    // A closed stdout or stderr is what some tests are about.
    drop(said);
    let code: i32 = end.to_str().context("EXIT is not a number")?.parse()?;
    if code < 0 {
        sys::die_of(-code)?;
    }
    Ok(code)
}

/// Called by the C library.
// SAFETY: the only `main` of this program.
#[unsafe(no_mangle)]
extern "C" fn main(_argc: libc::c_int, _argv: *const *const libc::c_char) -> libc::c_int {
    show().unwrap_or_else(|error| {
        // Nowhere else to say it; the exit code says the rest.
        let _ = writeln!(std::io::stderr(), "show_self: {error:#}");
        111
    })
}
