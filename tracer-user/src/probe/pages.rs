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

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsFd as _};

    use super::*;

    /// Mappings of this file, in order, as the kernel lists them: address and offset.
    fn mappings(name: &str) -> Vec<(usize, usize)> {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("a list");
        let ours = maps.lines().filter(|line| line.contains(name));
        let hex = |text: &str| usize::from_str_radix(text, 16).expect("a number");
        ours.map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (start, end) = words[0].split_once('-').expect("a range");
            assert_eq!(words[1], "r--s", "{line}");
            (hex(end) - hex(start), hex(words[2]))
        })
        .collect()
    }

    #[test]
    fn a_mapping_is_where_it_was_asked_for_and_goes_with_its_owner() {
        let page = rustix::param::page_size();
        let made = tempfile::NamedTempFile::new().expect("a file");
        let name = made.path().to_str().expect("a plain name");
        made.as_file().set_len(8 * page as u64).expect("room");
        let file = File::open(name).expect("there");
        let map =
            |offset, len| Pages::map(file.as_fd(), offset, len, ProtFlags::READ, MapFlags::SHARED);
        let (two, odd) = (map(page, 2 * page), map(5 * page, page + 1));
        let (two, odd) = (two.expect("mapped"), odd.expect("mapped"));
        assert_eq!((two.len(), odd.len()), (2 * page, page + 1));
        let mut there = mappings(name);
        there.sort_unstable();
        assert_eq!(there, [(2 * page, page), (2 * page, 5 * page)]);
        // All pages of it go, the last one too, which is not full.
        drop(odd);
        assert_eq!(mappings(name), [(2 * page, page)]);
        drop(two);
        assert_eq!(mappings(name), []);
    }

    #[test]
    fn what_cannot_be_mapped_is_an_error() {
        let pipe = std::io::pipe().expect("a pipe");
        let refused = Pages::map(pipe.0.as_fd(), 0, 1, ProtFlags::READ, MapFlags::SHARED);
        assert!(refused.is_err());
    }
}
