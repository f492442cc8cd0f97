//! What the `snapshot` iterator writes: for each tracked process its sockets, its threads and itself.
//!
//! The records of one process may stand in any order and far apart, because tasks come in the order of
//! their numbers; all say whose they are by the same two keys.

use bytemuck::{Pod, Zeroable};

/// Return addresses kept of a stack.
pub const STACK_DEPTH: usize = 8;
/// Processors whose share of a memory counter is added up; a machine with more is read from `/proc`.
pub const CPUS_MAX: usize = 256;
/// Descriptors among which sockets are looked for; of a larger table [`NOT_LOOKED_THROUGH`] is said.
pub const FDS_MAX: usize = 256;
/// Words of the bitmap in which open descriptors are counted; as above.
pub const FD_WORDS_MAX: usize = 64;
/// Stands for a count that was not taken.
pub const NOT_LOOKED_THROUGH: u32 = u32::MAX;

/// How every record begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct RowHeader {
    /// One of the `ROW_` numbers.
    pub kind: u32,
    /// The process, by its tgid in the initial pid namespace.
    pub tgid_init: u32,
    /// And by its start, ns on `CLOCK_BOOTTIME`.
    pub start_boottime_ns: u64,
}

/// A [`ProcessRow`].
pub const ROW_PROCESS: u32 = 1;
/// A [`ThreadRow`] of a thread that is not the leader.
pub const ROW_THREAD: u32 = 2;
/// A [`SocketRow`].
pub const ROW_SOCKET: u32 = 3;

/// An open descriptor that is an established TCP socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SocketRow {
    /// Whose.
    pub header: RowHeader,
    /// Address of its `struct sock`: several descriptors may be of the same.
    pub sock: u64,
}

/// What each thread has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ThreadRow {
    /// Whose.
    pub header: RowHeader,
    /// Its number in the observer's pid namespace.
    pub tid: u32,
    /// `task->__state`.
    pub state: u32,
    /// `task->exit_state`.
    pub exit_state: u32,
    /// `task->flags`.
    pub flags: u32,
    /// CPU time, ns.
    pub cpu_ns: u64,
    /// Voluntary switches.
    pub nvcsw: u64,
    /// Involuntary switches.
    pub nivcsw: u64,
    /// Block-layer bytes read; `u64::MAX` where the kernel does not add them up.
    pub read_bytes: u64,
    /// Block-layer bytes written; the same.
    pub write_bytes: u64,
}

/// A process by its leader, and what its ended threads have used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ProcessRow {
    /// The leader.
    pub leader: ThreadRow,
    /// What its released threads used; `tid`, `state` and their like are 0.
    pub released: Released,
    /// When it was looked at, ns on `CLOCK_BOOTTIME`.
    pub t_boot_ns: u64,
    /// Pid in the observer's namespace; 0 when not visible from there.
    pub tgid: u32,
    /// Parent's pid in the observer's namespace.
    pub ppid: u32,
    /// Threads not yet released.
    pub threads: u32,
    /// Open descriptors, or [`NOT_LOOKED_THROUGH`].
    pub fd_count: u32,
    /// Descriptors looked at for sockets, or [`NOT_LOOKED_THROUGH`].
    pub fds_seen: u32,
    /// `signal->oom_score_adj`, sign-extended.
    pub oom_score_adj: i32,
    /// `RLIMIT_NOFILE`, soft.
    pub fd_soft_limit: u64,
    /// Pending for the leader.
    pub pending: u64,
    /// Pending for the process.
    pub shared_pending: u64,
    /// Blocked by the leader.
    pub blocked: u64,
    /// Signals with a handler.
    pub caught: u64,
    /// Resident pages, the processors' shares added.
    pub rss_pages: u64,
    /// Resident and swapped pages without those shares, each kind at least 0.
    pub oom_pages: u64,
    /// `mm->hiwater_rss`.
    pub hiwater_pages: u64,
    /// Bytes of page tables.
    pub page_tables: u64,
    /// First word of `mm->flags`.
    pub mm_flags: u64,
    /// 0 for a process without memory.
    pub has_mm: u32,
    /// It has its parent's memory and its parent waits.
    pub in_vfork: u32,
    /// Address of its `struct css_set`.
    pub cgroups: u64,
    /// Innermost return addresses of the leader, if it does not run.
    pub stack: [u64; STACK_DEPTH],
    /// Name.
    pub comm: [u8; 16],
}

/// Sums over threads that have been released.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Released {
    /// CPU time, ns.
    pub cpu_ns: u64,
    /// Voluntary switches.
    pub nvcsw: u64,
    /// Involuntary switches.
    pub nivcsw: u64,
    /// Block-layer bytes read.
    pub read_bytes: u64,
    /// Block-layer bytes written.
    pub write_bytes: u64,
}

/// Declares the offsets together with their all-absent value.
macro_rules! places {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// Where the running kernel keeps what only snapshots read.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
        #[repr(C)]
        pub struct Places {
            $($(#[$doc])* pub $field: u32,)*
        }

        impl Places {
            /// Nothing is known of the kernel.
            pub const ABSENT: Self = Self { $($field: crate::offsets::ABSENT,)* };
        }
    };
}

places! {
    /// `task_struct.__state` (`state` before 5.14): the low 4 bytes.
    task_state,
    /// `task_struct.pending.signal`, 8 bytes.
    task_pending,
    /// `task_struct.files`, pointer to `files_struct`.
    task_files,
    /// `task_struct.cgroups`, pointer to `css_set`.
    task_cgroups,
    /// `task_struct.vfork_done`, a pointer.
    task_vfork_done,
    /// `signal_struct.shared_pending.signal`, 8 bytes.
    signal_shared_pending,
    /// `mm_struct.pgtables_bytes`, 8 bytes.
    mm_pgtables_bytes,
    /// `mm_struct.flags`, 8 bytes.
    mm_flags,
    /// `mm_struct.rss_stat`: the first counter's per-CPU pointer; absent where the counters are plain
    /// (before 6.2).
    mm_rss_counters,
    /// `files_struct.fdt`, pointer to `fdtable`.
    files_fdt,
    /// `fdtable.max_fds`, 4 bytes.
    fdt_max_fds,
    /// `fdtable.fd`, pointer to pointers to `file`.
    fdt_fd,
    /// `fdtable.open_fds`, pointer to a bitmap.
    fdt_open_fds,
    /// `file.f_inode`, pointer to `inode`.
    file_inode,
    /// `file.private_data`, a pointer: of a socket's file, to its `socket`.
    file_private_data,
    /// `inode.i_mode`, 2 bytes.
    inode_mode,
    /// `socket.sk`, pointer to `sock`.
    socket_sk,
    /// `sock.__sk_common.skc_state`, 1 byte.
    sock_state,
    /// `sock.__sk_common.skc_family`, 2 bytes.
    sock_family,
    /// `sock.sk_protocol`, 2 bytes.
    sock_protocol,
    /// `bpf_array.pptrs`: per-CPU pointers to the elements.
    array_pptrs,
}
