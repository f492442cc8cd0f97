//! Signals blocked, caught, ignored and pending, and processes that a signal or a freezer stopped.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::{
    fixture::{DEADLINE, Fixture},
    kinds::{both_ways, resting},
    oracle::{settle, settle_at},
    roles::{ready_then_rest, with_child},
};

/// Parts in which signals matter.
pub(crate) fn play(name: &str, _argument: &str) -> bool {
    match name {
        "blocking-all" => {
            // Those that the C library keeps for itself as well.
            block(!0);
            ready_then_rest("");
        }
        "catching-realtime" => {
            extern "C" fn handler(_: libc::c_int) {}
            let address = handler as extern "C" fn(libc::c_int) as libc::sighandler_t;
            handle(&[40, 64], address);
            ready_then_rest("");
        }
        "ignoring" => {
            handle(&[libc::SIGHUP, libc::SIGTERM, 50], libc::SIG_IGN);
            ready_then_rest("");
        }
        "pending-realtime" => {
            block(bit(40) | bit(64));
            for signal in [40, 40, 40, 64] {
                // SAFETY: takes no pointers; a blocked signal only waits.
                assert_eq!(unsafe { libc::kill(libc::getpid(), signal) }, 0);
            }
            ready_then_rest("");
        }
        "pending-on-worker" => pending_on_worker(),
        "terminal-reader" => terminal_reader(),
        _ => return false,
    }
    true
}

fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Blocks these signals in the calling thread: the C library would keep some of them out.
fn block(mask: u64) {
    // SAFETY: reads eight bytes of `mask`; the old mask is not asked for.
    let result = unsafe {
        let old = std::ptr::null_mut::<u64>();
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_BLOCK,
            &raw const mask,
            old,
            8,
        )
    };
    assert_eq!(result, 0);
}

fn handle(signals: &[i32], handler: libc::sighandler_t) {
    for &signal in signals {
        // SAFETY: the handlers used here do nothing, which is async-signal-safe.
        let before = unsafe { libc::signal(signal, handler) };
        assert_ne!(before, libc::SIG_ERR);
    }
}

fn pending_on_worker() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let _worker = std::thread::spawn(move || {
        block(bit(libc::SIGUSR1));
        // SAFETY: takes no pointers; the signal is blocked in this thread.
        assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0);
        sender.send(()).unwrap();
        loop {
            std::thread::park();
        }
    });
    receiver.recv().unwrap();
    ready_then_rest("");
}

/// A child in the background of a terminal that reads from it all the same.
fn terminal_reader() {
    rustix::process::setsid().unwrap();
    // The end of the terminal is told to the leader of its session.
    handle(&[libc::SIGHUP], libc::SIG_IGN);
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let path = ptsname(&master, Vec::new()).unwrap();
    // The first terminal that a session leader opens becomes its own.
    let terminal = std::fs::File::options()
        .read(true)
        .write(true)
        .open(path.to_str().unwrap())
        .unwrap();
    let read = || {
        crate::roles::prctl(libc::PR_SET_PDEATHSIG, 9);
        rustix::process::setpgid(None, None).unwrap();
        let _ = rustix::io::read(&terminal, &mut [0]);
    };
    with_child(read, true);
}

fn masks(role: &str) -> [u64; 3] {
    let (_fixture, row) = resting(role);
    [row.sig_pnd, row.sig_blk, row.sig_cgt]
        .map(|mask| u64::from_str_radix(&mask.unwrap(), 16).unwrap())
}

#[test]
fn all_signals_blocked_but_the_two_that_cannot_be() {
    let blocked = masks("blocking-all")[1];
    assert_eq!(blocked, !(bit(libc::SIGKILL) | bit(libc::SIGSTOP)));
}

#[test]
fn caught_real_time_signals_up_to_the_last() {
    let caught = masks("catching-realtime")[2];
    assert_eq!(caught & (bit(40) | bit(64)), bit(40) | bit(64));
    assert_eq!(caught & bit(41), 0);
}

#[test]
fn ignored_signals_are_not_caught() {
    let ignored = bit(libc::SIGHUP) | bit(libc::SIGTERM) | bit(50);
    assert_eq!(masks("ignoring")[2] & ignored, 0);
}

#[test]
fn real_time_signals_that_wait_several_times() {
    assert_eq!(masks("pending-realtime")[0], bit(40) | bit(64));
}

#[test]
fn a_signal_that_waits_for_another_thread_is_not_the_leaders() {
    let (fixture, row) = resting("pending-on-worker");
    assert_eq!(row.sig_pnd.as_deref(), Some("0000000000000000"));
    fixture.finish();
}

#[test]
fn a_process_stopped_because_it_read_from_a_terminal_in_the_background() {
    let fixture = Fixture::start("terminal-reader");
    let row = both_ways(&settle(fixture.named_pid(), 'T'));
    assert_eq!(row.state.as_deref(), Some("stopped"));
    fixture.finish();
}

/// A process in a cgroup of its own that can be frozen; thawed, ended and cleared away with this value.
struct Frozen {
    fixture: Option<Fixture>,
    dir: PathBuf,
    thaw: (&'static str, &'static str),
}

impl Frozen {
    fn start(base: &Path, freeze: (&str, &str), thaw: (&'static str, &'static str)) -> Self {
        let fixture = Fixture::start("rest");
        settle(fixture.pid(), 'S');
        let dir = base.join(format!("tracer-test-{}", fixture.pid()));
        std::fs::create_dir(&dir).unwrap();
        let procs = dir.join("cgroup.procs");
        let pid = fixture.pid().to_string();
        let frozen = Self {
            fixture: Some(fixture),
            dir,
            thaw,
        };
        std::fs::write(procs, pid).unwrap();
        std::fs::write(frozen.dir.join(freeze.0), freeze.1).unwrap();
        frozen
    }

    fn pid(&self) -> u32 {
        self.fixture.as_ref().unwrap().pid()
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = std::fs::write(self.dir.join(self.thaw.0), self.thaw.1);
        drop(self.fixture.take());
        let deadline = Instant::now() + DEADLINE;
        // The kernel lets go of a cgroup only after the last process in it.
        while std::fs::remove_dir(&self.dir).is_err() && Instant::now() < deadline {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_process_that_is_frozen_by_each_freezer_the_host_has() {
    let mounts = procfs::process::Process::myself().unwrap().mountinfo();
    let mounts = mounts.unwrap();
    let mounted = |wanted: &dyn Fn(&procfs::process::MountInfo) -> bool| {
        let found = mounts.0.iter().find(|mount| wanted(mount)).cloned();
        found.map(|mount| mount.mount_point)
    };
    let old =
        mounted(&|mount| mount.fs_type == "cgroup" && mount.super_options.contains_key("freezer"));
    let new = mounted(&|mount| mount.fs_type == "cgroup2");
    assert!(old.is_some() || new.is_some(), "needs a cgroup file system");
    if let Some(base) = old {
        let (freeze, thaw) = (("freezer.state", "FROZEN"), ("freezer.state", "THAWED"));
        let frozen = Frozen::start(&base, freeze, thaw);
        let process = settle_at(frozen.pid(), 'D', &["refrigerator"]);
        let row = both_ways(&process);
        assert_eq!(row.state.as_deref(), Some("disk-sleep"));
    }
    if let Some(base) = new {
        let (freeze, thaw) = (("cgroup.freeze", "1"), ("cgroup.freeze", "0"));
        let frozen = Frozen::start(&base, freeze, thaw);
        both_ways(&settle_at(
            frozen.pid(),
            'S',
            &["freezer_trap", "get_signal"],
        ));
    }
}
