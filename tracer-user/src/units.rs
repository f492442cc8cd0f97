//! Quantities and identities, each with its unit in its type.
//!
//! Nothing here reads a clock or a file. Where a number comes from is said where it is read.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Nanoseconds on `CLOCK_BOOTTIME`: monotonic, counting suspend, and the clock that process start
/// times are on (`time_namespaces(7)`, `task->start_boottime`).
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct BootNs(pub u64);

impl BootNs {
    /// Nanoseconds from `earlier` to `self`, 0 when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The clock ticks that `/proc/<pid>/stat` field 22 shows for a start at this time:
    /// `floor(ns * CLK_TCK / 10^9)` (fs/proc/array.c, `nsec_to_clock_t`).
    #[must_use]
    pub fn to_ticks(self, clk_tck: u64) -> Ticks {
        let ticks = u128::from(self.0) * u128::from(clk_tck) / 1_000_000_000;
        Ticks(u64::try_from(ticks).unwrap_or(u64::MAX))
    }
}

/// Clock ticks, 1/`CLK_TCK` s (`sysconf(3)`), counted from boot where it is a time.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Ticks(pub u64);

impl Ticks {
    /// Microseconds of so many ticks. Saturates.
    #[must_use]
    pub fn to_us(self, clk_tck: u64) -> u64 {
        let us = u128::from(self.0) * 1_000_000 / u128::from(clk_tck.max(1));
        u64::try_from(us).unwrap_or(u64::MAX)
    }
}

/// Thread group id: what people call a pid, in the observer's pid namespace. 0 names a process that
/// is not visible from there.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Tgid(pub u32);

impl fmt::Display for Tgid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One process on this boot: its number and its start. An exec does not change it; a reused pid does.
///
/// `init` is the tgid in the *initial* pid namespace, unique on the machine also where the observer's
/// namespace does not show the process; from `/proc` alone it is known only when the observer is in
/// the initial namespace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcKey {
    /// Thread group id in the initial pid namespace.
    pub init: u32,
    /// Start of the thread group leader.
    pub start: BootNs,
}

/// A process with all the names it has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Process {
    /// Its identity.
    pub key: ProcKey,
    /// Its pid in the observer's namespace; 0 when not visible from there.
    pub tgid: Tgid,
    /// The pid it has in its own, innermost namespace.
    pub inner: u32,
}

/// A task name of at most 15 bytes (`comm`, `proc_pid_comm(5)`), as the process chose it: any bytes
/// but NUL.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Comm {
    bytes: [u8; 15],
    len: u8,
}

impl Comm {
    /// Takes the bytes up to the first NUL, at most 15.
    #[must_use]
    pub fn from_bytes(raw: &[u8]) -> Self {
        let mut bytes = [0; 15];
        let mut len = 0_u8;
        for (slot, &byte) in bytes
            .iter_mut()
            .zip(raw.iter().take_while(|&&byte| byte != 0))
        {
            *slot = byte;
            len += 1;
        }
        Self { bytes, len }
    }

    /// The name's bytes, without NUL.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The name as text, invalid UTF-8 replaced.
    #[must_use]
    pub fn to_text(&self) -> String {
        String::from_utf8_lossy(self.as_bytes()).into_owned()
    }
}

impl fmt::Debug for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_text())
    }
}

impl fmt::Display for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_times_round_down_to_ticks_as_the_kernel_does() {
        assert_eq!(BootNs(19_999_999).to_ticks(100), Ticks(1));
        assert_eq!(BootNs(u64::MAX).to_ticks(100), Ticks(1_844_674_407_370));
    }

    #[test]
    fn a_comm_stops_at_nul_and_at_fifteen_bytes() {
        assert_eq!(Comm::from_bytes(b"sh\0garbage").as_bytes(), b"sh");
        assert_eq!(
            Comm::from_bytes(b"0123456789abcdefgh").as_bytes(),
            b"0123456789abcde"
        );
    }
}
