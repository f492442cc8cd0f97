//! The maps and frozen globals. Sizes here are the defaults; user space sets the real ones.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, HashMap, PerCpuArray, RingBuf},
};
use tracer_common::{
    control::{Control, Tracked},
    event::ExecEvent,
    limits::{ARGV_MAX, FILENAME_MAX, RING_BYTES as DEFAULT_RING_BYTES, TRACKED_MAX},
    loss,
    names::PROGS_EXEC_AGAIN,
    offsets::Offsets,
};

/// Where this kernel keeps things. Not `mut`, so it lands in `.rodata`, which is frozen before the
/// programs are loaded: only then does the verifier know the values and accept them as offsets.
#[unsafe(no_mangle)]
pub(crate) static OFFSETS: Offsets = Offsets::ABSENT;

/// Size of [`EVENTS`] in bytes, a power of two.
#[unsafe(no_mangle)]
pub(crate) static RING_BYTES: u32 = DEFAULT_RING_BYTES;

/// Events on their way to user space.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(DEFAULT_RING_BYTES, 0);

/// Tracked processes by tgid in the initial namespace. Preallocated: an insert in the fork hook must
/// not depend on an allocation.
#[map]
pub(crate) static TRACKED: HashMap<u32, Tracked> = HashMap::with_max_entries(TRACKED_MAX, 0);

/// During an adoption, processes of the tree that have lost their parent before they were found, by tgid
/// in the initial namespace.
#[map]
pub(crate) static ORPHANS: HashMap<u32, Orphan> = HashMap::with_max_entries(512, 0);

/// What is known of a process whose parent has ended.
#[repr(C)]
pub(crate) struct Orphan {
    /// Its start time: its number may be used again.
    pub(crate) start_boottime_ns: u64,
    /// Generations below the root.
    pub(crate) depth: u32,
    /// Zero.
    pub(crate) reserved: u32,
}

/// What was sent and what was lost, by [`loss`].
#[map]
pub(crate) static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(loss::COUNTERS, 0);

/// What user space asks for. Mapped into the observer, which so needs no system call to change it.
#[map]
pub(crate) static CONTROL: Array<Control> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Where an exec record is put together: too large for the stack, and its length is not known before.
/// A place for each program on the hook.
#[map]
pub(crate) static EXEC_SCRATCH: PerCpuArray<ExecRecord> =
    PerCpuArray::with_max_entries(1 + PROGS_EXEC_AGAIN.len() as u32, 0);

/// One more byte than a filename may have, so that a cut one can be told from one that just fits,
/// and the NUL.
pub(crate) const FILENAME_BUF: usize = FILENAME_MAX + 2;

/// An exec record with room for the longest variable part.
#[repr(C)]
pub(crate) struct ExecRecord {
    /// The fixed part.
    pub(crate) event: ExecEvent,
    /// Filename, then arguments.
    pub(crate) bytes: [u8; FILENAME_BUF + ARGV_MAX],
}
