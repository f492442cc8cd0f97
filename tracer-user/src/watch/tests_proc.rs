//! A `/proc` that tests make: as many processes as they like, as old as they like.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use crate::procfs::ProcRoot;

/// Clock ticks a second, as on every machine that tests run on.
pub(super) const CLK: u64 = 100;

/// Makes nothing unreadable.
pub(super) fn nothing(_: &mut [Vec<u8>]) -> u32 {
    0
}

/// A directory that passes for a procfs.
pub(super) struct Fake {
    folder: tempfile::TempDir,
}

impl Fake {
    pub(super) fn new() -> Self {
        let fake = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let own = std::process::id();
        symlink(own.to_string(), fake.path("self")).unwrap();
        fake.process(own, 1, "test", b"test\0pytest\0");
        fs::create_dir_all(fake.path("sys/kernel/random")).unwrap();
        fs::write(fake.path("sys/kernel/random/boot_id"), "an-id\n").unwrap();
        fs::write(fake.path("stat"), "cpu 1 2 3\nbtime 1700000000\n").unwrap();
        fake
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn process(&self, pid: u32, start: u64, comm: &str, cmdline: &[u8]) {
        let dir = self.path(&pid.to_string());
        fs::create_dir_all(&dir).unwrap();
        self.used(pid, start, comm, 0);
        fs::write(dir.join("cmdline"), cmdline).unwrap();
        let about =
            format!("Name:\t{comm}\nTgid:\t{pid}\nUid:\t1000\t1000\t1000\t1000\nNSpid:\t{pid}\n");
        fs::write(dir.join("status"), about).unwrap();
    }

    pub(super) fn used(&self, pid: u32, start: u64, comm: &str, utime: u64) {
        let line = format!(
            "{pid} ({comm}) S 1 {pid} {pid} 0 -1 4194560 0 0 0 0 {utime} 0 0 0 20 0 1 0 {start} 0 0 0\n"
        );
        fs::write(self.path(&format!("{pid}/stat")), line).unwrap();
    }

    /// It has ended, and nobody has waited for it.
    pub(super) fn ended(&self, pid: u32, start: u64, comm: &str) {
        self.process(pid, start, comm, b"");
        let file = self.path(&format!("{pid}/stat"));
        let line = fs::read_to_string(&file).unwrap();
        fs::write(file, line.replace(") S ", ") Z ")).unwrap();
    }

    pub(super) fn remove(&self, pid: u32) {
        fs::remove_dir_all(self.path(&pid.to_string())).unwrap();
    }

    pub(super) fn root(&self) -> ProcRoot {
        ProcRoot::open(self.folder.path()).unwrap()
    }
}
