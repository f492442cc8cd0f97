//! What a process under test does: one part each, then it rests until its standard input ends.
//!
//! The test harness has threads of its own, so the part is played by a fork of it, with one thread.

use std::{
    io::{Read, Write as _},
    net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket},
    os::unix::net::UnixStream,
};

use crate::fixture::ROLE;

/// Not a test: the entry of the processes under test.
#[test]
#[ignore = "the entry of the processes under test, started by them"]
fn play() {
    let role = std::env::var(ROLE).expect("started by a test, with its role");
    let parent = std::process::id();
    // SAFETY: the harness's main thread only waits for this one, so it holds no lock that the child
    // could need.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        die_with(parent);
        let played = std::panic::catch_unwind(|| play_part(&role));
        exit(i32::from(played.is_err()));
    }
    let mut status = 0;
    // SAFETY: `status` is writable.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(status, 0, "wait status of role {role}");
}

fn play_part(role: &str) {
    let (name, argument) = role.split_once(':').unwrap_or((role, ""));
    match name {
        "rest" => ready_then_rest(""),
        "spin" => spin(),
        "threads" => threads(argument.parse().unwrap()),
        "fds" => {
            let open = || std::fs::File::open("/dev/null").unwrap();
            let _files: Vec<_> = (0..argument.parse().unwrap()).map(|_| open()).collect();
            ready_then_rest("");
        }
        "no-fds" => no_fds(),
        "pending" => pending(),
        "catching" => catching(),
        "rename" => {
            rename(&unhex(argument));
            ready_then_rest("");
        }
        "undumpable" => {
            prctl(libc::PR_SET_DUMPABLE, 0);
            ready_then_rest("");
        }
        "nobody" => {
            become_nobody();
            ready_then_rest("");
        }
        "tcp4" => tcp(&TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()),
        "tcp6" => tcp(&TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap()),
        "tcp4-elsewhere" => {
            own_network();
            tcp(&TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        }
        "oom-adj" => {
            std::fs::write("/proc/self/oom_score_adj", argument).unwrap();
            ready_then_rest("");
        }
        "nofile" => {
            let limit = rustix::process::Rlimit {
                current: Some(argument.parse().unwrap()),
                maximum: rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum,
            };
            rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
            ready_then_rest("");
        }
        "memory" => {
            let mut touched = vec![1_u8; 64 << 20];
            touched[4096] = 2;
            drop(std::hint::black_box(touched));
            ready_then_rest("");
        }
        "writer" => {
            let mut file = tempfile::tempfile_in(argument).unwrap();
            file.write_all(&vec![7; 1 << 20]).unwrap();
            file.sync_all().unwrap();
            ready_then_rest("");
        }
        "zombie-parent" => with_child(|| exit(3), false),
        "traced-parent" => with_child(traced, true),
        "vfork-parent" => with_child(wait_in_vfork, true),
        "leader-ends" => leader_ends(),
        "crowd" => crowd(argument.parse().unwrap()),
        "view" => crate::views::report(argument),
        other => assert!(play_elsewhere(other, argument), "no role {other}"),
    }
}

/// The parts that stand beside their tests. Whether it is one of them.
fn play_elsewhere(name: &str, argument: &str) -> bool {
    let rooms = [
        crate::waits::play,
        crate::signals::play,
        crate::scheduling::play,
        crate::memory::play,
        crate::amounts::play,
        crate::credentials::play,
        crate::enclosed::play,
        crate::images::play,
        crate::relations::play,
    ];
    rooms.iter().any(|play| play(name, argument))
}

/// Ends this process when `parent` ends, also if it has already.
pub(crate) fn die_with(parent: u32) {
    prctl(libc::PR_SET_PDEATHSIG, 9);
    if std::os::unix::process::parent_id() != parent {
        exit(0);
    }
}

/// The ids and capabilities of nobody, for the calling thread.
pub(crate) fn become_nobody() {
    let nobody = rustix::fs::Uid::from_raw(65534);
    rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
}

/// Says that all is set up, by whom, and a word more.
pub(crate) fn ready(word: impl std::fmt::Display) {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "READY {} {word}", std::process::id()).unwrap();
    stdout.flush().unwrap();
}

/// Says that all is set up, and waits for the end of standard input.
pub(crate) fn ready_then_rest(word: impl std::fmt::Display) {
    ready(word);
    rest();
}

pub(crate) fn rest() {
    let _ = std::io::stdin().read(&mut [0]);
}

fn spin() {
    ready("");
    let _watcher = std::thread::spawn(|| {
        rest();
        exit(0);
    });
    loop {
        std::hint::spin_loop();
    }
}

fn threads(count: usize) {
    let barrier = std::sync::Arc::new(std::sync::Barrier::new(count + 1));
    for _ in 0..count {
        let barrier = barrier.clone();
        std::thread::spawn(move || {
            for _ in 0..20 {
                std::thread::yield_now();
            }
            barrier.wait();
            loop {
                std::thread::park();
            }
        });
    }
    barrier.wait();
    ready_then_rest("");
}

/// Closes all descriptors, its standard ones too; ends when the parent kills it.
fn no_fds() {
    ready("");
    // SAFETY: nothing that owns a descriptor is used again: the process only pauses from here on.
    unsafe { libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, 0) };
    loop {
        // SAFETY: takes nothing, changes nothing.
        unsafe { libc::pause() };
    }
}

