//! `sched_process_free(task)`: the last that is heard of a task.
//!
//! What a process uses from the last time the kernel brought its sums up to date to its last instruction is in
//! no thread's sums at the exit hook. The kernel has it all when the process has been released: that closed
//! account is reported here, tens of milliseconds later, of everyone whose end was reported. Nobody waits for
//! it, it wakes nobody, and it never takes the room of an event.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_common::{
    event::{AccountEvent, KIND_ACCOUNT},
    ids::ProcRef,
    offsets::ABSENT,
};

use crate::{
    exit::{Source, report, totals},
    maps::{TRACKED, UNRELEASED, Unreleased},
    read::{Direct, Object, off},
    send::{control, header, reserve_spare, submit_quietly},
};

/// `sched_process_free(task)`: behind the end of every task, when its parent has been told, in a softirq
/// that cannot be preempted; so this program is never skipped. It reports accounts, and the ends that nobody
/// else has.
#[btf_tracepoint(function = "sched_process_free")]
fn on_free(ctx: BtfTracePointContext) -> i32 {
    try_free(&ctx);
    0
}

#[inline(always)]
fn try_free(ctx: &BtfTracePointContext) -> Option<()> {
    let task = Direct(ctx.arg(0));
    let tgid: u32 = task.get(off!(task_tgid));
    // A thread that is no leader, or a leader that another thread has replaced by exec: that one's pid.
    if task.get::<u32>(off!(task_pid)) != tgid {
        return None;
    }
    if off!(tells_accounts) == 1
        && let Some(entry) = UNRELEASED.get_ptr(tgid)
    {
        // SAFETY: a map value. Copied before the delete: a deleted entry is free for the next process.
        let process = unsafe { *entry };
        if process.start_boottime_ns == task.get(off!(task_start_boottime)) {
            let _ = UNRELEASED.remove(tgid);
            return account(&process, tgid, task);
        }
    }
    if off!(programs_can_be_skipped) != 1 {
        return None;
    }
    let entry = TRACKED.get_ptr_mut(tgid)?;
    // SAFETY: a map value.
    let mut last = unsafe { totals(entry) };
    if last.start_boottime_ns != task.get(off!(task_start_boottime)) {
        return None;
    }
    let control = control()?;
    TRACKED.remove(tgid).ok()?;

    // By now the process's own sums have every thread in them.
    let closed = Closed::of(task);
    last.cpu_ns = closed.cpu_ns;
    last.utime_ns = closed.utime_ns;
    last.stime_ns = closed.stime_ns;
    last.min_flt = closed.min_flt;
    last.maj_flt = closed.maj_flt;
    last.nvcsw = closed.nvcsw;
    last.nivcsw = closed.nivcsw;
    last.read_bytes = closed.read_bytes;
    last.write_bytes = closed.write_bytes;
    last.threads_ended = last.threads_made;
    last.unsure = 0;
    report(control, &last, tgid, task.probed(), Source::Freed)?;
    if off!(tells_accounts) == 1 {
        let process = Unreleased {
            start_boottime_ns: last.start_boottime_ns,
            tgid: last.tgid,
            tgid_inner: last.tgid_inner,
        };
        account(&process, tgid, task)?;
    }
    Some(())
}

/// What the kernel says of a process that has been released.
struct Closed {
    cpu_ns: u64,
    utime_ns: u64,
    stime_ns: u64,
    min_flt: u64,
    maj_flt: u64,
    nvcsw: u64,
    nivcsw: u64,
    read_bytes: u64,
    write_bytes: u64,
}

impl Closed {
    #[inline(always)]
    fn of(leader: Direct) -> Self {
        let signal = leader.probed().follow(off!(task_signal));
        let released: u64 = signal.get(off!(signal_sum_sched_runtime));
        // A process that nobody waits for releases itself, and runs on; the rest of its last tick is in no
        // other sum.
        let alone: u64 = leader.get(off!(task_sum_exec_runtime));
        let io_is_known = off!(signal_read_bytes) != ABSENT && off!(signal_write_bytes) != ABSENT;
        let (read_bytes, write_bytes) = match io_is_known {
            true => (
                signal.get(off!(signal_read_bytes)),
                signal.get(off!(signal_write_bytes)),
            ),
            false => (u64::MAX, u64::MAX),
        };
        Self {
            cpu_ns: if alone > released { alone } else { released },
            utime_ns: signal.get(off!(signal_utime)),
            stime_ns: signal.get(off!(signal_stime)),
            min_flt: signal.get(off!(signal_min_flt)),
            maj_flt: signal.get(off!(signal_maj_flt)),
            nvcsw: signal.get(off!(signal_nvcsw)),
            nivcsw: signal.get(off!(signal_nivcsw)),
            read_bytes,
            write_bytes,
        }
    }
}

/// Sends the account of a process whose end has been reported.
#[inline(always)]
fn account(process: &Unreleased, tgid: u32, leader: Direct) -> Option<()> {
    let mut record = reserve_spare::<AccountEvent>(KIND_ACCOUNT)?;
    let closed = Closed::of(leader);
    record.write(AccountEvent {
        header: header(KIND_ACCOUNT, 0),
        process: ProcRef {
            start_boottime_ns: process.start_boottime_ns,
            tgid: process.tgid,
            tgid_init: tgid,
            tgid_inner: process.tgid_inner,
            tid_init: tgid,
        },
        cpu_ns: closed.cpu_ns,
        utime_ns: closed.utime_ns,
        stime_ns: closed.stime_ns,
        min_flt: closed.min_flt,
        maj_flt: closed.maj_flt,
        nvcsw: closed.nvcsw,
        nivcsw: closed.nivcsw,
        read_bytes: closed.read_bytes,
        write_bytes: closed.write_bytes,
    });
    submit_quietly(record, KIND_ACCOUNT);
    Some(())
}
