//! Memory of a process, as `task_mem` of fs/proc/task_mmu.c and `oom_badness` of mm/oom_kill.c take it.
//!
//! Since Linux 6.2 each resident counter has a share on every processor, and the counter itself is
//! behind by up to some tens of pages a processor. `/proc` adds the shares up, and so does this: a
//! per-CPU pointer becomes an address by an offset of each processor, which is found out once, from a
//! per-CPU map of our own whose pointer and addresses are both known.

use aya_ebpf::helpers::{bpf_map_lookup_percpu_elem, generated::bpf_probe_read_kernel};
use tracer_common::snapshot::{CPUS_MAX, ProcessRow};

use super::{has, place};
use crate::{
    maps::{COUNTERS, CPUS, Cpus},
    read::{Direct, Object, Probed, off, together},
};

/// The counters of `mm_struct.rss_stat`: file, anonymous, swap, shared memory.
const KINDS: u32 = 4;

/// Writes the memory of the task's process.
///
/// # Safety
/// `row` is in the map value.
#[inline(always)]
pub(super) unsafe fn write(row: *mut ProcessRow, leader: Direct) {
    let mm = Probed(leader.get(off!(task_mm)));
    let mut counted = [0_i64; KINDS as usize];
    for kind in 0..KINDS {
        counted[kind as usize] = mm.get(off!(mm_rss_stat) + kind * off!(mm_rss_stride));
    }
    let oom_pages =
        positive(counted[0]) + positive(counted[1]) + positive(counted[2]) + positive(counted[3]);
    if has(place!(mm_rss_counters)) {
        add_shares(&mut counted, mm);
    }
    let parent = leader.probed().follow(off!(task_real_parent));
    let waits = leader.get::<u64>(place!(task_vfork_done)) != 0;
    // SAFETY: the caller's promise.
    unsafe {
        (*row).has_mm = u32::from(mm.address() != 0);
        (*row).rss_pages = positive(counted[0]) + positive(counted[1]) + positive(counted[3]);
        (*row).oom_pages = oom_pages;
        (*row).hiwater_pages = mm.get(off!(mm_hiwater_rss));
        (*row).page_tables = mm.get(place!(mm_pgtables_bytes));
        (*row).mm_flags = mm.get(place!(mm_flags));
        (*row).in_vfork = u32::from(waits && parent.get::<u64>(off!(task_mm)) == mm.address());
    }
}

/// At least 0, without a branch: shares that are not added up yet can make a counter negative.
#[inline(always)]
fn positive(pages: i64) -> u64 {
    (pages & !(pages >> 63)) as u64
}

/// Adds what each processor has of the counters. Their shares lie side by side, one allocation for all.
#[inline(always)]
fn add_shares(counted: &mut [i64; KINDS as usize], mm: Probed) {
    let Some(cpus) = CPUS.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: a map value.
    if unsafe { (*cpus).count } == 0 {
        // SAFETY: as above.
        unsafe { find_cpus(cpus) };
    }
    let shares: u64 = mm.get(place!(mm_rss_counters));
    for cpu in 0..CPUS_MAX {
        // SAFETY: a map value, and integers only.
        let share: [i32; KINDS as usize] = unsafe {
            if cpu as u64 >= (&raw const (*cpus).count).read_volatile() {
                break;
            }
            let at = shares.wrapping_add((&raw const (*cpus).offset[cpu]).read_volatile());
            together(Probed(at), 0)
        };
        for kind in 0..KINDS as usize {
            counted[kind] += i64::from(share[kind]);
        }
    }
}

/// Finds the offset of each processor: the address that our own map's element has there, less the pointer
/// that the map keeps.
///
/// # Safety
/// `cpus` is the map value.
#[inline(always)]
unsafe fn find_cpus(cpus: *mut Cpus) {
    let map = (&raw const COUNTERS).cast_mut().cast();
    // SAFETY: reads what the kernel keeps; the addresses are only computed with.
    let pointer: u64 = unsafe { Probed(as_number(map)).get(place!(array_pptrs)) };
    let mut count = 0;
    for cpu in 0..CPUS_MAX {
        let key = 0_u32;
        // SAFETY: a map and a key of its size; null behind the last processor.
        let element =
            unsafe { bpf_map_lookup_percpu_elem(map, (&raw const key).cast(), cpu as u32) };
        if element.is_null() {
            break;
        }
        // SAFETY: the caller's promise, and as above.
        unsafe {
            (*cpus).offset[cpu] = as_number(element).wrapping_sub(pointer);
        }
        count = cpu as u64 + 1;
    }
    // SAFETY: the caller's promise.
    unsafe { (&raw mut (*cpus).count).write_volatile(count) };
}

/// A pointer as a number to compute with, which the verifier forbids with pointers: written down, and
/// read back as bytes.
///
/// # Safety
/// None; the number is just a number.
#[inline(always)]
unsafe fn as_number(pointer: *mut core::ffi::c_void) -> u64 {
    let (kept, mut number) = (pointer, 0_u64);
    // SAFETY: both are on our stack and of this size.
    unsafe {
        bpf_probe_read_kernel((&raw mut number).cast(), 8, (&raw const kept).cast());
    }
    number
}
