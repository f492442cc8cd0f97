//! What a tracked process is like now: the row that `/proc` would give, in one go.
//!
//! Everything is read as `/proc` reads it (fs/proc/array.c, fs/proc/fd.c, kernel/fork.c), but without its
//! locks; so a value may be as old as the walk is long, and a process in the middle of its end may show
//! half of it: what says so is in the row, and user space then asks `/proc`. Nothing is decided here and
//! nothing is followed that a process could make endless.
//!
//! Whether a thread is the reader's business is one look into the map of tracked processes; the rest of
//! the system costs no more than that.

use aya_ebpf::{
    bindings::{seq_file, task_struct},
    helpers::{
        bpf_ktime_get_boot_ns,
        generated::{bpf_get_task_stack, bpf_seq_write},
    },
};
use tracer_common::{
    control::Control,
    offsets::ABSENT,
    snapshot::{ProcessRow, ROW_PROCESS, ROW_THREAD, Released, RowHeader, STACK_DEPTH, ThreadRow},
};

use crate::{
    maps::{SIGACTION_WORDS, SNAPSHOT, SnapshotScratch, TRACKED},
    process::{Sight, upid_at},
    read::{Direct, Object, Probed, comm_into, is_set, off},
    send::control,
};

mod files;
mod memory;

/// Where this kernel keeps a field that only snapshots read.
macro_rules! place {
    ($field:ident) => {
        $crate::read::frozen(&$crate::maps::PLACES.$field)
    };
}
use place;

/// Index of `RLIMIT_NOFILE` in `signal->rlim`, and the size of one limit there.
const RLIMIT_NOFILE: u32 = 7;
const RLIMIT_SIZE: u32 = 16;
/// Bytes of all of a process's signal actions.
const ACTIONS: u32 = (64 * SIGACTION_WORDS * 8) as u32;

/// Writes down a thread, if its process is tracked; with the leader, the process.
#[inline(always)]
pub(crate) fn try_snapshot(seq: *mut seq_file, task: u64) -> Option<()> {
    let thread = Direct(task);
    let tgid: u32 = thread.get(off!(task_tgid));
    let entry = TRACKED.get_ptr_mut(tgid)?;
    let control = control()?;
    // SAFETY: map values.
    let (start, tgid_seen, control) = unsafe {
        (
            (&raw const (*entry).start_boottime_ns).read_volatile(),
            (&raw const (*entry).tgid).read_volatile(),
            &*control,
        )
    };
    let header = RowHeader {
        kind: ROW_THREAD,
        tgid_init: tgid,
        start_boottime_ns: start,
    };
    if thread.get::<u32>(off!(task_pid)) != tgid {
        let row = thread_row(header, thread, control);
        write(seq, &raw const row);
        return None;
    }
    if thread.get::<u64>(off!(task_start_boottime)) != start {
        // Another process of that number, whose beginning is still on its way into the map.
        return None;
    }
    let scratch = SNAPSHOT.get_ptr_mut(0)?;
    // SAFETY: a map value; nobody else on this processor is in here, for there is one reader.
    unsafe {
        let row = &raw mut (*scratch).row;
        let leader = RowHeader {
            kind: ROW_PROCESS,
            ..header
        };
        (*row).t_boot_ns = bpf_ktime_get_boot_ns();
        (*row).tgid = tgid_seen;
        (*row).leader = thread_row(leader, thread, control);
        write_stack(row, task);
        write_process(scratch, thread, control);
        memory::write(row, thread);
        files::write(seq, scratch, header, thread);
        write(seq, row.cast_const());
    }
    Some(())
}

/// What one thread has used. Its switches are read before its state and its stack: while they stay the
/// same, it sleeps the same sleep.
#[inline(always)]
fn thread_row(header: RowHeader, thread: Direct, control: &Control) -> ThreadRow {
    let nvcsw = thread.get(off!(task_nvcsw));
    ThreadRow {
        header,
        tid: number(thread, control),
        state: thread.get(place!(task_state)),
        exit_state: thread.get(off!(task_exit_state)),
        flags: thread.get(off!(task_flags)),
        cpu_ns: thread.get(off!(task_sum_exec_runtime)),
        nvcsw,
        nivcsw: thread.get(off!(task_nivcsw)),
        read_bytes: bytes(thread, off!(task_read_bytes)),
        write_bytes: bytes(thread, off!(task_write_bytes)),
    }
}

/// A sum of bytes; all ones where this kernel does not add them up.
#[inline(always)]
fn bytes(thread: Direct, offset: u32) -> u64 {
    match has(offset) {
        true => thread.get(offset),
        false => u64::MAX,
    }
}

