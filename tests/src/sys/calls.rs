//! What a process under ptrace(2) is about to ask the kernel for, as far as others can see its effect.

use std::io;

use nix::sys::ptrace;
use nix::unistd::Pid;

/// Where a thread stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Before a system call of this kind; `None` for one whose effect nobody else sees.
    Entry(Option<Kind>),
    /// Behind a system call.
    Exit,
}

/// What a system call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// bpf(2): maps, programs, links, pins.
    Bpf,
    /// Makes a file, directory, link or FIFO.
    Make,
    /// Writes to a descriptor, whichever.
    Write,
    /// Makes a file safe from a power failure.
    Sync,
    /// Gives a file another name.
    Rename,
    /// Removes a name.
    Remove,
    /// Takes or frees a lock.
    Lock,
    /// Starts a thread or process, or signals one.
    Process,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Bpf,
        Self::Make,
        Self::Write,
        Self::Sync,
        Self::Rename,
        Self::Remove,
        Self::Lock,
        Self::Process,
    ];

    /// The name by which command lines and reports call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bpf => "bpf",
            Self::Make => "make",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::Lock => "lock",
            Self::Process => "process",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The kind of a system call. The calls that only old architectures have are left out: neither the
    /// C library's nor rustix's way to the others.
    fn of(number: libc::c_long, args: [u64; 6]) -> Option<Self> {
        let is_lock = |command: u64| {
            [libc::F_OFD_SETLK, libc::F_OFD_SETLKW, libc::F_SETLK]
                .into_iter()
                .any(|lock| u64::from(lock.unsigned_abs()) == command)
        };
        let makes = |flags: u64| flags & u64::from(libc::O_CREAT.unsigned_abs()) != 0;
        match number {
            libc::SYS_bpf => Some(Self::Bpf),
            libc::SYS_openat if makes(args[2]) => Some(Self::Make),
            // Where openat2 has its flags is in memory; most of its calls only open.
            libc::SYS_openat2
            | libc::SYS_mkdirat
            | libc::SYS_mknodat
            | libc::SYS_symlinkat
            | libc::SYS_linkat => Some(Self::Make),
            libc::SYS_write | libc::SYS_pwrite64 | libc::SYS_writev => Some(Self::Write),
            libc::SYS_fsync | libc::SYS_fdatasync => Some(Self::Sync),
            libc::SYS_renameat | libc::SYS_renameat2 => Some(Self::Rename),
            libc::SYS_unlinkat => Some(Self::Remove),
            libc::SYS_flock => Some(Self::Lock),
            libc::SYS_fcntl if is_lock(args[1]) => Some(Self::Lock),
            libc::SYS_clone | libc::SYS_clone3 | libc::SYS_kill | libc::SYS_pidfd_send_signal => {
                Some(Self::Process)
            }
            _ => None,
        }
    }
}

/// Where a thread that stopped at a system call stands.
///
/// # Errors
/// As `PTRACE_GET_SYSCALL_INFO` (Linux 5.3); ESRCH when it was killed meanwhile.
pub fn stop_of(thread: i32) -> io::Result<Stop> {
    let info = ptrace::syscall_info(Pid::from_raw(thread))?;
    if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return Ok(Stop::Exit);
    }
    // SAFETY: the kernel fills this member of the union where `op` says that it is an entry.
    let entry = unsafe { info.u.entry };
    let number = libc::c_long::try_from(entry.nr).map_err(io::Error::other)?;
    Ok(Stop::Entry(Kind::of(number, entry.args)))
}
