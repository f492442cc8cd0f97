//! The pages of a ring buffer, mapped, with reading and giving room back as two steps.
//!
//! Layout and protocol: `kernel/bpf/ringbuf.c`. One page holds the consumer's position, which is ours to
//! write; behind it, read-only, one page with the producer's position and the data, mapped twice in a
//! row so that no record is ever cut. A record has a header of eight bytes whose first word is its
//! length, with one bit while it is being written and one when it was given up.
//!
//! aya's own reader gives a record's room back as soon as it was looked at. Here a record stays in the
//! ring until [`RingMap::release`]: the consumer's position is in the ring's own page and outlives the
//! observer, so what was read and is not yet safe elsewhere is still there for who comes after.

use std::{
    io,
    num::NonZeroUsize,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    ptr::NonNull,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
};

use aya::maps::{Map, MapData};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// `BPF_RINGBUF_BUSY_BIT`: the record is being written.
const BUSY: u32 = 1 << 31;
/// `BPF_RINGBUF_DISCARD_BIT`: the record was given up and says nothing.
const DISCARDED: u32 = 1 << 30;
/// `BPF_RINGBUF_HDR_SZ`.
const HEADER: usize = 8;

/// A mapping of the ring's pages.
#[derive(Debug)]
struct Pages {
    at: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread. What the kernel changes meanwhile is only
// read through atomics, or after an atomic read has said that it is final.
unsafe impl Send for Pages {}

impl Pages {
    fn map(fd: BorrowedFd<'_>, offset: usize, len: usize, access: ProtFlags) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice.
        let at = unsafe {
            mmap(
                std::ptr::null_mut(),
                len,
                access,
                MapFlags::SHARED,
                fd,
                offset as u64,
            )
        }?;
        let at = NonNull::new(at.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { at, len })
    }

    /// The position at the beginning of the mapping.
    fn position(&self) -> &AtomicUsize {
        // SAFETY: the mapping is page-aligned, longer than a word, and lives as long as `self`; the
        // kernel reads and writes this word as a whole.
        unsafe { AtomicUsize::from_ptr(self.at.as_ptr().cast()) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: mapped by `Pages::map` with this length; nothing borrowed from it outlives `self`.
        // Nothing can be done about a failure, and there is none for a valid mapping.
        let _ = unsafe { munmap(self.at.as_ptr().cast(), self.len) };
    }
}

/// A ring buffer and how far it has been read.
#[derive(Debug)]
pub struct RingMap {
    map: MapData,
    consumer: Pages,
    producer: Pages,
    page: usize,
    /// Bytes of data: a power of two.
    size: NonZeroUsize,
    read: usize,
}

impl AsFd for RingMap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.fd().as_fd()
    }
}

impl AsRawFd for RingMap {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl RingMap {
    /// Maps a ring buffer. Reading goes on where its consumer's position is.
    ///
    /// # Errors
    /// When `map` is no ring buffer, or cannot be mapped.
    pub(super) fn new(map: Map) -> io::Result<Self> {
        let Map::RingBuf(map) = map else {
            return Err(io::Error::other("this map is no ring buffer"));
        };
        let info = map.info().map_err(io::Error::other)?;
        let size = usize::try_from(info.max_entries()).map_err(io::Error::other)?;
        let size = NonZeroUsize::new(size)
            .filter(|size| size.is_power_of_two())
            .ok_or_else(|| io::Error::other("this ring buffer has no size"))?;
        let page = rustix::param::page_size();
        let fd = map.fd().as_fd();
        let consumer = Pages::map(fd, 0, page, ProtFlags::READ | ProtFlags::WRITE)?;
        let producer = Pages::map(fd, page, page + 2 * size.get(), ProtFlags::READ)?;
        let read = consumer.position().load(Ordering::Acquire);
        Ok(Self {
            map,
            consumer,
            producer,
            page,
            size,
            read,
        })
    }

    /// The oldest record that was not read yet and is complete. Its room stays taken.
    pub fn read_next(&mut self) -> Option<&[u8]> {
        // Everything below this position has a header; release and acquire pair up with the kernel's
        // `smp_store_release` of it.
        let end = self.producer.position().load(Ordering::Acquire);
        while self.read != end {
            let offset = self.read & (self.size.get() - 1);
            let header = self.header(offset).load(Ordering::Acquire);
            if header & BUSY != 0 {
                return None;
            }
            let len = (header & !DISCARDED) as usize;
            // A record is smaller than the ring, or it would not be in it: what says otherwise is not
            // a ring that the kernel has written, and nothing behind it can be found.
            if len > self.size.get() - HEADER {
                return None;
            }
            self.read = self
                .read
                .wrapping_add((HEADER + len).next_multiple_of(HEADER));
            if header & DISCARDED == 0 {
                return Some(self.data(offset + HEADER, len));
            }
        }
        None
    }

    /// How far it has been read: a number of bytes since the ring was made.
    #[must_use]
    pub fn position(&self) -> usize {
        self.read
    }

    /// Bytes that were read and are still in the ring.
    #[must_use]
    pub fn kept(&self) -> usize {
        let released = self.consumer.position().load(Ordering::Relaxed);
        self.read.wrapping_sub(released)
    }

    /// Bytes that fit.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size.get()
    }

    /// Gives the room of everything before `position` back; `position` is one that
    /// [`Self::position`] gave.
    pub fn release(&mut self, position: usize) {
        // Going back would hand out room that the kernel has filled anew; going past what was read
        // would lose it.
        if self.read.wrapping_sub(position) < self.kept() {
            // The kernel reuses the room from here on: all reading of it must have happened.
            self.consumer.position().store(position, Ordering::Release);
        }
    }

    /// Whether the ring holds anything that was not read, complete or not.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        self.producer.position().load(Ordering::Acquire) != self.read
    }

    /// How far the kernel has come: what it begins now lies behind this place.
    #[must_use]
    pub fn end(&self) -> usize {
        self.producer.position().load(Ordering::Acquire)
    }

    /// Whether it has been read as far as `end`, which [`Self::end`] gave.
    #[must_use]
    pub fn is_read_to(&self, end: usize) -> bool {
        // The positions run on through the whole range of the type, and are less than a ring apart.
        self.read.wrapping_sub(end) <= self.size.get()
    }

    /// The first word of a record's header.
    fn header(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: `offset` is below the size and a multiple of eight, and two sizes of data lie behind
        // the first page of the mapping. The kernel writes this word atomically.
        unsafe { AtomicU32::from_ptr(self.producer.at.as_ptr().add(self.page + offset).cast()) }
    }

    /// The bytes of a record.
    fn data(&self, offset: usize, len: usize) -> &[u8] {
        // SAFETY: offset and length are each at most the size, of which two lie behind the first page.
        // A record that is not busy does not change until its room is given back, which needs
        // `&mut self`.
        unsafe {
            std::slice::from_raw_parts(self.producer.at.as_ptr().add(self.page + offset), len)
        }
    }
}
