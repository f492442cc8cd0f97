//! Task iterators, which user space runs by reading a file: whom to adopt, whom to follow, and
//! what is to be said of each.
//!
//! aya-ebpf has no macro for iterators; the section's name makes a function one.

use core::ffi::c_void;

use aya_ebpf::{bindings::seq_file, helpers::generated::bpf_seq_write};

use crate::{
    adopt::try_adopt, follow::try_look, read::Probed, send::control, snapshot::try_snapshot,
};

/// `struct bpf_iter__task`.
#[repr(C)]
struct TaskContext {
    meta: *const Meta,
    task: u64,
}

/// The first field of `struct bpf_iter_meta`: the file being read.
#[repr(C)]
struct Meta {
    seq: *mut seq_file,
}

/// The file being read, and the task it is at: 0 once, at the end.
#[inline(always)]
fn arguments(ctx: *mut c_void) -> (*mut seq_file, u64) {
    let ctx = ctx.cast::<TaskContext>();
    // SAFETY: the kernel passes this struct to task iterators. Read once: the verifier takes a check
    // for 0 as said of this one value.
    unsafe {
        let meta = (&raw const (*ctx).meta).read_volatile();
        (
            (&raw const (*meta).seq).read_volatile(),
            (&raw const (*ctx).task).read_volatile(),
        )
    }
}

/// Writes the tgid, in the initial namespace, of each process it has adopted.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
fn adopt(ctx: *mut c_void) -> i32 {
    let (seq, task) = arguments(ctx);
    if task == 0 {
        return 0;
    }
    let Some(control) = control() else { return 0 };
    let Some(tgid) = try_adopt(Probed(task), control, false) else {
        return 0;
    };
    // SAFETY: the iterator's own file, and a value of ours with its size.
    unsafe {
        bpf_seq_write(seq, (&raw const tgid).cast(), size_of::<u32>() as u32);
    }
    0
}

/// Writes the tgid, in the initial namespace, of each process that it began a tree with.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
fn follow_look(ctx: *mut c_void) -> i32 {
    let (seq, task) = arguments(ctx);
    if task == 0 {
        return 0;
    }
    let Some(tgid) = try_look(task) else {
        return 0;
    };
    // SAFETY: the iterator's own file, and a value of ours with its size.
    unsafe {
        bpf_seq_write(seq, (&raw const tgid).cast(), size_of::<u32>() as u32);
    }
    0
}

/// Writes down each tracked process.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
fn snapshot(ctx: *mut c_void) -> i32 {
    let (seq, task) = arguments(ctx);
    if task != 0 {
        try_snapshot(seq, task);
    }
    0
}
