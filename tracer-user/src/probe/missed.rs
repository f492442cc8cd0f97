//! How often the kernel skipped a program: one number of `bpf_prog_info` that aya does not pass on.
//!
//! A program does not run while the same program is already running on that CPU. Where tracepoints can
//! be preempted (Linux 7.0 and later) this happens by chance: a task is preempted in the middle of a
//! hook, and the next one on that CPU comes to the same hook.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use bytemuck::{Pod, Zeroable};

/// `struct bpf_prog_info` of include/uapi/linux/bpf.h up to the field wanted (Linux 5.12). The kernel
/// fills as much as it knows and as there is room for; an older one leaves the rest zero.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct ProgInfo {
    before: [u64; 26],
    recursion_misses: u64,
}

/// `union bpf_attr` for `BPF_OBJ_GET_INFO_BY_FD`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct InfoRequest {
    fd: u32,
    info_len: u32,
    info: u64,
}

const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;

/// Times this program was skipped. Always 0 before 5.12, which did not count.
pub(super) fn recursion_misses(program: BorrowedFd<'_>) -> io::Result<u64> {
    let mut info = ProgInfo::zeroed();
    let request = InfoRequest {
        fd: program.as_raw_fd().cast_unsigned(),
        info_len: u32::try_from(size_of::<ProgInfo>()).unwrap_or(u32::MAX),
        info: (&raw mut info).expose_provenance() as u64,
    };
    // SAFETY: the kernel reads the request, whose size is given, and writes at most `info_len` bytes to
    // `info`; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_OBJ_GET_INFO_BY_FD,
            &raw const request,
            size_of::<InfoRequest>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(info.recursion_misses)
}
