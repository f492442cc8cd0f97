//! `mark_victim`: the OOM killer has chosen.
//!
//! Newer kernels, and some older ones by backport, pass the victim's task; the others only its pid.
//! Which of the two is read from BTF, and the other arm is pruned.

use aya_ebpf::{
    helpers::bpf_get_current_task, macros::btf_tracepoint, programs::BtfTracePointContext,
};
use tracer_common::event::{FLAG_OOM_FIGURES, KIND_OOM, OomEvent};

use crate::{
    maps::TRACKED,
    process::{Sight, resident, tracked_ref},
    read::{Direct, Object, Probed, comm_into, off},
    send::{control, header, reserve, submit},
};

#[btf_tracepoint(function = "mark_victim")]
fn on_oom(ctx: BtfTracePointContext) -> i32 {
    if off!(mark_victim_is_task) == 1 {
        try_task(&ctx);
    } else {
        try_pid(&ctx);
    }
    0
}

#[inline(always)]
fn try_task(ctx: &BtfTracePointContext) -> Option<()> {
    let victim = Direct(ctx.arg(0));
    let tgid: u32 = victim.get(off!(task_tgid));
    let entry = TRACKED.get_ptr_mut(tgid)?;
    let control = control()?;
    let mm = victim.probed().follow(off!(task_mm));
    let total_vm: u64 = mm.get(off!(mm_total_vm));
    let flags = if mm.address() == 0 {
        0
    } else {
        FLAG_OOM_FIGURES
    };
    let [file, anon, shmem] = resident(mm);
    let adj: i16 = victim
        .probed()
        .follow(off!(task_signal))
        .get(off!(signal_oom_score_adj));
    let tid = victim.get(off!(task_pid));

    let mut record = reserve::<OomEvent>(KIND_OOM)?;
    let event = record.as_mut_ptr();
    // SAFETY: map values; the record is ours until submitted, and every field is written.
    unsafe {
        (*event).header = header(KIND_OOM, flags);
        (*event).victim = tracked_ref(&*entry, tgid, tid);
        (*event).trigger = Sight::of(Probed(bpf_get_current_task())).named(&*control);
        comm_into(&raw mut (*event).comm, victim);
        (*event).total_vm_pages = total_vm;
        (*event).anon_rss_pages = anon;
        (*event).file_rss_pages = file;
        (*event).shmem_rss_pages = shmem;
        (*event).oom_score_adj = i32::from(adj);
        (*event).reserved = 0;
    }
    submit(record, KIND_OOM, control, true);
    Some(())
}

#[inline(always)]
fn try_pid(ctx: &BtfTracePointContext) -> Option<()> {
    // The id of a thread. A victim is found by its mm, so this is the leader unless that one has
    // already ended; then the event is not ours to place.
    let pid: u32 = ctx.arg(0);
    let entry = TRACKED.get_ptr_mut(pid)?;
    let control = control()?;
    let mut record = reserve::<OomEvent>(KIND_OOM)?;
    let event = record.as_mut_ptr();
    // SAFETY: map values; the record is ours until submitted, and every field is written.
    unsafe {
        event.write(OomEvent {
            header: header(KIND_OOM, 0),
            victim: tracked_ref(&*entry, pid, pid),
            trigger: Sight::of(Probed(bpf_get_current_task())).named(&*control),
            ..OomEvent::default()
        });
    }
    submit(record, KIND_OOM, control, true);
    Some(())
}
