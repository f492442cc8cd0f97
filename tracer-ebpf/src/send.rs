//! Putting records into the ring, counting what went and what did not, and deciding who wakes.
//!
//! A wake-up is an interrupt and a context switch, many times the price of an event, so records go
//! quietly and the reader polls on a timer while there is work. It is woken when it blocks, when the
//! ring fills, and for what somebody waits for.

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_RB_PROD_POS},
    helpers::{bpf_get_smp_processor_id, bpf_ktime_get_boot_ns},
    maps::ring_buf::RingBufEntry,
};
use tracer_common::{
    control::Control,
    event::EventHeader,
    limits::{ACCOUNTS_PART, WAKE_AT_PART},
    loss::{RING_FULL, SENT},
};

use crate::{
    maps::{CONTROL, COUNTERS, EVENTS, RING_BYTES},
    read::{atomic_add, frozen},
};

/// What user space asks for. The one element of an array is always there; the `Option` is for the
/// verifier.
#[inline(always)]
pub(crate) fn control() -> Option<*mut Control> {
    CONTROL.get_ptr_mut(0)
}

/// Adds one to a counter of this CPU.
#[inline(always)]
pub(crate) fn count(index: u32) {
    count_by(index, 1);
}

/// Adds to a counter of this CPU.
#[inline(always)]
pub(crate) fn count_by(index: u32, value: u64) {
    if let Some(counter) = COUNTERS.get_ptr_mut(index) {
        // SAFETY: a map value. Atomic although per CPU: a preempted program of another hook may be
        // halfway through the same addition.
        unsafe { atomic_add(counter, value) };
    }
}

/// A header for a record of this kind, now.
#[inline(always)]
pub(crate) fn header(kind: u16, flags: u16) -> EventHeader {
    EventHeader {
        // SAFETY: helpers without arguments.
        t_boot_ns: unsafe { bpf_ktime_get_boot_ns() },
        kind,
        flags,
        // SAFETY: as above.
        cpu: unsafe { bpf_get_smp_processor_id() },
    }
}

/// Reserves a record, or counts its loss.
#[inline(always)]
pub(crate) fn reserve<T: 'static>(kind: u16) -> Option<RingBufEntry<T>> {
    let record = EVENTS.reserve::<T>(0);
    if record.is_none() {
        count(RING_FULL + u32::from(kind));
    }
    record
}

/// Hands over a filled record. `urgent`: somebody waits for this one.
#[inline(always)]
pub(crate) fn submit<T: 'static>(
    record: RingBufEntry<T>,
    kind: u16,
    control: *mut Control,
    urgent: bool,
) {
    let flags = wake_flags(size_of::<T>() as u64 + RECORD_HEADER, urgent);
    record.submit(flags);
    count(SENT + u32::from(kind));
    wake_if_idle(control, flags);
}

/// Reserves a record that only completes what another has said, or counts its loss. It must never take the
/// room of one that says something new.
#[inline(always)]
pub(crate) fn reserve_spare<T: 'static>(kind: u16) -> Option<RingBufEntry<T>> {
    let spare = u64::from(frozen(&RING_BYTES) / ACCOUNTS_PART);
    if EVENTS.query(u64::from(BPF_RB_AVAIL_DATA)) >= spare {
        count(RING_FULL + u32::from(kind));
        return None;
    }
    reserve(kind)
}

/// Hands over a filled record that nobody waits for: a reader that sleeps finds it with the next one. Only
/// a ring that fills up wakes it.
#[inline(always)]
pub(crate) fn submit_quietly<T: 'static>(record: RingBufEntry<T>, kind: u16) {
    record.submit(wake_flags(size_of::<T>() as u64 + RECORD_HEADER, false));
    count(SENT + u32::from(kind));
}

/// Bytes the ring puts before each record.
pub(crate) const RECORD_HEADER: u64 = 8;

/// The wake-up flag for a record that takes `len` bytes of the ring and is already in it.
#[inline(always)]
pub(crate) fn wake_flags(len: u64, urgent: bool) -> u64 {
    if urgent || crossed(len) {
        u64::from(BPF_RB_FORCE_WAKEUP)
    } else {
        u64::from(BPF_RB_NO_WAKEUP)
    }
}

/// Whether the ring is more than 1/8 full, asked once for each 1/64 that is written. Waking at every
/// record of a filling ring would cost most when there is least time.
#[inline(always)]
fn crossed(len: u64) -> bool {
    let ring = u64::from(frozen(&RING_BYTES));
    let threshold = ring / u64::from(WAKE_AT_PART);
    // Two positions lie in different steps exactly when they differ in a bit from the step's up. The
    // producers' own position is at hand; how full the ring is depends on the reader's, which is not.
    let step = threshold / 8;
    let position = EVENTS.query(u64::from(BPF_RB_PROD_POS));
    (position ^ position.wrapping_sub(len)) >= step
        && EVENTS.query(u64::from(BPF_RB_AVAIL_DATA)) >= threshold
}

/// Wakes the reader if it sleeps, once for each time it went to sleep. `flags` are those the record
/// was submitted with.
///
/// This looks only after the record is in the ring: submitting is a full barrier, so either this sees
/// that the reader has gone idle, or the reader, which looks at the ring after saying so, sees the
/// record. Looking before would leave a record unread for as long as nothing else happens.
#[inline(always)]
pub(crate) fn wake_if_idle(control: *mut Control, flags: u64) {
    // SAFETY: the one element of CONTROL; user space and other CPUs write single words of it.
    let idle = unsafe { (&raw const (*control).reader_idle).read_volatile() };
    if idle == 0 {
        return;
    }
    if flags & u64::from(BPF_RB_FORCE_WAKEUP) == 0 {
        // A wake-up needs a record to go with; readers skip discarded ones.
        match EVENTS.reserve::<u64>(0) {
            Some(record) => record.discard(u64::from(BPF_RB_FORCE_WAKEUP)),
            None => return,
        }
    }
    // SAFETY: as above.
    unsafe { (&raw mut (*control).reader_idle).write_volatile(0) };
}

/// Whether `tgid` is one of the processes somebody waits for.
#[inline(always)]
pub(crate) fn watched(control: *const Control, tgid: u32) -> bool {
    // SAFETY: the one element of CONTROL.
    unsafe {
        (&raw const (*control).watched[0]).read_volatile() == tgid
            || (&raw const (*control).watched[1]).read_volatile() == tgid
    }
}
