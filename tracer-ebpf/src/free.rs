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
    usage::Usage,
};

use crate::{
    exit::{Source, report, totals},
    maps::{TRACKED, UNRELEASED, Unreleased},
    read::{Direct, Object, off},
    send::{control, header, reserve_spare, submit_quietly},
    usage::released,
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
    last.usage = closed(task);
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
#[inline(always)]
fn closed(leader: Direct) -> Usage {
    let mut usage = released(leader.probed().follow(off!(task_signal)));
    // A process that nobody waits for releases itself, and runs on; the rest of its last tick is in no
    // other sum.
    let alone: u64 = leader.get(off!(task_sum_exec_runtime));
    if alone > usage.cpu_ns {
        usage.cpu_ns = alone;
    }
    if off!(signal_read_bytes) == ABSENT || off!(signal_write_bytes) == ABSENT {
        (usage.read_bytes, usage.write_bytes) = (u64::MAX, u64::MAX);
    }
    usage
}

/// Sends the account of a process whose end has been reported.
#[inline(always)]
fn account(process: &Unreleased, tgid: u32, leader: Direct) -> Option<()> {
    let mut record = reserve_spare::<AccountEvent>(KIND_ACCOUNT)?;
    record.write(AccountEvent {
        header: header(KIND_ACCOUNT, 0),
        process: ProcRef {
            start_boottime_ns: process.start_boottime_ns,
            tgid: process.tgid,
            tgid_init: tgid,
            tgid_inner: process.tgid_inner,
            tid_init: tgid,
        },
        usage: closed(leader),
    });
    submit_quietly(record, KIND_ACCOUNT);
    Some(())
}
