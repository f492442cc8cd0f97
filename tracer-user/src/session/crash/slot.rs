//! The slot a fatal signal writes its line to, and the handler that does it.
//!
//! Everything the handler needs is ready before: an open descriptor, the epoch, two watermarks that
//! the recorder keeps up to date. It runs on an alternate stack ([`SignalStack`](super::stack)), makes `write(2)` calls and nothing else that could wait or allocate (`signal-safety(7)`),
//! and then lets the signal do what it would have done without us: its default action, with its own
//! siginfo, so that a core dump and whoever waits for us see the true cause.

use std::{
    cell::Cell,
    io,
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering},
    },
};

use crate::{
    procfs::timens::BootOffset,
    session::{
        crash::{
            line::{FATAL, Fatal, told_line},
            stack::SignalStack,
        },
        journal::record::Crash,
    },
    units::BootNs,
};

/// Sessions that can have a slot at once. One more records all the same; only its lease will not say
/// which signal ended it.
pub const SLOTS: usize = 8;
/// How long a second thread's fatal signal waits for the first one's line.
const WAIT_NS: u64 = 1_000_000_000;

/// Bytes of stack for building and writing a line, in a build without optimisation.
const STACK_NEEDED: usize = 16 << 10;

struct Slot {
    taken: AtomicBool,
    /// -1: nothing to write to.
    fd: AtomicI32,
    /// Handlers that may be using the descriptor.
    users: AtomicU32,
    epoch: AtomicU32,
    boot_offset_ns: AtomicI64,
    last_accepted: AtomicU64,
    last_written: AtomicU64,
}

impl Slot {
    const fn new() -> Self {
        Self {
            taken: AtomicBool::new(false),
            fd: AtomicI32::new(-1),
            users: AtomicU32::new(0),
            epoch: AtomicU32::new(0),
            boot_offset_ns: AtomicI64::new(0),
            last_accepted: AtomicU64::new(0),
            last_written: AtomicU64::new(0),
        }
    }

    /// Where and when, for a line of this slot.
    fn place(&self) -> Fatal {
        let offset = self.boot_offset_ns.load(Ordering::Relaxed);
        Fatal {
            pid: own_pid(),
            tid: own_tid(),
            t: BootNs(boot_ns().saturating_add_signed(offset.wrapping_neg())),
            epoch: self.epoch.load(Ordering::Relaxed),
            last_accepted: self.last_accepted.load(Ordering::Relaxed),
            last_written: self.last_written.load(Ordering::Relaxed),
            ..Fatal::default()
        }
    }

    /// Appends the line, if the slot is armed; whether all of it is in the file.
    fn append(&self, line: &[u8]) -> bool {
        // Whoever disarms the slot takes the descriptor out first and then waits for its users.
        self.users.fetch_add(1, Ordering::SeqCst);
        let fd = self.fd.load(Ordering::SeqCst);
        let done = fd >= 0 && write_all(fd, line);
        self.users.fetch_sub(1, Ordering::SeqCst);
        done
    }
}

static ALL: [Slot; SLOTS] = [const { Slot::new() }; SLOTS];
/// A fatal signal is being dealt with: the first one's line is the one that counts.
static BEGUN: AtomicBool = AtomicBool::new(false);
static DONE: AtomicBool = AtomicBool::new(false);
/// What each of [`FATAL`] did before.
static BEFORE: [OnceLock<libc::sigaction>; FATAL.len()] = [const { OnceLock::new() }; FATAL.len()];

/// A slot in use. Dropped, it is free, and its descriptor closed.
#[derive(Debug)]
pub struct Armed {
    slot: &'static Slot,
    first_seq: u64,
    _file: OwnedFd,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot")
            .field("fd", &self.fd)
            .finish_non_exhaustive()
    }
}

