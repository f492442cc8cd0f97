//! The bytes of the running kernel's types.
//!
//! Source: `/sys/kernel/btf/vmlinux`, five to six megabytes. Kernels from 6.16 on let it be mapped, which
//! costs neither memory nor the time of copying; from older ones it is read.

use std::{fs::File, io, io::Read, ops::Deref, os::fd::AsFd};

use rustix::{
    fs::fstatfs,
    mm::{MapFlags, ProtFlags},
};

use super::pages::Pages;

/// `SYSFS_MAGIC`.
const SYSFS: u64 = 0x6265_6572;

/// Types, as the kernel has them.
pub(super) enum KernelTypes {
    Mapped(Pages),
    Read(Vec<u8>),
}

impl KernelTypes {
    /// Reads or maps them.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn open(path: &str) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        // A plain file that somebody has put there could become shorter while it is mapped.
        let is_kernels = fstatfs(&file).is_ok_and(|fs| u64::try_from(fs.f_type) == Ok(SYSFS));
        if is_kernels {
            let mapped = Pages::map(file.as_fd(), 0, len, ProtFlags::READ, MapFlags::PRIVATE);
            if let Ok(pages) = mapped {
                return Ok(Self::Mapped(pages));
            }
        }
        let mut bytes = Vec::with_capacity(len);
        file.read_to_end(&mut bytes)?;
        Ok(Self::Read(bytes))
    }
}

impl Deref for KernelTypes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            // SAFETY: mapped with this length, read-only, until `self` ends. What is behind it are the
            // types of the running kernel, which never change.
            Self::Mapped(pages) => unsafe {
                std::slice::from_raw_parts(pages.start(), pages.len())
            },
            Self::Read(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const TYPES: &str = "/sys/kernel/btf/vmlinux";

    #[test]
    fn mapped_or_read_they_are_the_same_bytes_to_the_last() {
        let types = KernelTypes::open(TYPES).expect("a kernel with types");
        let read = std::fs::read(TYPES).expect("the same");
        assert!(
            *types == *read,
            "{} bytes, {} read",
            types.len(),
            read.len()
        );
        // Of odd length: the last page is not full.
        assert_ne!(read.len() % rustix::param::page_size(), 0);
        let file = File::open(TYPES).expect("there");
        let fd = file.as_fd();
        let can_map = Pages::map(fd, 0, read.len(), ProtFlags::READ, MapFlags::PRIVATE).is_ok();
        assert_eq!(matches!(types, KernelTypes::Mapped(_)), can_map);
    }

    #[test]
    fn what_the_kernel_does_not_let_be_mapped_is_read() {
        // A file of sysfs like the types of older kernels.
        let path = "/sys/kernel/notes";
        let types = KernelTypes::open(path).expect("every kernel has them");
        assert!(matches!(types, KernelTypes::Read(_)));
        assert!(!types.is_empty() && *types == *std::fs::read(path).expect("the same"));
    }

    #[test]
    fn a_plain_file_is_read_because_it_may_become_shorter() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(b"types").expect("written");
        let path = file.path().to_str().expect("a plain name");
        let types = KernelTypes::open(path).expect("there");
        assert!(matches!(&types, KernelTypes::Read(bytes) if bytes == b"types"));
        file.as_file().set_len(0).expect("cut");
        assert_eq!(*types, *b"types");
    }

    #[test]
    fn a_missing_file_is_an_error() {
        let error = KernelTypes::open("/sys/kernel/btf/none").err();
        assert_eq!(
            error.map(|error| error.kind()),
            Some(io::ErrorKind::NotFound)
        );
    }
}
