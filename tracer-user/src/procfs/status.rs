//! `/proc/<pid>/status`.
//!
//! Source: `proc_pid_status(5)`, fs/proc/array.c. The kernel escapes newline and backslash in the
//! `Name` line, so a comm cannot imitate another line. Lines a kernel does not print are `None`: the
//! `Vm` lines of a process without memory map (zombie, exiting, kernel thread), `NSpid` without pid
//! namespaces. Pure.

use super::{scan, stat::State};

/// The part of `status` that is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcStatus {
    /// Run state of the thread the file is of; for `/proc/<pid>/status`, the leader.
    pub state: Option<State>,
    /// Thread group, in the pid namespace of the procfs.
    pub tgid: Option<u32>,
    /// Real and effective user id.
    pub uids: Option<(u32, u32)>,
    /// How many pid namespaces see it, from the procfs's own one inwards: 1 when it is in that one.
    pub ns_levels: u32,
    /// Its number in its own, innermost pid namespace.
    pub inner_pid: Option<u32>,
    /// Peak resident set, KiB.
    pub vm_hwm_kb: Option<u64>,
    /// Resident set, KiB.
    pub vm_rss_kb: Option<u64>,
    /// Swapped out, KiB.
    pub vm_swap_kb: Option<u64>,
    /// Page tables, KiB.
    pub vm_pte_kb: Option<u64>,
    /// Threads of the process.
    pub threads: Option<u64>,
    /// Signals pending for the thread.
    pub sig_pnd: Option<u64>,
    /// Signals pending for the process: where `kill(2)` puts them.
    pub shd_pnd: Option<u64>,
    /// Blocked signals of the thread.
    pub sig_blk: Option<u64>,
    /// Caught signals of the process.
    pub sig_cgt: Option<u64>,
    /// Voluntary context switches of the thread alone.
    pub voluntary: Option<u64>,
    /// Involuntary context switches of the thread alone.
    pub involuntary: Option<u64>,
}

impl ProcStatus {
    /// Parses the file. Never fails: each line stands for itself, and a missing one is `None`.
    #[must_use]
    pub fn parse(file: &[u8]) -> Self {
        let mut status = Self::default();
        for line in file.split(|&byte| byte == b'\n') {
            let Some(colon) = line.iter().position(|&byte| byte == b':') else {
                continue;
            };
            let (key, value) = (&line[..colon], &line[colon + 1..]);
            status.take(key, value);
        }
        status
    }

    /// Signals pending for the thread or the process.
    #[must_use]
    pub fn pending(&self) -> Option<u64> {
        Some(self.sig_pnd? | self.shd_pnd?)
    }

    /// Whether this thread was in disk sleep then, and in the same one when `later` was read: what was read
    /// in between is of that sleep.
    #[must_use]
    pub fn sleeps_until(&self, later: &Self) -> bool {
        let sleeps = |status: &Self| status.state == Some(State::DiskSleep);
        let is_same = self.voluntary.is_some() && self.voluntary == later.voluntary;
        sleeps(self) && sleeps(later) && is_same
    }

    fn take(&mut self, key: &[u8], value: &[u8]) {
        match key {
            b"State" => {
                self.state = match scan::words(value).next() {
                    Some([letter]) => Some(State::from_letter(*letter)),
                    _ => None,
                }
            }
            b"Tgid" => self.tgid = first(value, scan::parse_u32),
            b"Uid" => {
                let mut ids = scan::words(value).map(scan::parse_u32);
                self.uids = match (ids.next().flatten(), ids.next().flatten()) {
                    (Some(real), Some(effective)) => Some((real, effective)),
                    _ => None,
                };
            }
            b"NSpid" => {
                for word in scan::words(value) {
                    self.ns_levels = self.ns_levels.saturating_add(1);
                    self.inner_pid = scan::parse_u32(word);
                }
            }
            b"VmHWM" => self.vm_hwm_kb = first(value, scan::parse_u64),
            b"VmRSS" => self.vm_rss_kb = first(value, scan::parse_u64),
            b"VmSwap" => self.vm_swap_kb = first(value, scan::parse_u64),
            b"VmPTE" => self.vm_pte_kb = first(value, scan::parse_u64),
            b"Threads" => self.threads = first(value, scan::parse_u64),
            b"SigPnd" => self.sig_pnd = first(value, scan::parse_hex),
            b"ShdPnd" => self.shd_pnd = first(value, scan::parse_hex),
            b"SigBlk" => self.sig_blk = first(value, scan::parse_hex),
            b"SigCgt" => self.sig_cgt = first(value, scan::parse_hex),
            b"voluntary_ctxt_switches" => self.voluntary = first(value, scan::parse_u64),
            b"nonvoluntary_ctxt_switches" => self.involuntary = first(value, scan::parse_u64),
            _ => {}
        }
    }
}

