//! A stack for the fatal signals' handler, large enough for this processor.
//!
//! Rust's runtime gives every thread an alternate stack of `max(SIGSTKSZ, AT_MINSIGSTKSZ)` bytes.
//! Where the registers of a thread are large (AMX: `AT_MINSIGSTKSZ` is 11,952) that is what the kernel
//! pushes and nothing besides: any handler that calls a function overflows it, and the process dies of
//! another signal than the one it got. This one is as much larger as a handler needs (`sigaltstack(2)`,
//! `getauxval(3)`).

use std::{io, marker::PhantomData, ptr};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

/// What a handler may use beyond what the kernel pushes.
const ROOM: usize = 64 << 10;
/// Below the stack: whoever grows beyond it must not write into something else.
const GUARD: usize = 4096;

/// This thread's alternate stack. Dropped, the thread has the one before again.
#[derive(Debug)]
pub struct SignalStack {
    base: *mut libc::c_void,
    length: usize,
    before: libc::stack_t,
    /// It belongs to the thread that made it.
    _thread: PhantomData<*const ()>,
}

impl SignalStack {
    /// Gives this thread a stack that is large enough.
    ///
    /// # Errors
    /// What the system says: no memory.
    pub fn for_this_thread() -> io::Result<Self> {
        // SAFETY: reads a value that the kernel gave this process at its start.
        let least = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) };
        let least = usize::try_from(least).unwrap_or(0).max(libc::SIGSTKSZ);
        let length = (GUARD + least + ROOM).next_multiple_of(GUARD);
        // SAFETY: a new mapping at a place of the kernel's choice.
        let base = unsafe {
            mmap_anonymous(
                ptr::null_mut(),
                length,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }?;
        let mut stack = Self {
            base,
            length,
            before: no_stack(),
            _thread: PhantomData,
        };
        // SAFETY: the first page of our own mapping, which nobody uses yet.
        unsafe { mprotect(base, GUARD, MprotectFlags::empty()) }?;
        let new = libc::stack_t {
            ss_sp: base.wrapping_byte_add(GUARD),
            ss_flags: 0,
            ss_size: length - GUARD,
        };
        // SAFETY: `new` is memory of ours that stays until the thread has another stack, and `before`
        // is a valid place.
        if unsafe { libc::sigaltstack(&raw const new, &raw mut stack.before) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(stack)
    }

    /// Keeps it until the process ends: for the main thread, which has no end of its own.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        // SAFETY: none, or the runtime's, which lasts as long as its thread.
        let left = unsafe { libc::sigaltstack(&raw const self.before, ptr::null_mut()) };
        if left == 0 {
            // SAFETY: our own mapping. No handler of this thread runs on it: this is not one.
            let _unmapped = unsafe { munmap(self.base, self.length) };
        }
    }
}

fn no_stack() -> libc::stack_t {
    libc::stack_t {
        ss_sp: ptr::null_mut(),
        ss_flags: libc::SS_DISABLE,
        ss_size: 0,
    }
}
