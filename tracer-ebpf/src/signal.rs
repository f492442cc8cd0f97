//! `signal_generate(sig, info, task, group, result)`: a signal is sent, or found not worth sending.
//!
//! At generation, not at delivery: by then the kernel has turned whatever kills into a plain SIGKILL
//! without sender.

use aya_ebpf::{
    helpers::bpf_get_current_task, macros::btf_tracepoint, programs::BtfTracePointContext,
};
use tracer_common::{
    event::{FLAG_SENDER_KERNEL, FLAG_SIGNAL_GROUP, KIND_SIGNAL, SignalEvent},
    offsets::ABSENT,
};

use crate::{
    maps::TRACKED,
    process::{Sight, tracked_ref},
    read::{Direct, Object, Probed, comm_into, off},
    send::{control, header, reserve, submit, watched},
};

const SIGCHLD: i32 = 17;
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
    let target = Direct(ctx.arg(2));
    let tgid: u32 = target.get(off!(task_tgid));
    let entry = TRACKED.get_ptr_mut(tgid)?;
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
    let result: i32 = ctx.arg(4);

    let mut record = reserve::<SignalEvent>(KIND_SIGNAL)?;
    let event = record.as_mut_ptr();
    // SAFETY: map values; the record is ours until submitted, and every field is written.
    unsafe {
        (*event).header = header(KIND_SIGNAL, flags);
        (*event).target = tracked_ref(&*entry, tgid, target.get(off!(task_pid)));
        (*event).sender = Sight::of(sender).named(&*control);
        comm_into(&raw mut (*event).sender_comm, sender);
        (*event).sender_uid = sender.follow(off!(task_cred)).get(off!(cred_uid));
        (*event).signal = signal;
        (*event).code = code;
        (*event).result = result;
    }
    let lethal = (0..64).contains(&signal) && LETHAL >> (signal as u32 & 63) & 1 != 0;
    submit(
        record,
        KIND_SIGNAL,
        control,
        lethal && result == 0 && watched(control, tgid),
    );
    Some(())
}
