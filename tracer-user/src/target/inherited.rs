//! What this process was given at its start and Rust's runtime changes before `main`.
//!
//! The runtime ignores `SIGPIPE` and opens `/dev/null` on whichever of descriptors 0 to 2 are closed
//! (library/std/src/sys/pal/unix/mod.rs, `init`). A command that we start must find what *we* were
//! given, so it is written down by a constructor of `.init_array`, which the C library runs before
//! the runtime. The constructor only reads, with functions that need no runtime.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// Signals are 1 to 64 on Linux; 32 and 33 belong to the C library, which hides them.
pub(super) const SIGNALS: std::ops::RangeInclusive<i32> = 1..=64;
/// `RLIM_NLIMITS` of include/uapi/asm-generic/resource.h.
const LIMITS: usize = 16;

static RECORDED: AtomicBool = AtomicBool::new(false);
static IGNORED: AtomicU64 = AtomicU64::new(0);
static BLOCKED: AtomicU64 = AtomicU64::new(0);
static CLOSED: AtomicU8 = AtomicU8::new(0);
static SOFT: [AtomicU64; LIMITS] = [const { AtomicU64::new(0) }; LIMITS];
static HARD: [AtomicU64; LIMITS] = [const { AtomicU64::new(0) }; LIMITS];

#[used]
#[unsafe(link_section = ".init_array")]
static RECORD: extern "C" fn() = record;

/// A resource limit as `getrlimit(2)` gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) resource: u32,
    pub(super) soft: u64,
    pub(super) hard: u64,
}

/// What this process started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inherited {
    /// Bit n-1: signal n was ignored.
    pub(super) ignored: u64,
    /// Bit n-1: signal n was blocked.
    pub(super) blocked: u64,
    /// Which of descriptors 0 to 2 were closed.
    pub(super) closed: [bool; 3],
    /// Every limit.
    pub(super) limits: Vec<Limit>,
}

/// What was written down before `main`.
pub(super) fn inherited() -> Inherited {
    // A linker that drops `.init_array` entries would have us start every command with SIGPIPE
    // ignored; a test pins that it does not.
    debug_assert!(
        RECORDED.load(Ordering::Relaxed),
        "the constructor did not run"
    );
    let closed = CLOSED.load(Ordering::Relaxed);
    Inherited {
        ignored: IGNORED.load(Ordering::Relaxed),
        blocked: BLOCKED.load(Ordering::Relaxed),
        closed: [0, 1, 2].map(|fd| closed & (1 << fd) != 0),
        limits: SOFT
            .iter()
            .zip(&HARD)
            .zip(0..)
            .map(|((soft, hard), resource)| Limit {
                resource,
                soft: soft.load(Ordering::Relaxed),
                hard: hard.load(Ordering::Relaxed),
            })
            .collect(),
    }
}

/// Bit of a signal in a mask.
pub(super) fn bit(signal: i32) -> u64 {
    u32::try_from(signal - 1).map_or(0, |shift| 1_u64.checked_shl(shift).unwrap_or(0))
}

extern "C" fn record() {
    IGNORED.store(ignored_now(), Ordering::Relaxed);
    BLOCKED.store(blocked_now(), Ordering::Relaxed);
    for fd in 0..3_u8 {
        // SAFETY: F_GETFD reads a flag of a descriptor number, open or not.
        if unsafe { libc::fcntl(i32::from(fd), libc::F_GETFD) } == -1 {
            CLOSED.fetch_or(1 << fd, Ordering::Relaxed);
        }
    }
    for (limit, resource) in limits_now().into_iter().zip(0..) {
        let resource: usize = resource;
        SOFT[resource].store(limit.soft, Ordering::Relaxed);
        HARD[resource].store(limit.hard, Ordering::Relaxed);
    }
    RECORDED.store(true, Ordering::Relaxed);
}

/// Signals ignored at this moment.
pub(super) fn ignored_now() -> u64 {
    SIGNALS
        .filter(|&signal| handler(signal) == Some(libc::SIG_IGN))
        .fold(0, |mask, signal| mask | bit(signal))
}

/// Signals with a handler or ignored at this moment.
pub(super) fn handled_now() -> u64 {
    SIGNALS
        .filter(|&signal| handler(signal).is_some_and(|handler| handler != libc::SIG_DFL))
        .fold(0, |mask, signal| mask | bit(signal))
}

fn handler(signal: i32) -> Option<libc::sighandler_t> {
    // SAFETY: a sigaction is integers and an optional function pointer; all zeroes is one.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: no new action is given, and `action` is a valid place for the old one.
    let done = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    (done == 0).then_some(action.sa_sigaction)
}

fn blocked_now() -> u64 {
    // SAFETY: a sigset is integers; all zeroes is the empty one.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: no new mask is given, and `set` is a valid place for the old one.
    if unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut set) } != 0 {
        return 0;
    }
    SIGNALS
        // SAFETY: `set` was filled in above.
        .filter(|&signal| unsafe { libc::sigismember(&raw const set, signal) } == 1)
        .fold(0, |mask, signal| mask | bit(signal))
}

/// Every limit at this moment.
pub(super) fn limits_now() -> [Limit; LIMITS] {
    let mut resource = 0;
    [(); LIMITS].map(|()| {
        let mut limit = libc::rlimit64 {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: pid 0 is this process, no new limit is given, and `limit` is a valid place.
        unsafe { libc::prlimit64(0, resource, std::ptr::null(), &raw mut limit) };
        let now = Limit {
            resource,
            soft: limit.rlim_cur,
            hard: limit.rlim_max,
        };
        resource += 1;
        now
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_is_older_than_the_runtime_which_ignores_sigpipe() {
        assert_eq!(ignored_now() & bit(libc::SIGPIPE), bit(libc::SIGPIPE));
        assert_eq!(inherited().ignored & bit(libc::SIGPIPE), 0);
        assert!(RECORDED.load(Ordering::Relaxed));
    }

    #[test]
    fn limits_are_those_of_this_process() {
        let files = inherited().limits[libc::RLIMIT_NOFILE as usize];
        let line = std::fs::read_to_string("/proc/self/limits").unwrap();
        let line = line
            .lines()
            .find(|line| line.starts_with("Max open files"))
            .unwrap();
        let soft: u64 = line.split_whitespace().nth(3).unwrap().parse().unwrap();
        assert_eq!(files.soft, soft);
    }
}
