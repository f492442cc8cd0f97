//! Sizes that both sides must agree on.

/// Bytes of a task name, with its NUL: `TASK_COMM_LEN` of include/linux/sched.h.
pub const COMM_LEN: usize = 16;
/// Most bytes of an exec's filename that are sent. Longer ones are cut and flagged.
pub const FILENAME_MAX: usize = 512;
/// Most bytes of an exec's arguments that are sent. Longer ones are cut and flagged.
pub const ARGV_MAX: usize = 2048;
/// Most bytes of a signal's sender's command line that are sent.
pub const SENDER_CMDLINE_MAX: usize = 256;
/// Default size of the ring buffer in bytes: 10,000 whole process lives.
pub const RING_BYTES: u32 = 8 << 20;
/// Default number of processes tracked at once.
pub const TRACKED_MAX: u32 = 65_536;
/// Most processes that have ended and not been released, whose accounts are waited for.
pub const UNRELEASED_MAX: u32 = 8192;
/// An account is given up where the ring is fuller than one part in this many: it must not take the room
/// of an event.
pub const ACCOUNTS_PART: u32 = 2;
/// The reader is woken when the ring is fuller than one part in this many.
pub const WAKE_AT_PART: u32 = 8;