fn first<T>(value: &[u8], parse: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
    scan::words(value).next().and_then(parse)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &[u8] =
        b"Name:\tx\\nThreads:\\t99\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t14548\n\
        Ngid:\t0\nPid:\t14549\nPPid:\t1\nUid:\t1000\t1001\t0\t0\nNSpid:\t14549\t12\t2\n\
        VmHWM:\t    1888 kB\nVmRSS:\t    1880 kB\nVmPTE:\t      44 kB\nVmSwap:\t       8 kB\nThreads:\t3\nSigQ:\t1/96365\n\
        SigPnd:\t0000000000000200\nShdPnd:\t0000000000000800\nSigBlk:\tffffffffffffffff\n\
        SigIgn:\t0000000000000006\nSigCgt:\t0000000180000000\nvoluntary_ctxt_switches:\t11\n\
        nonvoluntary_ctxt_switches:\t12\n";

    #[test]
    fn each_line_is_found_by_its_key() {
        let status = ProcStatus::parse(FILE);
        assert_eq!(
            status,
            ProcStatus {
                state: Some(State::Sleeping),
                tgid: Some(14548),
                uids: Some((1000, 1001)),
                ns_levels: 3,
                inner_pid: Some(2),
                vm_hwm_kb: Some(1888),
                vm_rss_kb: Some(1880),
                vm_swap_kb: Some(8),
                vm_pte_kb: Some(44),
                threads: Some(3),
                sig_pnd: Some(0x200),
                shd_pnd: Some(0x800),
                sig_blk: Some(u64::MAX),
                sig_cgt: Some(0x1_8000_0000),
                voluntary: Some(11),
                involuntary: Some(12),
            }
        );
        assert_eq!(status.pending(), Some(0xa00));
    }

    #[test]
    fn a_sleep_is_the_same_one_as_long_as_nobody_woke() {
        let status = |state, voluntary| ProcStatus {
            state: Some(state),
            voluntary,
            ..ProcStatus::default()
        };
        let asleep = status(State::DiskSleep, Some(7));
        assert!(asleep.sleeps_until(&asleep));
        for other in [
            status(State::DiskSleep, Some(8)),
            status(State::Sleeping, Some(7)),
            status(State::DiskSleep, None),
        ] {
            assert!(!asleep.sleeps_until(&other), "{other:?}");
            assert!(!other.sleeps_until(&asleep), "{other:?}");
        }
        let unknown = status(State::DiskSleep, None);
        assert!(!unknown.sleeps_until(&unknown));
    }

    #[test]
    fn what_is_not_printed_is_unknown_not_zero() {
        let status = ProcStatus::parse(b"State:\tZ (zombie)\nSigPnd:\t0000000000000000\n");
        assert_eq!(status.state, Some(State::Zombie));
        assert_eq!((status.vm_rss_kb, status.vm_hwm_kb), (None, None));
        assert_eq!(status.pending(), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = ProcStatus::parse(&bytes);
        }

        #[test]
        fn a_cut_file_never_gives_a_longer_number(cut in 0..FILE.len()) {
            let status = ProcStatus::parse(&FILE[..cut]);
            prop_assert!(status.involuntary.is_none_or(|count| count <= 12));
            prop_assert!(status.vm_hwm_kb.is_none_or(|kb| kb <= 1888));
        }
    }
}
