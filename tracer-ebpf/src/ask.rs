//! Programs that user space runs itself (`BPF_PROG_TEST_RUN`), in the thread that asks. Each returns whether it
//! has done what it is for: the kernel may skip it, and then says nothing.
//!
//! They are raw tracepoints that are never attached: the one kind that 5.10 runs like this and that may read
//! what the hooks read. A task iterator could answer as well; but to load one takes longer than all of these,
//! and it goes through all tasks. aya-ebpf's macro makes them return nothing; the section's name makes a
//! function one as well.

use core::ffi::c_void;

use aya_ebpf::helpers::bpf_get_current_task;
use tracer_common::control::{Control, Observer};

use crate::{
    adopt::try_adopt,
    process::upid_at,
    read::{Object, Probed, off},
    send::control,
};

/// Children of the asking thread that are looked at, the youngest first.
const YOUNGEST: u32 = 16;
/// Offset of `list_head.prev`.
const PREV: u32 = 8;

/// Says who asks.
#[unsafe(no_mangle)]
#[unsafe(link_section = "raw_tp")]
fn who_am_i(_ctx: *mut c_void) -> i32 {
    let Some(control) = control() else { return 0 };
    let asking = asking();
    let pid = asking.follow(off!(task_thread_pid));
    let level: u32 = pid.get(off!(pid_level));
    let ns = pid.follow(upid_at(level) + off!(upid_ns));
    let answer = Observer {
        ns: ns.address(),
        level,
        ns_inum: ns.get(off!(ns_inum)),
        tgid_init: asking.get(off!(task_tgid)),
        tid_init: asking.get(off!(task_pid)),
    };
    // SAFETY: the one element of CONTROL.
    unsafe { (&raw mut (*control).answer).write_volatile(answer) };
    1
}

/// Starts tracking the root, a child that the asking thread has made and holds.
#[unsafe(no_mangle)]
#[unsafe(link_section = "raw_tp")]
fn adopt_held(_ctx: *mut c_void) -> i32 {
    let Some(control) = control() else { return 0 };
    // SAFETY: the one element of CONTROL.
    let Some(child) = asked_for(asking(), unsafe { &*control }) else {
        return 0;
    };
    i32::from(try_adopt(child, control, false).is_some())
}

/// The thread that runs this.
#[inline(always)]
fn asking() -> Probed {
    // SAFETY: a helper without arguments.
    Probed(unsafe { bpf_get_current_task() })
}

/// The child of this thread that is to be the root.
#[inline(always)]
fn asked_for(thread: Probed, asked: &Control) -> Option<Probed> {
    let head = thread.address() + u64::from(off!(task_children));
    // A child is in its maker's namespace or below it, so it has a number there.
    let number = upid_at(asked.observer_level) + off!(upid_nr);
    let mut at: u64 = Probed(head).get(PREV);
    for _ in 0..YOUNGEST {
        if at == head {
            return None;
        }
        let child = Probed(at.wrapping_sub(u64::from(off!(task_sibling))));
        if child.follow(off!(task_thread_pid)).get::<u32>(number) == asked.adopt_tgid {
            return Some(child);
        }
        at = Probed(at).get(PREV);
    }
    None
}
