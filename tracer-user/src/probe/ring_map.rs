//! The pages of a ring buffer, mapped, with reading and giving room back as two steps.
//!
//! Layout and protocol: `kernel/bpf/ringbuf.c`. One page holds the consumer's position, which is ours to
//! write; behind it, read-only, one page with the producer's position and the data, which the kernel lays
//! out twice in a row so that no record is ever cut. Mapped pages count as memory of this process, so of
//! the data only a window is mapped, which moves along with the reading. A record has a header of eight bytes whose first word is its
//! length, with one bit while it is being written and one when it was given up.
//!
//! aya's own reader gives a record's room back as soon as it was looked at. Here a record stays in the
//! ring until [`RingMap::release`]: the consumer's position is in the ring's own page and outlives the
//! observer, so what was read and is not yet safe elsewhere is still there for who comes after.

use std::{
    io,
    num::NonZeroUsize,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
};

use aya::maps::{Map, MapData};
use rustix::mm::{MapFlags, ProtFlags};
use tracer_common::{
    event::ExecEvent,
    limits::{ARGV_MAX, FILENAME_MAX},
};

use super::pages::Pages;

/// `BPF_RINGBUF_BUSY_BIT`: the record is being written.
const BUSY: u32 = 1 << 31;
/// `BPF_RINGBUF_DISCARD_BIT`: the record was given up and says nothing.
const DISCARDED: u32 = 1 << 30;
const SHARED: MapFlags = MapFlags::SHARED;
/// `BPF_RINGBUF_HDR_SZ`.
const HEADER: usize = 8;
/// Most bytes of data that are mapped, apart from the last record's. Moving on takes a
/// system call or two, and comes after a thousand processes.
const WINDOW: usize = 1 << 20;
/// No record of the kernel side is longer, its header included.
const RECORD_MAX: usize = 16 << 10;
// The longest are those of an exec.
const _: () = assert!(HEADER + size_of::<ExecEvent>() + FILENAME_MAX + ARGV_MAX <= RECORD_MAX);

/// The position at the beginning of a mapping.
fn position_in(pages: &Pages) -> &AtomicUsize {
    // SAFETY: the mapping is page-aligned, longer than a word, and lives as long as `pages`; the kernel
    // reads and writes this word as a whole.
    unsafe { AtomicUsize::from_ptr(pages.start().cast()) }
}

/// Bytes from a record's header on that can be its own.
fn longest(size: NonZeroUsize) -> usize {
    RECORD_MAX.min(size.get())
}

/// The part of the data that is mapped.
#[derive(Debug)]
struct Window {
    pages: Pages,
    /// Where in the data it begins; in the first of the two times that they lie in a row.
    start: usize,
    /// Bytes from a record's header on that it must hold.
    longest: usize,
}

impl Window {
    /// Maps what lies from `offset` on: all of a small ring.
    fn map(fd: BorrowedFd<'_>, size: NonZeroUsize, offset: usize) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let longest = longest(size);
        let (start, len) = if size.get() <= WINDOW {
            (0, size.get())
        } else {
            (offset & !(page - 1), WINDOW)
        };
        // Never beyond the second time: a window is at most half of a ring that is larger than one.
        let len = len + longest.next_multiple_of(page);
        let pages = Pages::map(fd, 2 * page + start, len, ProtFlags::READ, SHARED)?;
        Ok(Self {
            pages,
            start,
            longest,
        })
    }

    /// Whether it holds a record whose header is there, however long that is.
    fn holds_record(&self, offset: usize) -> bool {
        offset >= self.start && offset + self.longest <= self.start + self.pages.len()
    }

    /// The first word of a record's header.
    fn header(&self, offset: usize) -> &AtomicU32 {
        assert!(self.holds_record(offset), "the window was moved there");
        // SAFETY: within the mapping, and a multiple of eight like all of the kernel's positions: the
        // start is one of a page. The kernel writes this word atomically.
        unsafe { AtomicU32::from_ptr(self.pages.start().add(offset - self.start).cast()) }
    }

    /// The bytes of a record.
    fn data(&self, offset: usize, len: usize) -> &[u8] {
        let at = offset - self.start;
        assert!(at + len <= self.pages.len(), "no record is longer");
        // SAFETY: within the mapping. A record that is not busy does not change until its room is given
        // back, which needs `&mut` of the ring that this window is part of.
        unsafe { std::slice::from_raw_parts(self.pages.start().add(at), len) }
    }
}

