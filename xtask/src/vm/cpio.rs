//! A cpio archive in the `newc` format, which the kernel unpacks as its first file system.
//!
//! Source: Documentation/driver-api/early-userspace/buffer-format.rst. Written here rather than by
//! cpio(1) because a device node in an archive needs root there and eight hex digits here.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const DEVICE: u32 = 0o020_000;

/// An archive that is being written.
#[derive(Debug, Default)]
pub(super) struct Cpio {
    bytes: Vec<u8>,
    names: BTreeSet<String>,
}

impl Cpio {
    /// A folder, with those above it.
    pub(super) fn folder(&mut self, path: &str) {
        let path = path.trim_matches('/');
        if path.is_empty() || self.names.contains(path) {
            return;
        }
        if let Some((above, _)) = path.rsplit_once('/') {
            self.folder(above);
        }
        self.entry(path, DIRECTORY | 0o755, (0, 0), &[]);
    }

    /// An executable file with its folder; the first one of a name stays.
    pub(super) fn program(&mut self, path: &str, content: &[u8]) {
        let path = path.trim_matches('/');
        if self.names.contains(path) {
            return;
        }
        if let Some((above, _)) = path.rsplit_once('/') {
            self.folder(above);
        }
        self.entry(path, FILE | 0o755, (0, 0), content);
    }

    /// A copy of a file of this machine.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn copy(&mut self, path: &str, from: &Path) -> Result<()> {
        let content = fs::read(from).with_context(|| format!("reading {}", from.display()))?;
        self.program(path, &content);
        Ok(())
    }

    /// A character device.
    pub(super) fn device(&mut self, path: &str, major: u32, minor: u32) {
        let path = path.trim_matches('/');
        if let Some((above, _)) = path.rsplit_once('/') {
            self.folder(above);
        }
        self.entry(path, DEVICE | 0o600, (major, minor), &[]);
    }

    /// The finished archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.names.insert(name.to_owned());
        let inode = self.names.len();
        let (size, name_size) = (content.len(), name.len() + 1);
        let (major, minor) = device;
        // magic, ino, mode, uid, gid, nlink, mtime, size, device, device of a node, name size, check
        let header = format!(
            "070701{inode:08X}{mode:08X}{0:08X}{0:08X}{1:08X}{0:08X}{size:08X}{0:08X}{0:08X}{major:08X}{minor:08X}{name_size:08X}{0:08X}",
            0, 1
        );
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_their_folders_come_first() {
        let mut cpio = Cpio::default();
        cpio.program("/a/b/run", b"12345");
        cpio.program("/a/b/run", b"other");
        cpio.device("/dev/console", 5, 1);
        let bytes = cpio.finish();
        let text = String::from_utf8_lossy(&bytes);
        let names = [
            "a\0",
            "a/b\0",
            "a/b/run\0",
            "dev\0",
            "dev/console\0",
            "TRAILER!!!\0",
        ];
        let at: Vec<_> = names.map(|name| text.find(name).unwrap()).to_vec();
        assert!(at.is_sorted(), "{at:?}");
        let headers: Vec<_> = text.match_indices("070701").map(|(at, _)| at).collect();
        assert_eq!(headers.len(), names.len());
        assert!(headers.iter().all(|at| at % 4 == 0), "{headers:?}");
        assert_eq!(text.matches("12345").count(), 1);
        assert!(!text.contains("other"));
        // mode 0100755 and size 5 of the program
        let header = &text[headers[2]..];
        assert_eq!((&header[14..22], &header[54..62]), ("000081ED", "00000005"));
        // rdev 5:1 of the console
        let header = &text[headers[4]..];
        assert_eq!((&header[78..86], &header[86..94]), ("00000005", "00000001"));
    }
}
