//! Everything a forked child does before its program runs, prepared so that it cannot fail halfway.
//!
//! Between fork and exec only async-signal-safe calls are allowed (signal-safety(7)): another thread
//! may have held the allocator's lock at the fork. So [`Prepared`] holds every string, path and mask
//! beforehand, and [`Prepared::run`] makes system calls only; rustix's are bare ones.

use std::ffi::{CStr, CString, OsStr, OsString, c_char, c_int};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

use rustix::process::{Gid, Uid};

use super::inherited::{self, Limit, bit};
use super::user::{self, User};

/// Where the child was when something failed; sent as one byte of [`Report`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Step {
    Session = 1,
    Terminal,
    Descriptors,
    Limits,
    Groups,
    GroupId,
    UserId,
    Signals,
    Exec,
}

impl Step {
    pub(super) const ALL: [Self; 9] = [
        Self::Session,
        Self::Terminal,
        Self::Descriptors,
        Self::Limits,
        Self::Groups,
        Self::GroupId,
        Self::UserId,
        Self::Signals,
        Self::Exec,
    ];

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Session => "start its session",
            Self::Terminal => "take its terminal",
            Self::Descriptors => "set up its descriptors",
            Self::Limits => "restore its limits",
            Self::Groups => "set its groups",
            Self::GroupId => "set its group id",
            Self::UserId => "set its user id",
            Self::Signals => "restore its signals",
            Self::Exec => "execute",
        }
    }
}

/// What the child says once it was released, so that an end before and after it can be told apart.
pub(super) const RELEASED: u8 = b'!';
/// Bytes it says when it fails: step, index of the path tried, errno.
pub(super) const REPORT_BYTES: usize = 9;

/// The pipes between parent and child.
pub(super) struct Pipes {
    pub(super) release_read: OwnedFd,
    pub(super) release_write: OwnedFd,
    pub(super) error_read: OwnedFd,
    pub(super) error_write: OwnedFd,
}

/// Makes [`Prepared`] point into memory that does not move.
struct CArray {
    /// Owns what `pointers` points to.
    _strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl CArray {
    /// `spare` null slots come first.
    fn new(strings: Vec<CString>, spare: usize) -> Self {
        let mut pointers = vec![ptr::null(); spare];
        pointers.extend(strings.iter().map(|string| string.as_ptr()));
        pointers.push(ptr::null());
        Self {
            _strings: strings,
            pointers,
        }
    }
}

/// See the module's text.
pub(super) struct Prepared {
    /// Paths to try, in order.
    pub(super) candidates: Vec<CString>,
    /// A spare slot, then the arguments: room for `/bin/sh PATH arguments…`.
    argv: CArray,
    /// The environment; `None`: as it is.
    environment: Option<CArray>,
    /// Signals whose disposition differs from the inherited one: bit n-1.
    changed: u64,
    ignored: u64,
    mask: libc::sigset_t,
    closed: [bool; 3],
    limits: Vec<Limit>,
    /// Slave side, already above 2.
    terminal: Option<RawFd>,
    user: Option<(Uid, Gid, Vec<Gid>)>,
}

impl Prepared {
    /// Allocates all that the child will need. `Err` is the index of an argument with a NUL byte.
    pub(super) fn new(
        argv: &[OsString],
        terminal: Option<BorrowedFd<'_>>,
        as_user: Option<&User>,
    ) -> Result<Self, usize> {
        let mut arguments = Vec::with_capacity(argv.len());
        for (index, argument) in argv.iter().enumerate() {
            arguments.push(CString::new(argument.as_bytes()).map_err(|_| index)?);
        }
        let name = argv.first().map(OsString::as_os_str).unwrap_or_default();
        let path = std::env::var_os("PATH");
        let was = inherited::inherited();
        let now = inherited::limits_now();
        let ignored_now = inherited::ignored_now();
        let handled = inherited::handled_now() & !ignored_now;
        Ok(Self {
            candidates: candidates(name, path.as_deref()),
            argv: CArray::new(arguments, 1),
            environment: as_user.map(|user| CArray::new(environment_of(user), 0)),
            changed: handled | (ignored_now ^ was.ignored),
            ignored: was.ignored,
            mask: sigset(was.blocked),
            closed: was.closed,
            limits: was
                .limits
                .iter()
                .zip(&now)
                .filter(|(was, now)| was != now)
                .map(|(was, _)| *was)
                .collect(),
            terminal: terminal.map(|fd| fd.as_raw_fd()),
            user: as_user.map(|user| {
                let groups = user.groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
                (Uid::from_raw(user.uid), Gid::from_raw(user.gid), groups)
            }),
        })
    }

