//! The kernel's own type information: where it keeps which field, and what its tracepoints pass.
//!
//! Source: `Documentation/bpf/btf.rst` and `include/uapi/linux/btf.h` of Linux 6.18, with what 7.x
//! adds (longer header, layout section, wider `vlen` and `kind`). This module is pure over bytes: the
//! caller reads `/sys/kernel/btf/vmlinux`. Any bytes are accepted without a panic; what does not make
//! sense is an error or an absence, never a guess. It reads little-endian BTF of 64-bit kernels, which
//! is what the eBPF object is built for, and refuses to follow pointers: an offset behind a pointer is
//! another load.

mod lookup;
mod proto;
mod raw;

#[cfg(test)]
mod build;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_any;

use thiserror::Error;

pub use lookup::{Array, BitField, Member};
pub use proto::{Arg, ArgKind};
pub use raw::Kind;

/// Number of a type in one BTF blob. 0 is `void`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(pub u32);

/// Why bytes are not BTF that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BtfError {
    /// Shorter than the smallest header.
    #[error("BTF header is cut off: {len} bytes, at least 24 expected")]
    TooShort {
        /// Bytes there are.
        len: usize,
    },
    /// Written by a big-endian kernel.
    #[error("BTF is big-endian; only little-endian kernels are supported")]
    BigEndian,
    /// Not BTF.
    #[error("not BTF: magic number {magic:#06x} instead of 0xeb9f")]
    Magic {
        /// The first two bytes.
        magic: u16,
    },
    /// A format that is not known to be compatible.
    #[error("BTF version {version} is not known, only 1 is")]
    Version {
        /// The third byte.
        version: u8,
    },
    /// The header names a section that does not lie inside the bytes.
    #[error("BTF {section} section ({start}+{len}) lies outside the {total} bytes there are")]
    Section {
        /// `type` or `string`.
        section: &'static str,
        /// First byte of the section.
        start: u64,
        /// Its length.
        len: u32,
        /// Bytes there are.
        total: usize,
    },
}

/// Where and why reading the types ended early. Everything before it is usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("BTF reading stopped at type {} of kind {kind}: {why}", .id.0)]
pub struct Stopped {
    /// The first type that was not read.
    pub id: TypeId,
    /// Its kind number.
    pub kind: u8,
    /// What was wrong.
    pub why: StopReason,
}

/// What ends the reading of types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StopReason {
    /// A kind newer than this program, in a blob that does not say how long it is.
    #[error("unknown kind, its length cannot be guessed")]
    UnknownKind,
    /// The type section ends inside the type.
    #[error("the type is cut off")]
    CutOff,
}

/// One BTF blob with its types found and the names of its structs, unions, typedefs and enums indexed.
#[derive(Debug)]
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where in `types` the type with id `i + 1` begins.
    starts: Vec<u32>,
    /// Hash of the name and id: sorted, so one name's ids are together and in order. Half the memory of
    /// a map, and quicker to build.
    index: Vec<(u32, u32)>,
    layout: raw::Layout<'a>,
    stopped: Option<Stopped>,
}

/// Length of the header that every version has.
const HEADER_MIN: usize = 24;
const MAGIC: u16 = 0xeb9f;

impl<'a> Btf<'a> {
    /// Finds the sections and every type's place. 2 to 3 ms for the 5.5 MB of a kernel.
    ///
    /// # Errors
    /// [`BtfError`] when the header is not that of a BTF blob that lies whole in `bytes`. A type
    /// section that goes wrong in the middle is no error: see [`Btf::stopped_at`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BtfError> {
        let too_short = BtfError::TooShort { len: bytes.len() };
        let header = bytes.get(..HEADER_MIN).ok_or(too_short)?;
        let magic = u16::from_le_bytes([header[0], header[1]]);
        if magic == MAGIC.swap_bytes() {
            return Err(BtfError::BigEndian);
        }
        if magic != MAGIC {
            return Err(BtfError::Magic { magic });
        }
        if header[2] != 1 {
            return Err(BtfError::Version { version: header[2] });
        }
        let field = |at| raw::u32_at(bytes, at).ok_or(too_short);
        // Sections are counted from the end of the header, whose length only grows.
        let hdr_len = field(4)?;
        let section = |section, off: u32, len: u32| {
            let start = u64::from(hdr_len) + u64::from(off);
            let end = start + u64::from(len);
            usize::try_from(start)
                .ok()
                .zip(usize::try_from(end).ok())
                .and_then(|(start, end)| bytes.get(start..end))
                .ok_or(BtfError::Section {
                    section,
                    start,
                    len,
                    total: bytes.len(),
                })
        };
        let types = section("type", field(8)?, field(12)?)?;
        let strings = section("string", field(16)?, field(20)?)?;
        // The layout section only serves kinds that we do not know: without it, we stop at those.
        let layout = if hdr_len >= 32 {
            section("layout", field(24)?, field(28)?).unwrap_or_default()
        } else {
            &[]
        };
        let mut btf = Self {
            types,
            strings,
            starts: Vec::with_capacity(types.len() / raw::TYPE_LEN),
            index: Vec::new(),
            layout: raw::Layout(layout),
            stopped: None,
        };
        btf.scan();
        Ok(btf)
    }

    /// Where reading ended early, if it did. A caller that misses a type should say this with it.
    #[must_use]
    pub fn stopped_at(&self) -> Option<Stopped> {
        self.stopped
    }

    /// Number of types that were read; ids go from 1 to this.
    #[must_use]
    pub fn type_count(&self) -> usize {
        self.starts.len()
    }

    fn scan(&mut self) {
        let mut at = 0;
        while at < self.types.len() {
            let id = TypeId(u32::try_from(self.starts.len() + 1).unwrap_or(u32::MAX));
            let found = match raw::RawType::read(self.types, at, self.layout) {
                Ok(found) => found,
                Err((kind, why)) => {
                    self.stopped = Some(Stopped { id, kind, why });
                    break;
                }
            };
            // The header's 32-bit length bounds `at`.
            self.starts.push(u32::try_from(at).unwrap_or(u32::MAX));
            if found.kind().is_indexed()
                && let Some(hash) = raw::name_hash(self.strings, found.name_off)
            {
                self.index.push((hash, id.0));
            }
            at += raw::TYPE_LEN + found.tail.len();
        }
        self.index.sort_unstable();
    }
}
