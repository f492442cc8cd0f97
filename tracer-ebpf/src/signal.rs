//! `signal_generate(sig, info, task, group, result)`: a signal is sent, or found not worth sending.
//!
//! At generation, not at delivery: by then the kernel has turned whatever kills into a plain SIGKILL
//! without sender.
//!
//! What is found out is put together without branches: the verifier would follow each of them both ways,
//! and all that comes after it once for every combination.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext as _,
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
    limits::{COMM_LEN, SENDER_CMDLINE_MAX},
    offsets::ABSENT,
};

use crate::{
    maps::TRACKED,
    process::{Sight, tracked_ref},
    read::{Direct, Object, Probed, at_most, comm_into, is_positive, is_same, is_set, off},
    send::{control, header, reserve, submit, watched},
};

const SIGHUP: u64 = 1;
const SIGKILL: u64 = 9;
const SIGCHLD: i32 = 17;
/// The highest signal number.
const SIGNALS: u32 = 64;
/// A handler that is none: `SIG_DFL` and `SIG_IGN`.
const SIG_IGN: u64 = 1;
/// `PF_EXITING` of `task->flags`.
const PF_EXITING: u32 = 0x4;
/// Where the second of the hook's arguments is.
const INFO_AT: u32 = 8;
/// `info` of a signal without details from a process: `SEND_SIG_NOINFO`.
const NO_INFO: u64 = 0;
/// `info` of a signal from the kernel: `SEND_SIG_PRIV`.
const PRIV: u64 = 1;
/// `si_code` of a signal from the kernel.
const SI_KERNEL: i32 = 0x80;
/// `si_code` of a POSIX timer: whoever runs has nothing to do with it.
const SI_TIMER: i32 = -2;

/// Signals that end a process that has not said otherwise, bit n for signal n and bit 0 for the last: all
/// but CHLD, CONT, STOP, TSTP, TTIN, TTOU, URG and WINCH (signal(7)).
const LETHAL: u64 =
    !(1 << 17 | 1 << 18 | 1 << 19 | 1 << 20 | 1 << 21 | 1 << 22 | 1 << 23 | 1 << 28);

#[btf_tracepoint(function = "signal_generate")]
fn on_signal(ctx: BtfTracePointContext) -> i32 {
    try_signal(&ctx);
    0
}

#[inline(always)]
fn try_signal(ctx: &BtfTracePointContext) -> Option<()> {
    let signal: i32 = ctx.arg(0);
    // Read as a number, which may be one of two small ones; the verifier takes the argument for a pointer.
    let info: u64 = Probed(ctx.as_ptr() as u64).get(INFO_AT);
    let (no_info, privileged) = (is_same(info, NO_INFO), is_same(info, PRIV));
    // Behind these two small numbers nothing can be read, which gives 0.
    let told: i32 = Probed(info).get(off!(siginfo_code));
    let code = told | privileged as i32 * SI_KERNEL;
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

    let is_other = is_set(u64::from(sender_tgid ^ tgid));
    // A positive code names a cause in the kernel. Where the target itself runs it is the cause (a
    // fault); otherwise whoever runs was only interrupted.
    let from_kernel = is_same(code as u64, SI_KERNEL as u64)
        | is_same(code as u64, SI_TIMER as u64)
        | is_positive(code) & is_other;
    let is_exiting = sender.get::<u32>(off!(task_flags)) & PF_EXITING;
    let flags = from_kernel * u64::from(FLAG_SENDER_KERNEL)
        | is_set(u64::from(ctx.arg::<u32>(3))) * u64::from(FLAG_SIGNAL_GROUP)
        | no_info * u64::from(FLAG_SIGNAL_NO_INFO)
        | privileged * u64::from(FLAG_SIGNAL_PRIVILEGED)
        | is_set(is_exiting.into()) * u64::from(FLAG_SENDER_EXITING)
        | disposition(target, signal);

    let lethal = LETHAL >> (signal as u32 % SIGNALS) & 1;
    let result: i32 = ctx.arg(4);
    // Who is asked about later. Where the kernel sent it in its own name, only a terminal that goes away
    // and a kill lead to somebody.
    let by_somebody =
        is_same(from_kernel, 0) | is_same(signal as u64, SIGHUP) | is_same(signal as u64, SIGKILL);
    let tells_more = lethal & by_somebody & is_other != 0;
    let mut sender_comm = [0; COMM_LEN];
    // Threads may have names of their own; people know the process's.
    // SAFETY: an array of ours.
    unsafe { comm_into(&raw mut sender_comm, sender.follow(off!(task_group_leader))) };
    // Before the two ways part: the verifier would go through all of it for each.
    // SAFETY: map values.
    let event = unsafe {
        SignalEvent {
            header: header(KIND_SIGNAL, flags as u16),
            target: tracked_ref(&*entry, tgid, target.get(off!(task_pid))),
            sender: Sight::of(sender).named(&*control),
            signal,
            code,
            result,
            cpu_limit_s: cpu_limit_s(target),
            sender_comm,
            sender_uid: sender.follow(off!(task_cred)).get(off!(cred_uid)),
        }
    };
    let urgent = lethal & is_same(result as u64, 0) != 0 && watched(control, tgid);
    if tells_more {
        let mut record = reserve::<SignalRecord>(KIND_SIGNAL)?;
        let long = record.as_mut_ptr();
        // SAFETY: the record is ours until submitted, and every field is written but the bytes of the
        // command line that its length leaves out.
        unsafe {
            (*long).event = event;
            tell_more(&raw mut (*long).sender, sender, control);
        }
        submit(record, KIND_SIGNAL, control, urgent);
    } else {
        let mut record = reserve::<SignalEvent>(KIND_SIGNAL)?;
        record.write(event);
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
fn disposition(target: Direct, signal: i32) -> u64 {
    let action = off!(sighand_action);
    if action == ABSENT || off!(sigaction_size) == ABSENT {
        return 0;
    }
    let before = (signal as u32).wrapping_sub(1) % SIGNALS;
    let target = target.probed();
    let blocked = target.get::<u64>(off!(task_blocked)) >> before & 1;
    let actions = Probed(
        target.follow(off!(task_sighand)).address()
            + u64::from(action)
            + u64::from(before * off!(sigaction_size)),
    );
    let handler: u64 = actions.get(off!(sigaction_handler));
    blocked * u64::from(FLAG_SIGNAL_BLOCKED)
        | is_set(handler & !SIG_IGN) * u64::from(FLAG_SIGNAL_HANDLED)
}