/// A ring buffer and how far it has been read.
#[derive(Debug)]
pub struct RingMap {
    map: MapData,
    consumer: Pages,
    producer: Pages,
    window: Window,
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
        let consumer = Pages::map(fd, 0, page, ProtFlags::READ | ProtFlags::WRITE, SHARED)?;
        let producer = Pages::map(fd, page, page, ProtFlags::READ, SHARED)?;
        let read = position_in(&consumer).load(Ordering::Acquire);
        let window = Window::map(fd, size, read & (size.get() - 1))?;
        Ok(Self {
            map,
            consumer,
            producer,
            window,
            size,
            read,
        })
    }

    /// The oldest record that was not read yet and is complete. Its room stays taken.
    pub fn read_next(&mut self) -> Option<&[u8]> {
        // Everything below this position has a header; release and acquire pair up with the kernel's
        // `smp_store_release` of it.
        let end = position_in(&self.producer).load(Ordering::Acquire);
        while self.read != end {
            let offset = self.read & (self.size.get() - 1);
            if !self.window.holds_record(offset) {
                // Nothing is lost: what cannot be mapped now is still there at the next look, and what the
                // ring has no room for meanwhile is counted.
                self.window = Window::map(self.map.fd().as_fd(), self.size, offset).ok()?;
            }
            let header = self.window.header(offset).load(Ordering::Acquire);
            if header & BUSY != 0 {
                return None;
            }
            let len = (header & !DISCARDED) as usize;
            // A record is smaller than the ring, or it would not be in it, and than any of ours: what says
            // otherwise is not a ring that the kernel side has written, and nothing behind it can be found.
            if HEADER + len > longest(self.size) {
                return None;
            }
            self.read = self
                .read
                .wrapping_add((HEADER + len).next_multiple_of(HEADER));
            if header & DISCARDED == 0 {
                return Some(self.window.data(offset + HEADER, len));
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
        let released = position_in(&self.consumer).load(Ordering::Relaxed);
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
            position_in(&self.consumer).store(position, Ordering::Release);
        }
    }

    /// Whether the ring holds anything that was not read, complete or not.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        position_in(&self.producer).load(Ordering::Acquire) != self.read
    }

    /// How far the kernel has come: what it begins now lies behind this place.
    #[must_use]
    pub fn end(&self) -> usize {
        position_in(&self.producer).load(Ordering::Acquire)
    }

    /// Whether it has been read as far as `end`, which [`Self::end`] gave.
    #[must_use]
    pub fn is_read_to(&self, end: usize) -> bool {
        // The positions run on through the whole range of the type, and are less than a ring apart.
        self.read.wrapping_sub(end) <= self.size.get()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    /// A file laid out as a ring: two pages of positions, and twice the same data, each word of which says
    /// where it is.
    fn ring(size: usize) -> std::fs::File {
        let page = rustix::param::page_size();
        let file = tempfile::tempfile().expect("a file");
        let words = (0..size / 8).flat_map(|n| (n as u64 * 8).to_ne_bytes());
        let data: Vec<u8> = words.collect();
        for time in 0..2 {
            let at = (2 * page + time * size) as u64;
            file.write_all_at(&data, at).expect("written");
        }
        file
    }

    #[test]
    fn a_window_is_within_the_ring_and_holds_the_record_it_was_moved_for_and_those_behind() {
        let page = rustix::param::page_size();
        for size in [page, WINDOW / 2, WINDOW, 2 * WINDOW, 8 * WINDOW] {
            let file = ring(size);
            let size = NonZeroUsize::new(size).expect("not empty");
            let longest = longest(size);
            let edges = [0, 8, page - 8, page, size.get() / 2, size.get() / 2 + 8];
            let ends = [8, page, longest, longest + 8].map(|left| size.get().saturating_sub(left));
            for offset in edges.into_iter().chain(ends).filter(|at| *at < size.get()) {
                let window = Window::map(file.as_fd(), size, offset).expect("mapped");
                let case = format!("{offset} of {size}");
                let end = window.start + window.pages.len();
                assert!(end <= 2 * size.get(), "{case}: ends at {end}");
                assert_eq!(window.start % page, 0, "{case}");
                // What is mapped and was read is memory of the observer.
                let most = size.get().min(WINDOW) + longest.next_multiple_of(page);
                assert_eq!(window.pages.len(), most, "{case}");
                assert!(window.holds_record(offset), "{case}");
                let expected = |at: usize| (at % size.get()) as u64;
                let word = |at: usize| {
                    let bytes = window.data(at, 8).try_into().expect("a word");
                    u64::from_ne_bytes(bytes)
                };
                assert_eq!(word(offset), expected(offset), "{case}");
                let last = offset + longest - 8;
                assert_eq!(word(last), expected(last), "{case}: its end");
                let low = window.header(offset).load(Ordering::Relaxed);
                assert_eq!(u64::from(low), expected(offset), "{case}: its header");
                // As far as it goes, and no further.
                assert!(window.holds_record(end - longest), "{case}");
                assert!(!window.holds_record(end - longest + 8), "{case}");
                let before = window.start.checked_sub(8);
                assert!(before.is_none_or(|at| !window.holds_record(at)), "{case}");
                if size.get() > WINDOW {
                    assert!(window.holds_record(window.start + WINDOW), "{case}");
                }
            }
        }
    }
}
