//! What the kernel charges to a process.

use bytemuck::{Pod, Zeroable};

/// Sums over threads, in the kernel's own units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Usage {
    /// CPU time in ns: `se.sum_exec_runtime`.
    pub cpu_ns: u64,
    /// User time in ns: `utime`, tick-sampled on most kernels: only its ratio to `stime_ns` is meaningful.
    pub utime_ns: u64,
    /// System time in ns: `stime`; see `utime_ns`.
    pub stime_ns: u64,
    /// Page faults served without I/O.
    pub min_flt: u64,
    /// Page faults that needed I/O.
    pub maj_flt: u64,
    /// Voluntary context switches.
    pub nvcsw: u64,
    /// Involuntary context switches.
    pub nivcsw: u64,
    /// Bytes fetched from the block layer; in what is sent, `u64::MAX` when this kernel does not account I/O.
    pub read_bytes: u64,
    /// Bytes sent to the block layer; as `read_bytes`.
    pub write_bytes: u64,
}
