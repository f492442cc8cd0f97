//! `sched_process_exec(task, old_pid, bprm)`: a process has replaced its image.
//!
//! Only successful execs come here. The record is as long as what it carries, put together in a
//! per-CPU scratch: a fixed one would be most of the ring's traffic.

use core::ffi::c_void;

use aya_ebpf::{
    helpers::generated::{bpf_probe_read_kernel_str, bpf_probe_read_user, bpf_ringbuf_output},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use tracer_common::{
    control::{TRACKED_SHARES_MM, URGENT_EXEC},
    event::{
        ExecEvent, FLAG_ARGV_TRUNCATED, FLAG_ARGV_UNREADABLE, FLAG_FILENAME_TRUNCATED, KIND_EXEC,
    },
    limits::{ARGV_MAX, FILENAME_MAX},
    loss::{ARGV_UNREADABLE, EXECS_MISSED, RING_FULL, SENT},
    offsets::ABSENT,
};

use crate::{
    maps::{EVENTS, EXEC_SCRATCH, FILENAME_BUF, TRACKED},
    process::tracked_ref,
    read::{Direct, Object, at_most, cred_and_comm_into, off, together},
    send::{RECORD_HEADER, control, count, count_by, header, wake_flags, wake_if_idle},
};

#[btf_tracepoint(function = "sched_process_exec")]
fn on_exec(ctx: BtfTracePointContext) -> i32 {
    if try_exec::<0>(&ctx).is_some() {
        #[cfg(feature = "log")]
        aya_log_ebpf::debug!(&ctx, "exec: {}", aya_ebpf::EbpfContext::tgid(&ctx));
    }
    0
}

/// One more program for the same hook, which works only where all before it were skipped.
macro_rules! stand_in {
    ($name:ident, $slot:literal) => {
        #[btf_tracepoint(function = "sched_process_exec")]
        fn $name(ctx: BtfTracePointContext) -> i32 {
            try_exec::<$slot>(&ctx);
            0
        }
    };
}

stand_in!(on_exec_2, 1);
stand_in!(on_exec_3, 2);
stand_in!(on_exec_4, 3);
stand_in!(on_exec_5, 4);
stand_in!(on_exec_6, 5);
stand_in!(on_exec_7, 6);
stand_in!(on_exec_8, 7);

/// Counts execs that no program saw. Where none is ever skipped there are none: what the kernel counts
/// beyond those seen are execs that failed when the old image was already gone, which killed the process.
#[inline(always)]
pub(crate) fn count_missed(execs: u32) {
    if execs != 0 && off!(programs_can_be_skipped) == 1 {
        count_by(EXECS_MISSED, u64::from(execs));
    }
}

/// `SCRATCH`: each program its own, for one may be preempted where the other runs.
#[inline(always)]
fn try_exec<const SCRATCH: u32>(ctx: &BtfTracePointContext) -> Option<()> {
    let task = Direct(ctx.arg(0));
    let tgid: u32 = task.get(off!(task_tgid));
    let entry = TRACKED.get_ptr_mut(tgid)?;
    let exec_id: u32 = task.get(off!(task_self_exec_id));
    // SAFETY: a map value, which only this process's own execs write.
    if SCRATCH != 0 && unsafe { (*entry).exec_id } == exec_id {
        return None;
    }
    let control = control()?;
    let record = EXEC_SCRATCH.get_ptr_mut(SCRATCH)?;
    let bprm = Direct(ctx.arg(2));
    let mm = task.probed().follow(off!(task_mm));
    let (argv_start, argv_end): (u64, u64) =
        if off!(mm_arg_end) == off!(mm_arg_start).wrapping_add(8) {
            // SAFETY: integers only.
            let [start, end]: [u64; 2] = unsafe { together(mm, off!(mm_arg_start)) };
            (start, end)
        } else {
            (mm.get(off!(mm_arg_start)), mm.get(off!(mm_arg_end)))
        };
    let maxrss = task
        .probed()
        .follow(off!(task_signal))
        .get(off!(signal_maxrss));
    let tid = task.get(off!(task_pid));
    let argc = bprm.get(off!(bprm_argc));
    let filename: u64 = bprm.get(off!(bprm_filename));

    // SAFETY: map values. A process has one exec at a time, so nobody else writes these fields; the
    // scratch is this CPU's and this program's, which does not run twice on one CPU.
    unsafe {
        if off!(task_self_exec_id) != ABSENT {
            // 0 when the process was adopted in the middle of this exec.
            let execs = exec_id.wrapping_sub((*entry).exec_id);
            count_missed(execs.saturating_sub(1));
        }
        (*entry).exec_id = exec_id;
        (*entry).execs += 1;
        (*entry).flags &= !TRACKED_SHARES_MM;
        (*entry).maxrss_at_exec_pages = maxrss;

        let mut flags = 0;
        let bytes = (&raw mut (*record).bytes).cast::<u8>();

        let mut filename_len = 0;
        if off!(bprm_filename) != ABSENT {
            let got = bpf_probe_read_kernel_str(
                bytes.cast(),
                FILENAME_BUF as u32,
                filename as *const c_void,
            );
            // The count includes the NUL.
            if got > 0 {
                filename_len = got as u64 - 1;
            }
            if filename_len > FILENAME_MAX as u64 {
                flags |= FLAG_FILENAME_TRUNCATED;
            }
            filename_len = at_most::<{ FILENAME_MAX as u64 }>(filename_len);
        }

        let argv_total = argv_end.wrapping_sub(argv_start);
        if argv_total > ARGV_MAX as u64 {
            flags |= FLAG_ARGV_TRUNCATED;
        }
        let mut argv_len = at_most::<{ ARGV_MAX as u64 }>(argv_total);
        let argv = bytes.add(filename_len as usize);
        // The pages are resident: the kernel has just written them.
        if bpf_probe_read_user(argv.cast(), argv_len as u32, argv_start as *const c_void) != 0 {
            flags |= FLAG_ARGV_UNREADABLE;
            argv_len = 0;
            count(ARGV_UNREADABLE);
        }

        let event = &raw mut (*record).event;
        (*event).header = header(KIND_EXEC, flags);
        (*event).process = tracked_ref(&*entry, tgid, tid);
        let cred = cred_and_comm_into(&raw mut (*event).comm, task.probed());
        (*event).argv_total = argv_total;
        (*event).old_tid_init = ctx.arg(1);
        (*event).exec_no = (*entry).execs;
        (*event).argc = argc;
        (*event).euid = cred.get(off!(cred_euid));
        (*event).filename_len = filename_len as u16;
        (*event).argv_len = argv_len as u16;
        (*event).reserved = 0;

        let len = at_most::<{ (size_of::<ExecEvent>() + FILENAME_MAX + ARGV_MAX) as u64 }>(
            size_of::<ExecEvent>() as u64 + filename_len + argv_len,
        );
        let urgent = (&raw const (*control).urgent).read_volatile() & URGENT_EXEC != 0;
        let flags = wake_flags(len + RECORD_HEADER, urgent);
        let ring = (&raw const EVENTS).cast_mut().cast::<c_void>();
        if bpf_ringbuf_output(ring, record.cast(), len, flags) == 0 {
            count(SENT + u32::from(KIND_EXEC));
            wake_if_idle(control, flags);
        } else {
            count(RING_FULL + u32::from(KIND_EXEC));
        }
    }
    Some(())
}
