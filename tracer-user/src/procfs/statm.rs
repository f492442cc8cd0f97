//! The line of `/proc/<pid>/statm`.
//!
//! Source: `proc_pid_statm(5)`; all numbers are pages. A zombie's line is all zeros, which says that
//! there is no memory map, not that it is empty. Pure.

use super::scan;

/// Memory of a process in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcStatm {
    /// Virtual size.
    pub size: u64,
    /// Resident set.
    pub resident: u64,
    /// Resident pages backed by files or shared memory.
    pub shared: u64,
}

impl ProcStatm {
    /// Parses the line; `None` when its first three numbers are not there.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let mut numbers = scan::words(line).map(scan::parse_u64);
        Some(Self {
            size: numbers.next()??,
            resident: numbers.next()??,
            shared: numbers.next()??,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_three_numbers_are_size_resident_shared() {
        assert_eq!(
            ProcStatm::parse(b"730 472 445 5 0 89 0\n"),
            Some(ProcStatm {
                size: 730,
                resident: 472,
                shared: 445
            })
        );
        assert_eq!(ProcStatm::parse(b"730 472\n"), None);
        assert_eq!(ProcStatm::parse(b"730 -1 0\n"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = ProcStatm::parse(&bytes);
        }
    }
}
