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