/// Takes a slot, whose line would be appended to `file`, for a journal that begins with `first_seq`;
/// `None` when all are taken. The descriptor must be one that appends.
#[must_use]
pub fn arm(file: OwnedFd, epoch: u32, first_seq: u64, offset: BootOffset) -> Option<Armed> {
    let slot = ALL
        .iter()
        .find(|slot| !slot.taken.swap(true, Ordering::SeqCst))?;
    slot.epoch.store(epoch, Ordering::Relaxed);
    slot.boot_offset_ns.store(offset.ns, Ordering::Relaxed);
    slot.last_accepted.store(first_seq, Ordering::Relaxed);
    slot.last_written.store(first_seq, Ordering::Relaxed);
    slot.fd.store(file.as_raw_fd(), Ordering::SeqCst);
    Some(Armed {
        slot,
        first_seq,
        _file: file,
    })
}

impl Armed {
    /// So many records have been taken in.
    pub fn accepted(&self, records: u64) {
        let last = self.last_of(records);
        self.slot.last_accepted.store(last, Ordering::Relaxed);
    }

    /// So many records are in the file.
    pub fn written(&self, records: u64) {
        let last = self.last_of(records);
        self.slot.last_written.store(last, Ordering::Relaxed);
    }

    fn last_of(&self, records: u64) -> u64 {
        self.first_seq.saturating_add(records.saturating_sub(1))
    }

    /// Writes a crash that is no signal; whether it is in the file.
    #[must_use]
    pub fn tell(&self, crash: &Crash) -> bool {
        self.slot.append(&told_line(&self.slot.place(), crash))
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        self.slot.fd.store(-1, Ordering::SeqCst);
        // The number must not be given to another file while a handler has it. A handler that holds
        // it longer than this hangs in the disk, and the process is about to end.
        let begun = boot_ns();
        while self.slot.users.load(Ordering::SeqCst) > 0
            && boot_ns().saturating_sub(begun) < WAIT_NS
        {
            std::thread::yield_now();
        }
        self.slot.taken.store(false, Ordering::SeqCst);
    }
}

/// Takes over the fatal signals of the whole process, and gives this thread the stack for them; once.
/// Every other thread needs its own [`SignalStack`]. What is ignored stays ignored.
///
/// # Errors
/// What the system says; not to be expected.
pub fn install() -> io::Result<()> {
    thread_local! {
        static HAS_STACK: Cell<bool> = const { Cell::new(false) };
    }
    if !HAS_STACK.replace(true) {
        SignalStack::for_this_thread()?.keep();
    }
    for (signal, before) in FATAL.into_iter().zip(&BEFORE) {
        if before.get().is_some() {
            continue;
        }
        let old = action(signal, None)?;
        if old.sa_sigaction == libc::SIG_IGN {
            continue;
        }
        if before.set(old).is_err() {
            continue;
        }
        let mut new = no_action();
        let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = on_fatal;
        new.sa_sigaction = handler as usize;
        new.sa_flags = libc::SA_SIGINFO;
        // These may come of a stack that is used up. The others find the thread's own in order, which
        // serves also where nobody has made a large one.
        if matches!(signal, libc::SIGSEGV | libc::SIGBUS) {
            new.sa_flags |= libc::SA_ONSTACK;
        }
        for other in FATAL {
            // SAFETY: the mask is part of a live `sigaction`, and the number is a signal's.
            unsafe { libc::sigaddset(&raw mut new.sa_mask, other) };
        }
        action(signal, Some(&new))?;
    }
    Ok(())
}

/// The handler. It may interrupt anything.
extern "C" fn on_fatal(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    if !BEGUN.swap(true, Ordering::SeqCst) {
        if has_room() {
            tell_all(signal, info);
        }
        DONE.store(true, Ordering::SeqCst);
    }
    // Another thread's: dying at once would cut its line short.
    let begun = boot_ns();
    while !DONE.load(Ordering::SeqCst) && boot_ns().saturating_sub(begun) < WAIT_NS {
        // SAFETY: takes nothing and touches no memory.
        unsafe { libc::sched_yield() };
    }
    go_on_dying(signal, info);
}

/// Appends a line for every session.
#[inline(never)]
fn tell_all(signal: i32, info: *const libc::siginfo_t) {
    for slot in &ALL {
        if slot.fd.load(Ordering::Relaxed) >= 0 {
            slot.append(&describe(slot.place(), signal, info).line());
        }
    }
}

