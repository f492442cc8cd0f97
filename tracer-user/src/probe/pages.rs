//! Memory that the kernel shares with this process: mapped as long as the owner lives.

use std::{io, os::fd::BorrowedFd, ptr::NonNull};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A mapping.
#[derive(Debug)]
pub(super) struct Pages {
    at: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread. What the kernel changes meanwhile is only
// read through atomics, or after an atomic read has said that it is final.
unsafe impl Send for Pages {}

impl Pages {
    /// Maps part of what is behind a descriptor.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn map(
        fd: BorrowedFd<'_>,
        offset: usize,
        len: usize,
        access: ProtFlags,
        flags: MapFlags,
    ) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice.
        let at = unsafe { mmap(std::ptr::null_mut(), len, access, flags, fd, offset as u64) }?;
        let at = NonNull::new(at.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { at, len })
    }

    /// Where it begins; it is valid as long as `self`.
    pub(super) fn start(&self) -> *mut u8 {
        self.at.as_ptr()
    }

    /// Its length.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: mapped by `Pages::map` with this length; nothing borrowed from it outlives `self`.
        // Nothing can be done about a failure, and there is none for a valid mapping.
        let _ = unsafe { munmap(self.at.as_ptr().cast(), self.len) };
    }
}
