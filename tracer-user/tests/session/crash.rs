//! Fatal signals: a process that dies of one has said so, and still dies of it.
//!
//! Each case is a process of its own, this test program again, that dies in the way it is told.

use std::{
    io::{BufRead, BufReader, Read},
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
};

use tracer::{
    procfs::timens::BootOffset,
    session::crash::{slot, stack::SignalStack, words::LastWords},
    verdict::signals,
};

use crate::support::*;

const KIND: &str = "TRACER_TEST_DEATH";
const FILE: &str = "TRACER_TEST_LEASE";

/// Not a test: the process that dies.
#[test]
#[ignore = "run by the tests of this file"]
fn dying() {
    let Ok(kind) = std::env::var(KIND) else {
        return;
    };
    let file = std::env::var_os(FILE).expect("given");
    let lease = std::fs::OpenOptions::new().append(true).open(file);
    let armed = slot::arm(
        OwnedFd::from(lease.expect("there")),
        3,
        0,
        BootOffset::default(),
    );
    let armed = armed.expect("a slot is free");
    slot::install().expect("installed");
    // Twice is once.
    slot::install().expect("installed");
    armed.accepted(42);
    armed.written(40);
    let no_core = rustix::process::Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    rustix::process::setrlimit(rustix::process::Resource::Core, no_core).expect("lowered");
    // Not by println: the harness would keep it.
    let ready = format!("\nready {}\n", rustix::thread::gettid().as_raw_nonzero());
    rustix::io::write(rustix::stdio::stdout(), ready.as_bytes()).expect("told");
    die(&kind);
    drop(armed);
}

fn die(kind: &str) {
    match kind {
        "fault" => fault(),
        "fault in a thread" => in_thread(|| with_stack(fault)),
        "fault in a strange thread" => in_thread(fault),
        "abort in a strange thread" => in_thread(|| std::process::abort()),
        "faults in many threads" => {
            let barrier = std::sync::Barrier::new(16);
            std::thread::scope(|scope| {
                for _ in 0..16 {
                    scope.spawn(|| {
                        with_stack(|| {
                            barrier.wait();
                            fault();
                        });
                    });
                }
            });
        }
        "overflow" => {
            let deep = std::thread::Builder::new().stack_size(128 << 10);
            let deep = deep.spawn(|| with_stack(|| assert_eq!(overflow(1), 0)));
            let joined = deep.expect("a thread").join();
            joined.expect("never");
        }
        "bus" => bus(),
        "illegal" => illegal(),
        "abort" => std::process::abort(),
        "wait" => drop(std::io::stdin().read(&mut [0])),
        raised => {
            let number = signals::number(raised).expect("a signal's name");
            // SAFETY: the number is a signal's.
            unsafe { libc::raise(number) };
        }
    }
}

fn in_thread(work: impl FnOnce() + Send + 'static) {
    std::thread::spawn(work).join().expect("never");
}

fn with_stack(work: impl FnOnce()) {
    let _stack = SignalStack::for_this_thread().expect("memory");
    work();
}

fn fault() {
    // SAFETY: none; nothing is mapped there, and dying of it is the point.
    let read = unsafe { std::ptr::with_exposed_provenance::<u64>(4096).read_volatile() };
    assert_eq!(read, 0);
}

fn overflow(depth: u64) -> u64 {
    let deeper = std::hint::black_box([depth; 64]);
    if depth == u64::MAX {
        return 0;
    }
    overflow(deeper[3] + 1).wrapping_add(deeper[5])
}

fn bus() {
    let file = tempfile::tempfile().expect("a file");
    file.set_len(4096).expect("grown");
    let flags = rustix::mm::MapFlags::SHARED;
    // SAFETY: a new mapping at a place of the kernel's choice.
    let page = unsafe {
        rustix::mm::mmap(
            std::ptr::null_mut(),
            4096,
            rustix::mm::ProtFlags::READ,
            flags,
            &file,
            0,
        )
    };
    file.set_len(0).expect("shrunk");
    // SAFETY: none; the page is behind the file's end, and dying of it is the point.
    let read = unsafe { page.expect("mapped").cast::<u64>().read_volatile() };
    assert_eq!(read, 0);
}

#[cfg(target_arch = "x86_64")]
fn illegal() {
    // SAFETY: none; dying of it is the point.
    unsafe { std::arch::asm!("ud2") };
}

#[cfg(not(target_arch = "x86_64"))]
fn illegal() {
    // SAFETY: the number is a signal's.
    unsafe { libc::raise(libc::SIGILL) };
}

struct Dying {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Dying {
    fn start(lease: &Path, kind: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("known"))
            .args(["--ignored", "--exact", "crash::dying", "--nocapture"])
            .env(KIND, kind)
            .env(FILE, lease)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, output }
    }

    /// The thread that will die, once all is prepared for that.
    fn until_ready(&mut self) -> i32 {
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line).expect("readable");
            assert_ne!(read, 0, "it ended before it was ready");
            if let Some(tid) = line.strip_prefix("ready ") {
                return tid.trim().parse().expect("a number");
            }
        }
    }

    fn end(mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        let mut stderr = self.child.stderr.take().expect("piped");
        stderr.read_to_string(&mut said).expect("text");
        (self.child.wait().expect("ours"), said)
    }
}

