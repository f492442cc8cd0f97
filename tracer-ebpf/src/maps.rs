//! The maps and frozen globals. Sizes here are the defaults; user space sets the real ones.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use tracer_common::{
    control::{Control, Tracked},
    event::ExecEvent,
    follow::{CgroupPlaces, FOLLOWED_MAX, Key},
    limits::{
        ARGV_MAX, FILENAME_MAX, RING_BYTES as DEFAULT_RING_BYTES, TRACKED_MAX, UNRELEASED_MAX,
    },
    loss,
    names::PROGS_EXEC_AGAIN,
    offsets::Offsets,
    snapshot::{CPUS_MAX, FD_WORDS_MAX, FDS_MAX, Places, ProcessRow},
};

/// Where this kernel keeps things. Not `mut`, so it lands in `.rodata`, which is frozen before the
/// programs are loaded: only then does the verifier know the values and accept them as offsets.
#[unsafe(no_mangle)]
pub(crate) static OFFSETS: Offsets = Offsets::ABSENT;

/// Where this kernel keeps what only snapshots read; as [`OFFSETS`].
#[unsafe(no_mangle)]
pub(crate) static PLACES: Places = Places::ABSENT;

/// Where this kernel keeps cgroups; as [`OFFSETS`].
#[unsafe(no_mangle)]
pub(crate) static CGROUPS: CgroupPlaces = CgroupPlaces::ABSENT;

/// Size of [`EVENTS`] in bytes, a power of two.
#[unsafe(no_mangle)]
pub(crate) static RING_BYTES: u32 = DEFAULT_RING_BYTES;

/// 1 when whole trees are to be adopted. Else the verifier need not follow the way up to an ancestor, which
/// takes it as long as all else in the `adopt` iterator ten times over.
#[unsafe(no_mangle)]
pub(crate) static ADOPTS_TREES: u32 = 1;

/// Events on their way to user space.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(DEFAULT_RING_BYTES, 0);

/// Tracked processes by tgid in the initial namespace. Preallocated: an insert in the fork hook must
/// not depend on an allocation.
#[map]
pub(crate) static TRACKED: HashMap<u32, Tracked> = HashMap::with_max_entries(TRACKED_MAX, 0);

/// Processes that have ended, by tgid in the initial namespace, until they are released: what names them
/// then is gone from the task. Preallocated, for the same reason; and of bounded memory for long: a free
/// that this kernel does not tell of, as happens, or one that never comes, makes room in the end.
#[map]
pub(crate) static UNRELEASED: LruHashMap<u32, Unreleased> =
    LruHashMap::with_max_entries(UNRELEASED_MAX, 0);

/// See [`UNRELEASED`].
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Unreleased {
    /// Its start time: its number may be used again.
    pub(crate) start_boottime_ns: u64,
    /// Thread group id in the observer's pid namespace.
    pub(crate) tgid: u32,
    /// Thread group id in its own pid namespace.
    pub(crate) tgid_inner: u32,
}

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

/// What is followed: names and cgroups.
#[map]
pub(crate) static FOLLOWED: HashMap<Key, u32> = HashMap::with_max_entries(FOLLOWED_MAX, 0);

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

/// Where the row of a process is put together. One observer reads one iterator at a time.
#[map]
pub(crate) static SNAPSHOT: PerCpuArray<SnapshotScratch> = PerCpuArray::with_max_entries(1, 0);

/// A row, and what is read in one piece on the way to it.
#[repr(C)]
pub(crate) struct SnapshotScratch {
    /// The row.
    pub(crate) row: ProcessRow,
    /// `sighand->action`, in words.
    pub(crate) actions: [u64; 64 * SIGACTION_WORDS],
    /// The descriptor table's pointers to files.
    pub(crate) files: [u64; FDS_MAX],
    /// The bitmap of open descriptors.
    pub(crate) open: [u64; FD_WORDS_MAX],
}

/// Words of a `k_sigaction` on all supported machines.
pub(crate) const SIGACTION_WORDS: usize = 4;

/// How far apart the processors keep their copies of a per-CPU value; filled at the first use.
#[map]
pub(crate) static CPUS: Array<Cpus> = Array::with_max_entries(1, 0);

/// See [`CPUS`].
#[repr(C)]
pub(crate) struct Cpus {
    /// How many; 0 before the first use.
    pub(crate) count: u64,
    /// What is added to a per-CPU pointer to get the address on each.
    pub(crate) offset: [u64; CPUS_MAX],
}
