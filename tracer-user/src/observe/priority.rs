//! The observer's turn on the processors.
//!
//! A tree that keeps all processors busy leaves the observer the share of one more process, and what waits
//! in the ring buffer until that share comes may find no room there. It needs little, and it needs it soon:
//! so it goes ahead of those it watches, whom that costs nothing in sum. `nice(2)` is per thread, and
//! threads made later inherit it; the command was forked before and keeps what it had.

/// Steps of `nice(2)`: about nine times the share of a process that has not asked for anything.
const STEPS: i32 = 10;

/// Goes ahead. Without the right to it (`CAP_SYS_NICE`) everything stays as it was.
pub(super) fn go_ahead() {
    let _ = rustix::process::nice(-STEPS);
}

/// For work that has time: lets everyone else go first.
pub(super) fn stand_back() {
    let _ = rustix::process::nice(2 * STEPS);
}
