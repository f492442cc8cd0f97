//! Threads in uninterruptible sleep, and where.
//!
//! That a thread sleeps so and where it waits are in two files. Between them it may wake and go to sleep
//! elsewhere: a shell that starts one program after the other would be stuck in `wait4(2)`, where nobody is. So a
//! place counts only if the thread slept the same sleep before and after it was asked for.

use super::reading::{Field, no_value};
use crate::procfs::{ProcDir, ReadEnd};

/// Of so many threads in uninterruptible sleep is told where they wait.
pub(super) const DISK_SLEEP_NAMED: usize = 8;

/// Why it is not known where a thread sleeps that is not woken for anything.
pub(super) const AWAKE: &str = "it woke while it was read";
/// Threads that nothing can wake.
#[derive(Debug)]
pub(super) struct DiskSleep {
    pub(super) threads: u64,
    pub(super) wchan: Field<Vec<String>>,
}

/// Says where threads in uninterruptible sleep wait.
pub(super) fn named(
    asleep: impl Iterator<Item = u32> + Clone,
    dir: &ProcDir,
    is_slow_turn: bool,
) -> DiskSleep {
    let threads = asleep.clone().count() as u64;
    if threads > 0 && !is_slow_turn {
        let wchan = Err(ReadEnd::NotThisTick);
        return DiskSleep { threads, wchan };
    }
    let mut names = Vec::new();
    for name in asleep
        .take(DISK_SLEEP_NAMED)
        .filter_map(|tid| dir.disk_sleep(tid))
    {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let wchan = if threads > 0 && names.is_empty() {
        Err(no_value(AWAKE))
    } else {
        Ok(names)
    };
    DiskSleep { threads, wchan }
}