    /// The child's whole life here: becomes what it would be without us, waits, and executes.
    ///
    /// To be called in a freshly forked child only.
    pub(super) fn run(&mut self, pipes: &Pipes) -> ! {
        // Our own copy of the write end would keep the read below waiting after the parent's death.
        close(pipes.release_write.as_raw_fd());
        if let Err((step, errno)) = self.set_up() {
            report(pipes.error_write.as_fd(), step, 0, errno);
            exit(125);
        }
        let mut byte = [0];
        loop {
            match rustix::io::read(&pipes.release_read, &mut byte) {
                Ok(1..) => break,
                Err(rustix::io::Errno::INTR) => {}
                // The tracer is gone, or has given up on us: the command must not run unseen.
                Ok(_) | Err(_) => exit(125),
            }
        }
        let _ = rustix::io::write(&pipes.error_write, &[RELEASED]);
        let (index, errno) = self.exec();
        report(pipes.error_write.as_fd(), Step::Exec, index, errno);
        exit(exec_code(errno));
    }

    fn set_up(&self) -> Result<(), (Step, c_int)> {
        let at = |step| move |errno: rustix::io::Errno| (step, errno.raw_os_error());
        if let Some(slave) = self.terminal {
            // SAFETY: the descriptor was open in the parent at the fork, so it is here.
            let slave = unsafe { BorrowedFd::borrow_raw(slave) };
            rustix::process::setsid().map_err(at(Step::Session))?;
            rustix::process::ioctl_tiocsctty(slave).map_err(at(Step::Terminal))?;
            rustix::stdio::dup2_stdin(slave).map_err(at(Step::Terminal))?;
            rustix::stdio::dup2_stdout(slave).map_err(at(Step::Terminal))?;
            rustix::stdio::dup2_stderr(slave).map_err(at(Step::Terminal))?;
        } else {
            for (fd, &closed) in (0..).zip(&self.closed) {
                if closed {
                    close(fd);
                }
            }
        }
        for limit in &self.limits {
            set_limit(*limit).map_err(|errno| (Step::Limits, errno))?;
        }
        if let Some((uid, gid, groups)) = &self.user {
            // Groups and group first: without the user's privileges they could not be set.
            rustix::thread::set_thread_groups(groups).map_err(at(Step::Groups))?;
            rustix::thread::set_thread_res_gid(*gid, *gid, *gid).map_err(at(Step::GroupId))?;
            rustix::thread::set_thread_res_uid(*uid, *uid, *uid).map_err(at(Step::UserId))?;
        }
        self.restore_signals()
            .map_err(|errno| (Step::Signals, errno))
    }

    fn restore_signals(&self) -> Result<(), c_int> {
        for signal in inherited::SIGNALS {
            if self.changed & bit(signal) == 0 {
                continue;
            }
            // SAFETY: a sigaction is integers and an optional function pointer; all zeroes is one.
            let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
            action.sa_sigaction = if self.ignored & bit(signal) == 0 {
                libc::SIG_DFL
            } else {
                libc::SIG_IGN
            };
            // SAFETY: `action` is a valid action without handler; the old one is not asked for.
            if unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } != 0 {
                return Err(errno());
            }
        }
        // SAFETY: `mask` was filled by sigemptyset and sigaddset; the old one is not asked for.
        match unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.mask, ptr::null_mut())
        } {
            0 => Ok(()),
            errno => Err(errno),
        }
    }

    /// Tries each path as `execvp(3)` does; returns the one that decides, and why it failed.
    fn exec(&mut self) -> (usize, c_int) {
        // SAFETY: reads the C library's pointer; the child has one thread.
        let inherited = unsafe { environ };
        let environment = self
            .environment
            .as_ref()
            .map_or(inherited, |own| own.pointers.as_ptr());
        let mut denied = None;
        let mut last = (0, libc::ENOENT);
        for (index, path) in self.candidates.iter().enumerate() {
            let argv = self.argv.pointers[1..].as_ptr();
            // SAFETY: path and both arrays are NUL-terminated and outlive the call.
            unsafe { libc::execve(path.as_ptr(), argv, environment) };
            last = (index, errno());
            match last.1 {
                libc::ENOEXEC => {
                    // A script without `#!`: the shell's, as execvp(3) has it.
                    // Its own argv[0] gives way to the path.
                    self.argv.pointers[0] = c"/bin/sh".as_ptr();
                    self.argv.pointers[1] = path.as_ptr();
                    let argv = self.argv.pointers.as_ptr();
                    // SAFETY: as above; slots 0 and 1 are now the shell and the path.
                    unsafe { libc::execve(c"/bin/sh".as_ptr(), argv, environment) };
                    return (index, libc::ENOEXEC);
                }
                libc::EACCES => denied = denied.or(Some(last)),
                libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT => {}
                _ => return last,
            }
        }
        denied.unwrap_or(last)
    }
}

