//! What the kernel side counts: events sent, and events it could not send, by reason and by kind.
//!
//! The numbers are indices of the per-CPU array [`crate::names::MAP_COUNTERS`]. They only ever grow;
//! user space reads the sum over CPUs and reports differences.

use crate::event::KIND_MAX;

/// Events written to the ring, one counter a kind: index `SENT + kind`.
pub const SENT: u32 = 0;
/// Events lost because the ring was full, one counter a kind: index `RING_FULL + kind`.
pub const RING_FULL: u32 = SENT + KIND_MAX as u32;
/// Processes not tracked, and so their descendants neither, because the map was full.
pub const MAP_FULL: u32 = RING_FULL + KIND_MAX as u32;
/// Executed images whose argument bytes could not be read.
pub const ARGV_UNREADABLE: u32 = MAP_FULL + 1;
/// Exits whose totals may lack a thread that had not yet been accounted.
pub const TOTALS_PARTIAL: u32 = MAP_FULL + 2;
/// New threads of tracked processes; not a loss, but the proof that threads emit nothing.
pub const THREADS: u32 = MAP_FULL + 3;
/// Execs that no program saw, found out at the process's next exec or at its end.
pub const EXECS_MISSED: u32 = MAP_FULL + 4;
/// Reasons for one more pass of an adoption: whoever lost its parent, or was born with more generations
/// above it than were looked through.
pub const ADOPT_AGAIN: u32 = MAP_FULL + 5;
/// Reasons not to be sure of an adoption: children of a dying process that could not be written down.
pub const ADOPT_UNSURE: u32 = MAP_FULL + 6;
/// Processes whose accounts will not come, because too many had ended and not been released.
pub const ACCOUNTS_FULL: u32 = MAP_FULL + 7;
/// Number of counters.
pub const COUNTERS: u32 = MAP_FULL + 8;
