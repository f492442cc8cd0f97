//! All processes that a procfs shows.
//!
//! Source: `proc_pid_readdir` in fs/proc/base.c. Each entry comes with the number of its inode, which the
//! kernel makes anew for another process: an entry with the number of an earlier listing is the same
//! process, as a rule. Whoever needs to be sure reads its start time.

use std::os::fd::AsFd;

use rustix::fs::RawDir;

use super::{ProcRoot, ReadEnd, read, scan};
use crate::units::Tgid;

/// Room for about 600 entries a call.
const BATCH_BYTES: usize = 32 << 10;

/// An entry of the listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its pid.
    pub tgid: Tgid,
    /// The number of its directory's inode.
    pub ino: u64,
}

impl ProcRoot {
    /// Replaces `entries` by all processes, in the order of the kernel: by pid.
    ///
    /// # Errors
    /// [`ReadEnd`]; half a listing is none.
    pub fn list(&self, entries: &mut Vec<Entry>) -> Result<(), ReadEnd> {
        entries.clear();
        let failed = |errno| ReadEnd::failed(self.path().to_owned(), errno);
        let listed = read::open_dir(Some(self.fd()), c".").map_err(failed)?;
        let mut space = Vec::with_capacity(BATCH_BYTES);
        let mut names = RawDir::new(listed.as_fd(), space.spare_capacity_mut());
        while let Some(entry) = names.next() {
            let entry = entry.map_err(failed)?;
            if let Some(pid) = scan::parse_u32(entry.file_name().to_bytes()) {
                entries.push(Entry {
                    tgid: Tgid(pid),
                    ino: entry.ino(),
                });
            }
        }
        Ok(())
    }

    /// When the machine was booted, by its wall clock now: seconds since the epoch. `None` where the
    /// kernel does not say.
    #[must_use]
    pub fn boot_time_s(&self) -> Option<u64> {
        let stat = self.text(c"stat")?;
        let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
        line.trim().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_has_us_and_says_the_same_of_us_again() {
        let proc = ProcRoot::open("/proc").unwrap();
        let own = Tgid(std::process::id());
        let mut entries = Vec::new();
        let mut find = || {
            proc.list(&mut entries).unwrap();
            entries.iter().copied().find(|entry| entry.tgid == own)
        };
        let first = find().unwrap();
        assert_eq!(find(), Some(first));
    }

    #[test]
    fn the_boot_was_before_now() {
        let proc = ProcRoot::open("/proc").unwrap();
        let now = crate::procfs::host::read_wall_us() / 1_000_000;
        assert!(proc.boot_time_s().unwrap() <= now.unsigned_abs());
    }
}
