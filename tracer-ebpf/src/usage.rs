//! What tasks and processes have used, as the kernel keeps it.

use tracer_common::usage::Usage;

use crate::read::{Object, Probed, atomic_add, off};

/// What one thread has used.
#[inline(always)]
fn of(task: impl Object) -> Usage {
    Usage {
        cpu_ns: task.get(off!(task_sum_exec_runtime)),
        utime_ns: task.get(off!(task_utime)),
        stime_ns: task.get(off!(task_stime)),
        min_flt: task.get(off!(task_min_flt)),
        maj_flt: task.get(off!(task_maj_flt)),
        nvcsw: task.get(off!(task_nvcsw)),
        nivcsw: task.get(off!(task_nivcsw)),
        read_bytes: task.get(off!(task_read_bytes)),
        write_bytes: task.get(off!(task_write_bytes)),
    }
}

/// What the threads have used that are released; in the end, all.
#[inline(always)]
pub(crate) fn released(signal: Probed) -> Usage {
    Usage {
        cpu_ns: signal.get(off!(signal_sum_sched_runtime)),
        utime_ns: signal.get(off!(signal_utime)),
        stime_ns: signal.get(off!(signal_stime)),
        min_flt: signal.get(off!(signal_min_flt)),
        maj_flt: signal.get(off!(signal_maj_flt)),
        nvcsw: signal.get(off!(signal_nvcsw)),
        nivcsw: signal.get(off!(signal_nivcsw)),
        read_bytes: signal.get(off!(signal_read_bytes)),
        write_bytes: signal.get(off!(signal_write_bytes)),
    }
}

/// The sum with what one more thread has used.
#[inline(always)]
pub(crate) fn with(sum: Usage, task: impl Object) -> Usage {
    let more = of(task);
    Usage {
        cpu_ns: sum.cpu_ns + more.cpu_ns,
        utime_ns: sum.utime_ns + more.utime_ns,
        stime_ns: sum.stime_ns + more.stime_ns,
        min_flt: sum.min_flt + more.min_flt,
        maj_flt: sum.maj_flt + more.maj_flt,
        nvcsw: sum.nvcsw + more.nvcsw,
        nivcsw: sum.nivcsw + more.nivcsw,
        read_bytes: sum.read_bytes + more.read_bytes,
        write_bytes: sum.write_bytes + more.write_bytes,
    }
}

/// Adds what one thread has used to a sum that other CPUs add to as well.
///
/// # Safety
/// `sum` lies in a map value.
#[inline(always)]
pub(crate) unsafe fn add(sum: *mut Usage, task: impl Object) {
    let more = of(task);
    // SAFETY: the caller's promise.
    unsafe {
        atomic_add(&raw mut (*sum).cpu_ns, more.cpu_ns);
        atomic_add(&raw mut (*sum).utime_ns, more.utime_ns);
        atomic_add(&raw mut (*sum).stime_ns, more.stime_ns);
        atomic_add(&raw mut (*sum).min_flt, more.min_flt);
        atomic_add(&raw mut (*sum).maj_flt, more.maj_flt);
        atomic_add(&raw mut (*sum).nvcsw, more.nvcsw);
        atomic_add(&raw mut (*sum).nivcsw, more.nivcsw);
        atomic_add(&raw mut (*sum).read_bytes, more.read_bytes);
        atomic_add(&raw mut (*sum).write_bytes, more.write_bytes);
    }
}