fn pending() {
    // SAFETY: `set` is initialised by sigemptyset before it is used, and the signals are valid; a
    // blocked signal runs no handler.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        for signal in [libc::SIGUSR1, libc::SIGUSR2, libc::SIGTERM] {
            libc::sigaddset(&raw mut set, signal);
        }
        assert_eq!(
            libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()),
            0
        );
        assert_eq!(libc::kill(libc::getpid(), libc::SIGUSR1), 0);
        assert_eq!(libc::raise(libc::SIGUSR2), 0);
    }
    ready_then_rest("");
}

fn catching() {
    extern "C" fn handler(_: libc::c_int) {}
    let address = handler as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: the handler does nothing, which is async-signal-safe.
    let before = unsafe { libc::signal(libc::SIGUSR1, address) };
    assert_ne!(before, libc::SIG_ERR);
    ready_then_rest("");
}

fn rename(name: &[u8]) {
    let name = std::ffi::CString::new(name).unwrap();
    // SAFETY: PR_SET_NAME reads a NUL-terminated string, which `name` is.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) }, 0);
}

pub(crate) fn prctl(option: libc::c_int, value: libc::c_ulong) {
    // SAFETY: the options used here take one integer and no pointer.
    assert_eq!(unsafe { libc::prctl(option, value, 0, 0, 0) }, 0);
}

/// Three established connections with both ends here, one of them open twice; a listener, a closed
/// connection, a datagram and a local socket, none of which is an established connection.
fn tcp(listener: &TcpListener) {
    let address = listener.local_addr().unwrap();
    let mut ends = Vec::new();
    for _ in 0..4 {
        ends.push(TcpStream::connect(address).unwrap());
        ends.push(listener.accept().unwrap().0);
    }
    let _twice = ends[0].try_clone().unwrap();
    let half_closed = ends.split_off(6);
    half_closed[0].shutdown(std::net::Shutdown::Write).unwrap();
    // The other end has read the end of the stream: neither is ESTABLISHED any more.
    assert_eq!((&half_closed[1]).read(&mut [0]).unwrap(), 0);
    let _datagram = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let _local = UnixStream::pair().unwrap();
    ready_then_rest("");
}

/// A network namespace with nothing but a loopback device that is up.
fn own_network() {
    // SAFETY: takes one flag; this process has one thread.
    let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    assert_eq!(result, 0, "needs CAP_SYS_ADMIN");
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    // SAFETY: all zeros is a valid ifreq.
    let mut request = unsafe { std::mem::zeroed::<libc::ifreq>() };
    request.ifr_name[..2].copy_from_slice(&[b'l'.cast_signed(), b'o'.cast_signed()]);
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_UP).unwrap();
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&socket);
    // SAFETY: SIOCSIFFLAGS reads the ifreq it is given.
    let result = unsafe { libc::ioctl(descriptor, libc::SIOCSIFFLAGS, &raw const request) };
    assert_eq!(result, 0);
}

/// Forks a child that runs `child`, names its pid, rests, and then lets it end.
pub(crate) fn with_child(child: impl FnOnce(), kill: bool) {
    // SAFETY: this process has one thread, so the child may do what it likes.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        child();
        exit(0);
    }
    ready_then_rest(pid);
    if kill {
        // SAFETY: our own child, not reaped yet.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
    // SAFETY: a null status is allowed.
    assert_eq!(unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) }, pid);
}

fn traced() {
    // SAFETY: PTRACE_TRACEME takes no pointers; the stop is ended by SIGKILL.
    unsafe {
        libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
        libc::raise(libc::SIGSTOP);
    }
}

/// Sleeps uninterruptibly until the child it made has let go of the memory; the child never does, and
/// dies with its parent.
fn wait_in_vfork() {
    let flags = libc::CLONE_VFORK | libc::SIGCHLD;
    let parent = std::process::id();
    // SAFETY: without CLONE_VM this is a fork that holds the parent up; no pointer is passed.
    if unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } == 0 {
        die_with(parent);
        loop {
            // SAFETY: takes nothing, changes nothing.
            unsafe { libc::pause() };
        }
    }
}

fn leader_ends() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let _worker = std::thread::spawn(move || {
        sender.send(()).unwrap();
        rest();
        exit(0);
    });
    receiver.recv().unwrap();
    ready("");
    // SAFETY: ends this thread alone; what it owned is leaked, and nothing joins it.
    unsafe { libc::syscall(libc::SYS_exit, 3) };
}

fn crowd(count: usize) {
    let mut pids = Vec::new();
    let parent = std::process::id();
    for _ in 0..count {
        // SAFETY: this process has one thread; the child only pauses until it is killed.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            die_with(parent);
            loop {
                // SAFETY: takes nothing, changes nothing.
                unsafe { libc::pause() };
            }
        }
        pids.push(pid);
    }
    let words: Vec<_> = pids.iter().map(ToString::to_string).collect();
    ready_then_rest(words.join(" "));
    for pid in pids {
        // SAFETY: our own child, not reaped yet; a null status is allowed.
        unsafe {
            libc::kill(pid, libc::SIGKILL);
            libc::waitpid(pid, std::ptr::null_mut(), 0);
        }
    }
}

pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: ends the process without running destructors, which belong to the parent's copy.
    unsafe { libc::_exit(code) }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|index| u8::from_str_radix(&text[2 * index..2 * index + 2], 16).unwrap())
        .collect()
}
