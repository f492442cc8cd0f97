//! `/proc/<pid>/limits`: the limit of open descriptors.
//!
//! Source: `proc_pid_limits(5)`; one row a resource, name, soft, hard, unit. Pure.

use super::scan;

/// A value of `getrlimit(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitValue {
    /// `RLIM_INFINITY`.
    Unlimited,
    /// At most so many.
    AtMost(u64),
}

impl LimitValue {
    /// As records write it: -1 is unlimited.
    #[must_use]
    pub fn or_minus_one(self) -> i64 {
        match self {
            Self::Unlimited => -1,
            Self::AtMost(count) => i64::try_from(count).unwrap_or(i64::MAX),
        }
    }

    /// From a `rlim_t`.
    pub(crate) fn from_rlim(value: u64) -> Self {
        if value == u64::MAX {
            Self::Unlimited
        } else {
            Self::AtMost(value)
        }
    }

    fn parse(word: &[u8]) -> Option<Self> {
        if word == b"unlimited" {
            return Some(Self::Unlimited);
        }
        scan::parse_u64(word).map(Self::AtMost)
    }
}

/// Limit of one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What holds now.
    pub soft: LimitValue,
    /// How far the process may raise it itself.
    pub hard: LimitValue,
}

/// The row "Max open files"; `None` when it is missing or malformed.
#[must_use]
pub fn parse_open_files(file: &[u8]) -> Option<Limit> {
    let row = file
        .split(|&byte| byte == b'\n')
        .find_map(|line| line.strip_prefix(b"Max open files"))?;
    let mut values = scan::words(row).map(LimitValue::parse);
    Some(Limit {
        soft: values.next()??,
        hard: values.next()??,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_row_is_found_by_its_name() {
        let file =
            b"Limit                     Soft Limit           Hard Limit           Units     \n\
            Max resident set          unlimited            unlimited            bytes     \n\
            Max open files            1024                 unlimited            files     \n";
        let limit = parse_open_files(file).unwrap();
        assert_eq!(limit.soft.or_minus_one(), 1024);
        assert_eq!(limit.hard.or_minus_one(), -1);
        assert_eq!(parse_open_files(&file[..200]), None);
        assert_eq!(parse_open_files(b"Max open files  many few\n"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_open_files(&[b"Max open files", bytes.as_slice()].concat());
            let _ = parse_open_files(&bytes);
        }
    }
}