/// Whether this stack is one of ours, or the thread's own, and not the runtime's: to overflow that would
/// turn an abort into a fault.
fn has_room() -> bool {
    // SAFETY: a `stack_t` is a pointer and integers; all zeroes is one.
    let mut stack: libc::stack_t = unsafe { std::mem::zeroed() };
    // SAFETY: no new stack is given, and `stack` is a valid place. Safe in a handler.
    unsafe { libc::sigaltstack(std::ptr::null(), &raw mut stack) };
    let here = (&raw const stack).addr();
    let on_it = stack.ss_flags & libc::SS_ONSTACK != 0;
    !on_it || here.saturating_sub(stack.ss_sp.addr()) >= STACK_NEEDED
}

/// Adds what the signal says of itself.
fn describe(place: Fatal, signal: i32, info: *const libc::siginfo_t) -> Fatal {
    // SAFETY: the kernel gives a handler installed with SA_SIGINFO a valid siginfo.
    let info = unsafe { &*info };
    let code = info.si_code;
    let mut fatal = Fatal {
        signal,
        code,
        ..place
    };
    if code > 0 {
        // SAFETY: for these signals, sent by the kernel, the union holds an address (SIGSYS: that of
        // the call); any bytes are a valid integer.
        fatal.address = unsafe { info.si_addr() } as u64;
    } else {
        // SAFETY: sent by a process, the union begins with its pid; any bytes are a valid integer.
        fatal.sender_pid = unsafe { info.si_pid() }.cast_unsigned();
        // SAFETY: as above, followed by its user.
        fatal.sender_uid = unsafe { info.si_uid() };
    }
    fatal
}

/// Brings about what the signal would have done without us, as soon as the handler returns.
fn go_on_dying(signal: i32, info: *mut libc::siginfo_t) {
    // SAFETY: as in `describe`.
    let code = unsafe { (*info).si_code };
    let faults = matches!(
        signal,
        libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE
    );
    // The instruction is executed again and faults again, all but this one, which is told of memory
    // that nobody has touched.
    if faults && code > 0 && !(signal == libc::SIGBUS && code == libc::BUS_MCEERR_AO) {
        let before = FATAL.iter().position(|&fatal| fatal == signal);
        let before = before.and_then(|at| BEFORE.get(at)?.get());
        // The runtime's own handler knows a stack overflow, says so, and aborts.
        let _ = action(signal, Some(before.unwrap_or(&no_action())));
        return;
    }
    let _ = action(signal, Some(&no_action()));
    // Blocked until the handler returns, and then deadly. With the siginfo it came with, which a
    // process may send to itself.
    // SAFETY: the numbers are our own, and the siginfo is the one we were given.
    unsafe {
        libc::syscall(
            libc::SYS_rt_tgsigqueueinfo,
            own_pid(),
            own_tid(),
            signal,
            info,
        )
    };
}

/// The default action.
fn no_action() -> libc::sigaction {
    // SAFETY: a sigaction is integers and an optional function pointer; all zeroes is the default
    // action with an empty mask.
    unsafe { std::mem::zeroed() }
}

/// Sets an action, if one is given; the one before.
fn action(signal: i32, new: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    let mut old = no_action();
    let new = new.map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `new` is null or a live action whose handler, if any, is `on_fatal` or one that was
    // installed before; `old` is a valid place.
    if unsafe { libc::sigaction(signal, new, &raw mut old) } == 0 {
        Ok(old)
    } else {
        Err(io::Error::last_os_error())
    }
}

fn write_all(fd: i32, mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        // SAFETY: the bytes are live; the descriptor is open while it is counted as used.
        let written = unsafe { libc::write(fd, rest.as_ptr().cast(), rest.len()) };
        match usize::try_from(written) {
            Ok(written @ 1..) => rest = rest.get(written..).unwrap_or_default(),
            // A handler for another signal may have run; full or broken, there is nothing to be done.
            _ if written < 0 && errno() == libc::EINTR => {}
            _ => return false,
        }
    }
    true
}

fn errno() -> i32 {
    // SAFETY: the C library's own place for this thread.
    unsafe { *libc::__errno_location() }
}

fn boot_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place. Safe in a handler.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let ns = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(ns)
}

fn own_pid() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::getpid() }.cast_unsigned()
}

fn own_tid() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::gettid() }.cast_unsigned()
}