fn lease_in(dir: &tempfile::TempDir) -> std::path::PathBuf {
    let path = dir.path().join("lease");
    // The line before was torn by another crash.
    std::fs::write(&path, b"\n{\"session_id\":\"x\"}\n{\"session_").expect("written");
    path
}

fn words_in(lease: &Path) -> Vec<LastWords> {
    let bytes = std::fs::read(lease).expect("readable");
    bytes
        .split(|&byte| byte == b'\n')
        .filter_map(LastWords::parse)
        .collect()
}

#[test]
fn c8_every_fatal_signal_leaves_one_line_and_is_still_what_the_process_dies_of() {
    for (kind, cause, dies_of) in [
        ("fault", "SIGSEGV", "SIGSEGV"),
        ("fault in a thread", "SIGSEGV", "SIGSEGV"),
        ("faults in many threads", "SIGSEGV", "SIGSEGV"),
        ("bus", "SIGBUS", "SIGBUS"),
        ("illegal", "SIGILL", "SIGILL"),
        ("abort", "SIGABRT", "SIGABRT"),
        ("abort in a strange thread", "SIGABRT", "SIGABRT"),
        ("SIGSEGV", "SIGSEGV", "SIGSEGV"),
        ("SIGBUS", "SIGBUS", "SIGBUS"),
        ("SIGILL", "SIGILL", "SIGILL"),
        ("SIGFPE", "SIGFPE", "SIGFPE"),
        ("SIGABRT", "SIGABRT", "SIGABRT"),
        ("SIGSYS", "SIGSYS", "SIGSYS"),
        // The runtime's own handler says so and aborts; the first cause is kept.
        ("overflow", "SIGSEGV", "SIGABRT"),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let lease = lease_in(&dir);
        let before = boot_ns();
        let dying = Dying::start(&lease, kind);
        let (status, said) = dying.end();
        let got = status.signal().map(signals::name);
        assert_eq!(got.as_deref(), Some(dies_of), "{kind}: {status:?}\n{said}");
        let words = words_in(&lease);
        assert_eq!(words.len(), 1, "{kind}: {words:?}");
        let words = &words[0];
        assert_eq!(words.crash.cause, cause, "{kind}");
        assert_eq!(
            (words.epoch, words.last_accepted, words.last_written),
            (3, 41, 39)
        );
        assert!(
            (before..boot_ns()).contains(&words.t.0),
            "{kind}: {words:?}"
        );
        assert_eq!(
            said.contains("overflowed its stack"),
            kind == "overflow",
            "{said}"
        );
    }
}

#[test]
fn a_fault_says_where_and_a_signal_says_who() {
    let dir = tempfile::tempdir().expect("a directory");
    let lease = lease_in(&dir);
    Dying::start(&lease, "fault").end();
    let at = words_in(&lease)[0].crash.detail.clone();
    assert!(at.contains("code 1, at address 0x0000000000001000"), "{at}");

    let lease = lease_in(&dir);
    let mut dying = Dying::start(&lease, "wait");
    let tid = dying.until_ready();
    // SAFETY: numbers only; the process is our child and not reaped.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, dying.child.id(), tid, libc::SIGSEGV) };
    assert_eq!(sent, 0);
    // Rust's own handler takes a first SIGSEGV from outside for nothing and lives on.
    let (status, _) = dying.end();
    assert_eq!(status.signal(), Some(libc::SIGSEGV));
    let by = &words_in(&lease)[0].crash.detail;
    let uid = rustix::process::getuid().as_raw();
    assert!(
        by.contains(&format!("sent by pid {} of uid {uid}", std::process::id())),
        "{by}"
    );
}

#[test]
fn a_thread_whose_stack_is_too_small_for_a_line_dies_without_one_and_of_the_same_signal() {
    let dir = tempfile::tempdir().expect("a directory");
    let lease = lease_in(&dir);
    let (status, _) = Dying::start(&lease, "fault in a strange thread").end();
    assert_eq!(status.signal(), Some(libc::SIGSEGV));
    // Where the processor's registers are few, the runtime's stack is large enough.
    assert!(words_in(&lease).len() <= 1);
}

#[test]
fn a_slot_is_free_again_when_its_session_has_ended() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = lease_in(&dir);
    let mut told = 0;
    wait_for("a slot, more often than there are slots", || {
        let file = std::fs::OpenOptions::new().append(true).open(&path);
        // Other tests of this process have sessions, and with them slots, for moments.
        let armed = slot::arm(
            OwnedFd::from(file.expect("there")),
            7,
            0,
            BootOffset::default(),
        );
        let crash = tracer::session::crash::told("panic", "here");
        told += usize::from(armed.is_some_and(|armed| armed.tell(&crash)));
        told == 2 * slot::SLOTS
    });
    let words = words_in(&path);
    assert_eq!(words.len(), told);
    assert!(
        words
            .iter()
            .all(|words| words.epoch == 7 && words.crash.detail == "here")
    );
}

fn boot_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).expect("positive")
}
