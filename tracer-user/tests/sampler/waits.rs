//! Where a process may wait: each place is told as the kernel tells it, by both ways.

use std::{
    fs::File,
    io::{Read, Write as _},
    net::{Ipv4Addr, TcpListener},
    os::unix::net::UnixDatagram,
    path::Path,
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, epoll, eventfd, poll},
    fs::{FileType, FlockOperation, Mode, flock},
};

use crate::{
    fixture::Fixture,
    kinds::both_ways,
    oracle::settle_at,
    roles::{die_with, exit, ready, rest},
};

/// Parts that wait elsewhere than for their standard input, most of them until they are killed.
pub(crate) fn play(name: &str, argument: &str) -> bool {
    match name {
        "pipe-writer" => {
            let (_reader, writer) = rustix::pipe::pipe().unwrap();
            let mut writer = File::from(writer);
            ready("");
            while writer.write(&[0; 4096]).is_ok() {}
        }
        "fifo-reader" => {
            let path = fifo(argument);
            let mut both = File::options().read(true).write(true).open(path).unwrap();
            ready("");
            let _ = both.read(&mut [0]);
        }
        "fifo-opener" => {
            let path = fifo(argument);
            ready("");
            let _ = File::open(path);
        }
        "parked" => {
            ready("");
            loop {
                std::thread::park();
            }
        }
        "poller" => {
            let stdin = std::io::stdin();
            ready("");
            poll(&mut [PollFd::new(&stdin, PollFlags::IN)], None).unwrap();
        }
        "epoller" => {
            let queue = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
            let (stdin, data) = (std::io::stdin(), epoll::EventData::new_u64(0));
            epoll::add(&queue, stdin, data, epoll::EventFlags::IN).unwrap();
            let mut events = [epoll::Event {
                flags: epoll::EventFlags::empty(),
                data,
            }];
            ready("");
            epoll::wait(&queue, &mut events, None).unwrap();
        }
        "sleeper" => {
            let hour = rustix::thread::Timespec {
                tv_sec: 3600,
                tv_nsec: 0,
            };
            ready("");
            let _ = rustix::thread::nanosleep(&hour);
        }
        "locker" => {
            let path = Path::new(argument).join("lock");
            let (holder, waiter) = (File::create(&path).unwrap(), File::create(&path).unwrap());
            flock(&holder, FlockOperation::LockExclusive).unwrap();
            ready("");
            let _ = flock(&waiter, FlockOperation::LockExclusive);
        }
        "signal-waiter" => signal_waiter(),
        "child-waiter" => child_waiter(),
        "event-reader" => {
            let counter = eventfd(0, EventfdFlags::empty()).unwrap();
            ready("");
            let _ = rustix::io::read(&counter, &mut [0; 8]);
        }
        "receiver" => {
            let (here, _there) = UnixDatagram::pair().unwrap();
            ready("");
            let _ = here.recv(&mut [0]);
        }
        "acceptor" => {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            ready("");
            let _ = listener.accept();
        }
        _ => return false,
    }
    true
}

fn fifo(dir: &str) -> std::path::PathBuf {
    let path = Path::new(dir).join("fifo");
    let mode = Mode::RUSR | Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, mode, 0).unwrap();
    path
}

fn signal_waiter() {
    ready("");
    // SAFETY: `set` is initialised by sigemptyset before it is used; a null info is allowed.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGUSR1);
        libc::sigwaitinfo(&raw const set, std::ptr::null_mut());
    }
}

fn child_waiter() {
    let parent = std::process::id();
    // SAFETY: this process has one thread, so the child may do what it likes.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        die_with(parent);
        rest();
        exit(0);
    }
    ready("");
    // SAFETY: a null status is allowed.
    assert_eq!(unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) }, pid);
}

/// Starts a role that waits in one of these places, and checks the whole row, of both ways.
fn waiting(role: &str, places: &[&str]) {
    let fixture = Fixture::start(role);
    let row = both_ways(&settle_at(fixture.pid(), 'S', places));
    let wchan = row.wchan.unwrap();
    assert!(places.iter().any(|place| wchan.contains(place)), "{wchan}");
}

#[test]
fn a_process_that_writes_to_a_full_pipe() {
    waiting("pipe-writer", &["pipe_write"]);
}

#[test]
fn a_process_that_reads_from_a_fifo_without_data() {
    let dir = tempfile::tempdir().unwrap();
    let role = format!("fifo-reader:{}", dir.path().display());
    waiting(&role, &["pipe_read", "fifo_pipe_read"]);
}

#[test]
fn a_process_that_opens_a_fifo_to_which_nobody_writes() {
    let dir = tempfile::tempdir().unwrap();
    let role = format!("fifo-opener:{}", dir.path().display());
    waiting(&role, &["wait_for_partner", "fifo_open"]);
}

#[test]
fn a_process_that_waits_for_a_futex() {
    waiting("parked", &["futex"]);
}

#[test]
fn a_process_that_polls_without_a_timeout() {
    waiting("poller", &["poll"]);
}

#[test]
fn a_process_that_waits_for_events_of_an_epoll() {
    waiting("epoller", &["ep_poll", "epoll"]);
}

#[test]
fn a_process_that_sleeps_for_a_time() {
    waiting("sleeper", &["nanosleep"]);
}

#[test]
fn a_process_that_waits_for_a_lock_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    waiting(&format!("locker:{}", dir.path().display()), &["lock"]);
}

#[test]
fn a_process_that_waits_for_a_signal() {
    waiting("signal-waiter", &["sigtimedwait"]);
}

#[test]
fn a_process_that_waits_for_its_child() {
    waiting("child-waiter", &["do_wait", "wait4"]);
}

#[test]
fn a_process_that_reads_an_event_counter_of_zero() {
    waiting("event-reader", &["eventfd", "do_wait_intr"]);
}

#[test]
fn a_process_that_waits_for_a_datagram() {
    waiting("receiver", &["skb_wait", "skb_recv", "unix_dgram"]);
}

#[test]
fn a_process_that_waits_for_a_connection() {
    waiting("acceptor", &["inet_csk", "inet_accept"]);
}
