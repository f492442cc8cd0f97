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

#[cfg(test)]
mod tests {
    use std::thread;

    use rustix::process::getpriority_process;

    use super::*;

    /// `CAP_SYS_NICE` of include/uapi/linux/capability.h.
    const SYS_NICE: u32 = 23;

    fn nice() -> i32 {
        // That of the calling thread.
        getpriority_process(None).expect("one's own")
    }

    fn may_go_ahead() -> bool {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("one's own");
        let caps = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let caps = u64::from_str_radix(caps.expect("capabilities").trim(), 16);
        caps.expect("a mask") & (1 << SYS_NICE) != 0
    }

    #[test]
    fn who_may_goes_ahead_and_whoever_has_time_stands_back() {
        thread::spawn(|| {
            let before = nice();
            let ahead = if may_go_ahead() {
                (before - 10).max(-20)
            } else {
                before
            };
            go_ahead();
            assert_eq!(nice(), ahead);
            // A thread that is made now is as far ahead; what it does about that is its own affair.
            thread::spawn(move || {
                assert_eq!(nice(), ahead);
                stand_back();
                assert_eq!(nice(), (ahead + 20).min(19));
            })
            .join()
            .expect("as it was");
            assert_eq!(nice(), ahead);
        })
        .join()
        .expect("as it should be");
    }
}