unsafe extern "C" {
    /// `environ(7)`: passed on as it is, also entries without an equals sign and double ones.
    static environ: *const *const c_char;
}

/// The exit code for a command that cannot be executed, as shells have it.
pub(super) fn exec_code(errno: c_int) -> c_int {
    match errno {
        libc::ENOENT | libc::ENOTDIR => 127,
        _ => 126,
    }
}

fn candidates(name: &OsStr, path: Option<&OsStr>) -> Vec<CString> {
    let name = name.as_bytes();
    let file = |bytes: &[u8]| CString::new(bytes).ok();
    if name.is_empty() || name.contains(&b'/') {
        return file(name).into_iter().collect();
    }
    // Without PATH the C library looks in these (confstr(3), _CS_PATH).
    let path = path.map_or(&b"/bin:/usr/bin"[..], OsStr::as_bytes);
    path.split(|&byte| byte == b':')
        .filter_map(|directory| {
            // An empty element is the current directory.
            let separator: &[u8] = if directory.is_empty() { b"" } else { b"/" };
            file(&[directory, separator, name].concat())
        })
        .collect()
}

fn environment_of(user: &User) -> Vec<CString> {
    let mut entries = Vec::new();
    // SAFETY: reads the C library's pointer; nothing in this program changes the environment.
    let mut at = unsafe { environ };
    // SAFETY: `environ` is null or an array of strings that ends with a null pointer.
    while !at.is_null() && unsafe { !(*at).is_null() } {
        // SAFETY: an entry of the array, checked not to be null, is a NUL-terminated string.
        let entry = unsafe { CStr::from_ptr(*at) };
        if !user::is_of_user(entry.to_bytes()) {
            entries.push(entry.to_owned());
        }
        // SAFETY: the array goes on at least to its null pointer, which this entry is not.
        at = unsafe { at.add(1) };
    }
    entries.extend(
        user.environment()
            .into_iter()
            .filter_map(|entry| CString::new(entry).ok()),
    );
    entries
}

fn sigset(bits: u64) -> libc::sigset_t {
    // SAFETY: a sigset is integers; all zeroes is one.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a valid place.
    unsafe { libc::sigemptyset(&raw mut set) };
    for signal in inherited::SIGNALS.filter(|&signal| bits & bit(signal) != 0) {
        // SAFETY: `set` is initialised; a signal the C library hides is refused without effect.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    set
}

fn set_limit(limit: Limit) -> Result<(), c_int> {
    let new = libc::rlimit64 {
        rlim_cur: limit.soft,
        rlim_max: limit.hard,
    };
    // SAFETY: pid 0 is this process; `new` is valid and the old limit is not asked for.
    match unsafe { libc::prlimit64(0, limit.resource, &raw const new, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(errno()),
    }
}

fn errno() -> c_int {
    // SAFETY: the C library's errno of this thread is always a valid place.
    unsafe { *libc::__errno_location() }
}

fn close(fd: RawFd) {
    // SAFETY: only called in the child, for descriptors that nothing in it uses any more.
    unsafe { libc::close(fd) };
}

fn exit(code: c_int) -> ! {
    // SAFETY: ends the child at once, without running anything of the parent's.
    unsafe { libc::_exit(code) }
}

fn report(pipe: BorrowedFd<'_>, step: Step, index: usize, errno: c_int) {
    let index = u32::try_from(index).unwrap_or(u32::MAX).to_ne_bytes();
    let errno = errno.to_ne_bytes();
    let message: [u8; REPORT_BYTES] = [
        step as u8, index[0], index[1], index[2], index[3], errno[0], errno[1], errno[2], errno[3],
    ];
    // Fewer than PIPE_BUF bytes into an empty pipe: all or, with the reader gone, nothing.
    let _ = rustix::io::write(pipe, &message);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(name: &str, path: Option<&str>) -> Vec<String> {
        let found = candidates(name.as_ref(), path.map(OsStr::new));
        found
            .into_iter()
            .map(|path| path.into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_name_is_looked_for_in_each_directory_of_path() {
        assert_eq!(tried("x", Some("/a:/b")), ["/a/x", "/b/x"]);
        assert_eq!(tried("x", Some(":/b:")), ["x", "/b/x", "x"]);
        assert_eq!(tried("x", None), ["/bin/x", "/usr/bin/x"]);
    }

    #[test]
    fn a_name_with_a_slash_is_a_path() {
        assert_eq!(tried("./x", Some("/a")), ["./x"]);
        assert_eq!(tried("", Some("/a")), [""]);
    }
}
