//! `signal_generate(sig, info, task, group, result)`: a signal is sent, or found not worth sending.
//!
//! At generation, not at delivery: by then the kernel has turned whatever kills into a plain SIGKILL
//! without sender.

use core::ffi::c_void;

use aya_ebpf::{
    helpers::{bpf_get_current_task, generated::bpf_probe_read_user},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use tracer_common::{
    control::Control,
    event::{
        FLAG_SENDER_EXITING, FLAG_SENDER_KERNEL, FLAG_SIGNAL_BLOCKED, FLAG_SIGNAL_GROUP,
        FLAG_SIGNAL_HANDLED, FLAG_SIGNAL_NO_INFO, FLAG_SIGNAL_PRIVILEGED, KIND_SIGNAL, SignalEvent,
        SignalSender,
    },
    limits::SENDER_CMDLINE_MAX,
    offsets::ABSENT,
};

use crate::{
    maps::TRACKED,
    process::{Sight, tracked_ref},
    read::{Direct, Object, Probed, at_most, comm_into, off},
    send::{control, header, reserve, submit, watched},
};

const SIGHUP: i32 = 1;
const SIGKILL: i32 = 9;
const SIGCHLD: i32 = 17;
/// The highest signal number.
const SIGNALS: i32 = 64;
/// A handler that is none: `SIG_DFL` and `SIG_IGN`.
const SIG_IGN: u64 = 1;
/// `PF_EXITING` of `task->flags`.
const PF_EXITING: u32 = 0x4;
/// `info` of a signal without details from a process: `SEND_SIG_NOINFO`.
const NO_INFO: u64 = 0;
/// `info` of a signal from the kernel: `SEND_SIG_PRIV`.
const PRIV: u64 = 1;
/// `si_code` of a signal from the kernel.
const SI_KERNEL: i32 = 0x80;
/// `si_code` of a POSIX timer: whoever runs has nothing to do with it.
const SI_TIMER: i32 = -2;

/// Signals that end a process that has not said otherwise, bit n for signal n: all but CHLD, CONT,
/// STOP, TSTP, TTIN, TTOU, URG and WINCH (signal(7)).
const LETHAL: u64 =
    !(1 | 1 << 17 | 1 << 18 | 1 << 19 | 1 << 20 | 1 << 21 | 1 << 22 | 1 << 23 | 1 << 28);

#[btf_tracepoint(function = "signal_generate")]
fn on_signal(ctx: BtfTracePointContext) -> i32 {
    try_signal(&ctx);
    0
}

#[inline(always)]
fn try_signal(ctx: &BtfTracePointContext) -> Option<()> {
    let signal: i32 = ctx.arg(0);
    // Not a typed pointer: it may be one of two small numbers.
    let info: u64 = ctx.arg(1);
    let code = match info {
        NO_INFO => 0,
        PRIV => SI_KERNEL,
        _ if off!(siginfo_code) == ABSENT => 0,
        _ => Probed(info).get::<i32>(off!(siginfo_code)),
    };
    // A child's end, stop or continuation: most of all signals, and no news.
    if signal == SIGCHLD && code > 0 {
        return None;
    }
    let target = Direct(ctx.arg(2));
    let tgid: u32 = target.get(off!(task_tgid));
    let entry = TRACKED.get_ptr_mut(tgid)?;
    let control = control()?;
    // The helper that gives a typed pointer came with 5.11; signals are rare enough to do without.
    // SAFETY: a helper without arguments.
    let sender = Probed(unsafe { bpf_get_current_task() });
    let sender_tgid: u32 = sender.get(off!(task_tgid));

    let mut flags = 0;
    // A positive code names a cause in the kernel. Where the target itself runs it is the cause (a
    // fault); otherwise whoever runs was only interrupted.
    if code == SI_KERNEL || code == SI_TIMER || (code > 0 && sender_tgid != tgid) {
        flags |= FLAG_SENDER_KERNEL;
    }
    if ctx.arg::<i32>(3) != 0 {
        flags |= FLAG_SIGNAL_GROUP;
    }
    match info {
        NO_INFO => flags |= FLAG_SIGNAL_NO_INFO,
        PRIV => flags |= FLAG_SIGNAL_PRIVILEGED,
        _ => {}
    }
    if sender.get::<u32>(off!(task_flags)) & PF_EXITING != 0 {
        flags |= FLAG_SENDER_EXITING;
    }
    flags |= disposition(target, signal);

    let lethal = (0..SIGNALS).contains(&signal) && LETHAL >> (signal as u32 & 63) & 1 != 0
        || signal == SIGNALS;
    let urgent = lethal && ctx.arg::<i32>(4) == 0 && watched(control, tgid);
    // Who is asked about later. Where the kernel sent it in its own name, only a terminal that goes away
    // and a kill lead to somebody.
    let by_somebody = flags & FLAG_SENDER_KERNEL == 0 || signal == SIGHUP || signal == SIGKILL;
    let cpu_limit = cpu_limit_s(target);
    if lethal && by_somebody && sender_tgid != tgid {
        let mut record = reserve::<SignalRecord>(KIND_SIGNAL)?;
        let long = record.as_mut_ptr();
        // SAFETY: map values; the record is ours until submitted, and every field is written but the
        // bytes of the command line that its length leaves out.
        unsafe {
            let event = &raw mut (*long).event;
            let target = tracked_ref(&*entry, tgid, target.get(off!(task_pid)));
            fill(event, flags, sender, control);
            (*event).target = target;
            (*event).signal = signal;
            (*event).code = code;
            (*event).result = ctx.arg(4);
            (*event).cpu_limit_s = cpu_limit;
            tell_more(&raw mut (*long).sender, sender, control);
        }
        submit(record, KIND_SIGNAL, control, urgent);
    } else {
        let mut record = reserve::<SignalEvent>(KIND_SIGNAL)?;
        let event = record.as_mut_ptr();
        // SAFETY: as above.
        unsafe {
            let target = tracked_ref(&*entry, tgid, target.get(off!(task_pid)));
            fill(event, flags, sender, control);
            (*event).target = target;
            (*event).signal = signal;
            (*event).code = code;
            (*event).result = ctx.arg(4);
            (*event).cpu_limit_s = cpu_limit;
        }
        submit(record, KIND_SIGNAL, control, urgent);
    }
    Some(())
}

/// A record with more of the sender behind it.
#[repr(C)]
struct SignalRecord {
    event: SignalEvent,
    sender: SignalSender,
}

/// Fills in who sent it.
///
/// # Safety
/// `event` is a record of ours, `control` a map value.
#[inline(always)]
unsafe fn fill(event: *mut SignalEvent, flags: u16, sender: Probed, control: *const Control) {
    // SAFETY: the caller's promise.
    unsafe {
        (*event).header = header(KIND_SIGNAL, flags);
        (*event).sender = Sight::of(sender).named(&*control);
        // Threads may have names of their own; people know the process's.
        let leader = sender.follow(off!(task_group_leader));
        comm_into(&raw mut (*event).sender_comm, leader);
        (*event).sender_uid = sender.follow(off!(task_cred)).get(off!(cred_uid));
    }
}

/// Fills in whose child the sender is and how it was started.
///
/// # Safety
/// `more` is part of a record of ours, `control` a map value.
#[inline(always)]
unsafe fn tell_more(more: *mut SignalSender, sender: Probed, control: *const Control) {
    // The parent is the thread that forked.
    let parent = sender
        .follow(off!(task_group_leader))
        .follow(off!(task_real_parent))
        .follow(off!(task_group_leader));
    let mm = sender.follow(off!(task_mm));
    let start: u64 = mm.get(off!(mm_arg_start));
    let end: u64 = mm.get(off!(mm_arg_end));
    let total = if start == 0 {
        0
    } else {
        end.wrapping_sub(start)
    };
    let mut len = at_most::<{ SENDER_CMDLINE_MAX as u64 }>(total);
    // SAFETY: the caller's promise; at most as many bytes are read as there is room for.
    unsafe {
        (*more).parent = Sight::of(parent).named(&*control);
        comm_into(&raw mut (*more).parent_comm, parent);
        let to = (&raw mut (*more).cmdline).cast::<c_void>();
        // The sender runs, so these are its own pages; one that is swapped out is not waited for.
        if bpf_probe_read_user(to, len as u32, start as *const c_void) != 0 {
            len = 0;
        }
        (*more).cmdline_total = total;
        (*more).cmdline_len = len;
    }
}

/// The target's hard limit on CPU time, in seconds; `u64::MAX` is `RLIM_INFINITY`.
#[inline(always)]
fn cpu_limit_s(target: Direct) -> u64 {
    let limits = off!(signal_rlim);
    if limits == ABSENT {
        return u64::MAX;
    }
    // The hard limit stands behind the soft one.
    target.probed().follow(off!(task_signal)).get(limits + 8)
}

/// Whether the target blocks the signal and whether it has a handler for it.
#[inline(always)]
fn disposition(target: Direct, signal: i32) -> u16 {
    let mut flags = 0;
    let action = off!(sighand_action);
    if !(1..=SIGNALS).contains(&signal) || action == ABSENT || off!(sigaction_size) == ABSENT {
        return 0;
    }
    let before = signal as u32 - 1;
    let target = target.probed();
    if target.get::<u64>(off!(task_blocked)) >> (before & 63) & 1 != 0 {
        flags |= FLAG_SIGNAL_BLOCKED;
    }
    let actions = Probed(
        target.follow(off!(task_sighand)).address()
            + u64::from(action)
            + u64::from(before * off!(sigaction_size)),
    );
    if actions.get::<u64>(off!(sigaction_handler)) > SIG_IGN {
        flags |= FLAG_SIGNAL_HANDLED;
    }
    flags
}
