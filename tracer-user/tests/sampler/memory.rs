//! Kinds of memory: each counts, or does not, as the kernel says.

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mlock, mmap, mmap_anonymous};

use crate::{kinds::resting, roles::ready_then_rest};

const SIZE: usize = 16 << 20;
const SIZE_KB: u64 = (SIZE >> 10) as u64;

/// Parts that differ in the memory they hold.
pub(crate) fn play(name: &str, _argument: &str) -> bool {
    match name {
        "locked" => {
            let at = map(MapFlags::PRIVATE);
            // SAFETY: our own mapping, which nothing else uses; locking changes no byte of it.
            unsafe { mlock(at, SIZE).unwrap() };
        }
        "shared" => touch(map(MapFlags::SHARED)),
        "huge" => {
            let at = map(MapFlags::PRIVATE);
            // SAFETY: our own mapping; the advice changes no byte of it.
            let advised = unsafe { madvise(at, SIZE, Advice::LinuxHugepage) };
            // A kernel built without huge pages.
            assert!(matches!(advised, Ok(()) | Err(rustix::io::Errno::INVAL)));
            touch(at);
        }
        "dropped" => {
            let at = map(MapFlags::PRIVATE);
            touch(at);
            // SAFETY: our own mapping, whose bytes nobody reads again.
            unsafe { madvise(at, SIZE, Advice::LinuxDontNeed).unwrap() };
        }
        "reserved" => {
            let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
            // SAFETY: a new mapping at a place that the kernel chooses.
            unsafe {
                mmap_anonymous(std::ptr::null_mut(), 1 << 40, ProtFlags::empty(), flags).unwrap();
            }
        }
        "mapped-file" => {
            let mut file = tempfile::tempfile().unwrap();
            std::io::Write::write_all(&mut file, &vec![7; SIZE]).unwrap();
            // SAFETY: a new mapping at a place that the kernel chooses, of a file that stays this long.
            let at = unsafe {
                mmap(
                    std::ptr::null_mut(),
                    SIZE,
                    ProtFlags::READ,
                    MapFlags::SHARED | MapFlags::POPULATE,
                    &file,
                    0,
                )
            };
            assert!(!at.unwrap().is_null());
        }
        _ => return false,
    }
    ready_then_rest("");
    true
}

fn map(flags: MapFlags) -> *mut std::ffi::c_void {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping at a place that the kernel chooses.
    unsafe { mmap_anonymous(std::ptr::null_mut(), SIZE, access, flags).unwrap() }
}

fn touch(at: *mut std::ffi::c_void) {
    // SAFETY: a mapping of `SIZE` writable bytes.
    unsafe { at.cast::<u8>().write_bytes(1, SIZE) };
}

#[test]
fn memory_that_is_locked_is_resident_untouched() {
    let (fixture, row) = resting("locked");
    assert!(row.vm_rss_kb.unwrap() >= SIZE_KB);
    fixture.finish();
}

#[test]
fn memory_that_is_shared_counts() {
    let (fixture, row) = resting("shared");
    assert!(row.vm_rss_kb.unwrap() >= SIZE_KB);
    fixture.finish();
}

#[test]
fn memory_of_huge_pages_counts() {
    let (fixture, row) = resting("huge");
    assert!(row.vm_rss_kb.unwrap() >= SIZE_KB);
    fixture.finish();
}

#[test]
fn memory_that_is_mapped_but_was_dropped_counts_in_the_peak_alone() {
    let (fixture, row) = resting("dropped");
    assert!(row.vm_hwm_kb.unwrap() >= row.vm_rss_kb.unwrap() + SIZE_KB / 2);
    fixture.finish();
}

#[test]
fn addresses_that_are_only_reserved_do_not_count() {
    let (fixture, row) = resting("reserved");
    assert!(row.vm_rss_kb.unwrap() < 1 << 20);
    fixture.finish();
}

#[test]
fn pages_of_a_mapped_file_count() {
    let (fixture, row) = resting("mapped-file");
    assert!(row.vm_rss_kb.unwrap() >= SIZE_KB);
    fixture.finish();
}