/// A thread's number in the observer's pid namespace; 0 when it is not seen there.
#[inline(always)]
fn number(thread: Direct, control: &Control) -> u32 {
    let level = control.observer_level;
    if level == 0 {
        return thread.get(off!(task_pid));
    }
    let pid = thread.probed().follow(off!(task_thread_pid));
    if level > pid.get::<u32>(off!(pid_level)) {
        return 0;
    }
    let upid = upid_at(level);
    match pid.get::<u64>(upid + off!(upid_ns)) == control.observer_ns {
        true => pid.get(upid + off!(upid_nr)),
        false => 0,
    }
}

/// What the process has as a whole, but for its memory and descriptors.
///
/// # Safety
/// `scratch` is the map value.
#[inline(always)]
unsafe fn write_process(scratch: *mut SnapshotScratch, leader: Direct, control: &Control) {
    let task = leader.probed();
    let signal = task.follow(off!(task_signal));
    let parent = task.follow(off!(task_real_parent));
    // SAFETY: the caller's promise.
    unsafe {
        let row = &raw mut (*scratch).row;
        (*row).ppid = match control.observer_level {
            0 => parent.get(off!(task_tgid)),
            _ => Sight::of(parent).named(control).tgid,
        };
        (*row).threads = signal.get(off!(signal_nr_threads));
        (*row).released = Released {
            cpu_ns: signal.get(off!(signal_sum_sched_runtime)),
            nvcsw: signal.get(off!(signal_nvcsw)),
            nivcsw: signal.get(off!(signal_nivcsw)),
            read_bytes: signal.get(off!(signal_read_bytes)),
            write_bytes: signal.get(off!(signal_write_bytes)),
        };
        (*row).oom_score_adj = i32::from(signal.get::<i16>(off!(signal_oom_score_adj)));
        (*row).fd_soft_limit = signal.get(off!(signal_rlim) + RLIMIT_NOFILE * RLIMIT_SIZE);
        (*row).shared_pending = signal.get(place!(signal_shared_pending));
        (*row).pending = leader.get(place!(task_pending));
        (*row).blocked = leader.get(off!(task_blocked));
        (*row).caught = caught(scratch, task.follow(off!(task_sighand)));
        (*row).cgroups = leader.get(place!(task_cgroups));
        comm_into(&raw mut (*row).comm, leader);
    }
}

/// The signals that have a handler: neither the default action (0) nor none (1).
///
/// # Safety
/// `scratch` is the map value.
#[inline(always)]
unsafe fn caught(scratch: *mut SnapshotScratch, sighand: Probed) -> u64 {
    // SAFETY: the caller's promise.
    unsafe {
        let actions = &raw mut (*scratch).actions;
        probe(
            actions.cast(),
            ACTIONS,
            sighand.address() + u64::from(off!(sighand_action)),
        );
        let mut mask = 0;
        for signal in 0..64 {
            let handler = (&raw const (*actions)[signal * SIGACTION_WORDS]).read_volatile();
            mask |= is_set(handler & !1) << signal;
        }
        mask
    }
}

/// Where the leader waits, if it does.
///
/// # Safety
/// `row` is in the map value, `task` the iterator's.
#[inline(always)]
unsafe fn write_stack(row: *mut ProcessRow, task: u64) {
    // SAFETY: the caller's promise; the helper takes the iterator's task and writes at most the size
    // it is told.
    unsafe {
        (*row).stack = [0; STACK_DEPTH];
        if (*row).leader.state != 0 {
            bpf_get_task_stack(
                task as *mut task_struct,
                (&raw mut (*row).stack).cast(),
                (STACK_DEPTH * 8) as u32,
                0,
            );
        }
    }
}

/// Copies kernel memory; zeros where there is none.
///
/// # Safety
/// `to` has room for `len` bytes.
#[inline(always)]
unsafe fn probe(to: *mut core::ffi::c_void, len: u32, from: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        aya_ebpf::helpers::generated::bpf_probe_read_kernel(to, len, from as *const _);
    }
}

/// Appends a record to what the reader gets. Should the buffer be full, the kernel drops all that this
/// task has given and asks for it once more.
#[inline(always)]
fn write<T>(seq: *mut seq_file, record: *const T) {
    // SAFETY: the iterator's own file, and a value of ours with its size.
    unsafe {
        bpf_seq_write(seq, record.cast(), size_of::<T>() as u32);
    }
}

/// Whether this kernel has the field.
#[inline(always)]
fn has(offset: u32) -> bool {
    offset != ABSENT
}
