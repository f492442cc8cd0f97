//! One type as it lies in the type section: twelve bytes and a tail whose length the kind decides.
//!
//! Source: `struct btf_type` in `include/uapi/linux/btf.h`. Nothing here follows an id.

use super::StopReason;

/// Bytes of `struct btf_type`.
pub(super) const TYPE_LEN: usize = 12;

/// Longest name that is looked at; the kernel's own limit is `KSYM_NAME_LEN`, 512. A bound keeps a
/// string section without NULs from making every look-up a walk through megabytes.
const NAME_MAX: usize = 512;

/// What a type is: `BTF_KIND_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `BTF_KIND_INT`
    Int,
    /// `BTF_KIND_PTR`
    Ptr,
    /// `BTF_KIND_ARRAY`
    Array,
    /// `BTF_KIND_STRUCT`
    Struct,
    /// `BTF_KIND_UNION`
    Union,
    /// `BTF_KIND_ENUM`
    Enum,
    /// `BTF_KIND_FWD`
    Fwd,
    /// `BTF_KIND_TYPEDEF`
    Typedef,
    /// `const`, `volatile`, `restrict` and type tags: nothing but a way to another type.
    Modifier,
    /// `BTF_KIND_FUNC`
    Func,
    /// `BTF_KIND_FUNC_PROTO`
    FuncProto,
    /// `BTF_KIND_VAR`
    Var,
    /// `BTF_KIND_DATASEC`
    DataSec,
    /// `BTF_KIND_FLOAT`
    Float,
    /// `BTF_KIND_DECL_TAG`
    DeclTag,
    /// `BTF_KIND_ENUM64`
    Enum64,
    /// Newer than this program; the blob says how long it is, so it can be stepped over.
    Other,
}

impl Kind {
    fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Int,
            2 => Self::Ptr,
            3 => Self::Array,
            4 => Self::Struct,
            5 => Self::Union,
            6 => Self::Enum,
            7 => Self::Fwd,
            8 => Self::Typedef,
            9..=11 | 18 => Self::Modifier,
            12 => Self::Func,
            13 => Self::FuncProto,
            14 => Self::Var,
            15 => Self::DataSec,
            16 => Self::Float,
            17 => Self::DeclTag,
            19 => Self::Enum64,
            _ => Self::Other,
        }
    }

    /// Bytes behind `struct btf_type`: once, and for each of `vlen` elements. `None` for a kind that
    /// only the blob itself can tell about.
    const fn tail(self) -> Option<(usize, usize)> {
        Some(match self {
            Self::Int | Self::Var | Self::DeclTag => (4, 0),
            Self::Array => (12, 0),
            Self::Struct | Self::Union | Self::DataSec | Self::Enum64 => (0, 12),
            Self::Enum | Self::FuncProto => (0, 8),
            Self::Ptr | Self::Fwd | Self::Typedef | Self::Modifier | Self::Func | Self::Float => {
                (0, 0)
            }
            Self::Other => return None,
        })
    }

    /// Is looked up by name often enough to be in the index. Functions are not: there are three times
    /// as many of them as of all these.
    pub(super) const fn is_indexed(self) -> bool {
        matches!(
            self,
            Self::Struct | Self::Union | Self::Typedef | Self::Enum | Self::Enum64
        )
    }
}

/// The layout section of newer blobs: for each kind `{ u8 info_sz, u8 elem_sz, u16 flags }`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Layout<'a>(pub(super) &'a [u8]);

impl Layout<'_> {
    fn tail(self, kind: u8) -> Option<(usize, usize)> {
        let entry = self.0.get(usize::from(kind) * 4..)?.first_chunk::<4>()?;
        Some((usize::from(entry[0]), usize::from(entry[1])))
    }
}

/// `struct btf_type`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) name_off: u32,
    info: u32,
    /// Size in bytes or id of another type, as the kind has it.
    pub(super) size_or_type: u32,
}

/// `struct btf_type` and the bytes behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawType<'a> {
    head: Head,
    pub(super) tail: &'a [u8],
}

impl std::ops::Deref for RawType<'_> {
    type Target = Head;

    fn deref(&self) -> &Head {
        &self.head
    }
}

impl<'a> RawType<'a> {
    /// Reads the type that begins at `at`; on failure gives its kind number and the reason.
    pub(super) fn read(
        types: &'a [u8],
        at: usize,
        layout: Layout<'_>,
    ) -> Result<Self, (u8, StopReason)> {
        let head = Head::read(types, at).ok_or((0, StopReason::CutOff))?;
        let number = head.kind_number();
        let (once, each) = head
            .kind()
            .tail()
            .or_else(|| layout.tail(number))
            .ok_or((number, StopReason::UnknownKind))?;
        // At most 255 + 255 * 2^24, far from the end of a 64-bit usize.
        let len = once + each * head.vlen();
        let tail = types
            .get(at + TYPE_LEN..)
            .and_then(|tail| tail.get(..len))
            .ok_or((number, StopReason::CutOff))?;
        Ok(Self { head, tail })
    }

    /// The elements of the tail, each `N` words.
    pub(super) fn elements<const N: usize>(&self) -> impl Iterator<Item = [u32; N]> + use<'a, N> {
        self.tail
            .chunks_exact(N * 4)
            .map(|chunk| std::array::from_fn(|i| u32_at(chunk, i * 4).unwrap_or_default()))
    }
}

impl Head {
    /// Reads what begins at `at`.
    pub(super) fn read(types: &[u8], at: usize) -> Option<Self> {
        let bytes = types.get(at..)?.first_chunk::<TYPE_LEN>()?;
        Some(Self {
            name_off: u32_at(bytes, 0)?,
            info: u32_at(bytes, 4)?,
            size_or_type: u32_at(bytes, 8)?,
        })
    }

    /// Seven bits since 7.x; before, two of them had to be zero.
    fn kind_number(&self) -> u8 {
        (self.info >> 24) as u8 & 0x7f
    }

    pub(super) fn kind(&self) -> Kind {
        Kind::from_number(self.kind_number())
    }

    /// Number of elements in the tail. 24 bits since 7.x; before, eight of them had to be zero.
    pub(super) fn vlen(&self) -> usize {
        (self.info & 0x00ff_ffff) as usize
    }

    /// Members carry a bit-field width in the upper byte of their offset.
    pub(super) fn kind_flag(&self) -> bool {
        self.info >> 31 != 0
    }
}

/// A little-endian `u32` at byte `at`.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let chunk = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*chunk))
}

/// Where `name` stands in the string section, with a NUL behind it.
pub(super) fn places_of(strings: &[u8], name: &str) -> Vec<u32> {
    let name = [name.as_bytes(), &[0]].concat();
    memchr::memmem::find_iter(strings, &name)
        .map_while(|at| u32::try_from(at).ok())
        .collect()
}

/// The NUL-terminated string at `off`, or `None` when there is none of a sane length.
pub(super) fn string_at(strings: &[u8], off: u32) -> Option<&[u8]> {
    let rest = strings.get(usize::try_from(off).ok()?..)?;
    let rest = rest.get(..NAME_MAX).unwrap_or(rest);
    let len = rest.iter().position(|&byte| byte == 0)?;
    rest.get(..len)
}

/// A hash of the name at `off`, to its NUL or its sixteenth byte: few names begin alike for longer, and to
/// tell those apart takes less than to hash all. `None` where there is no name.
pub(super) fn name_hash(strings: &[u8], off: u32) -> Option<u32> {
    // Odd numbers without a pattern, so that every bit of a name moves the upper half.
    const MIX: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f];
    let rest = strings.get(usize::try_from(off).ok()?..)?;
    let mut beginning = [0; 16];
    match rest.first_chunk() {
        Some(whole) => beginning = *whole,
        None => beginning[..rest.len()].copy_from_slice(rest),
    }
    let (first, second) = beginning.split_at(8);
    let word = |bytes: &[u8]| {
        bytes
            .first_chunk()
            .map_or(0, |word| u64::from_le_bytes(*word))
    };
    let (first, second) = (word(first), word(second));
    let name = before_nul(first);
    // A name goes on behind eight bytes if the last of them is one.
    let more = if name >> 56 == 0 {
        0
    } else {
        before_nul(second)
    };
    let mixed = name.wrapping_mul(MIX[0]) ^ more.wrapping_mul(MIX[1]).rotate_left(32);
    (name != 0).then(|| (mixed.wrapping_mul(MIX[0]) >> 32) as u32)
}

/// The bytes before the first that is 0; the lowest is the first.
fn before_nul(word: u64) -> u64 {
    const LOWEST: u64 = u64::from_le_bytes([1; 8]);
    // Of these bits the lowest is the highest of the first byte that is 0.
    let nuls = word.wrapping_sub(LOWEST) & !word & (LOWEST << 7);
    word & ((nuls & nuls.wrapping_neg()) >> 7).wrapping_sub(1)
}

/// Whether the NUL-terminated string at `off` is `name`.
pub(super) fn string_is(strings: &[u8], off: u32, name: &[u8]) -> bool {
    usize::try_from(off)
        .ok()
        .and_then(|off| strings.get(off..))
        .and_then(|rest| rest.strip_prefix(name))
        .is_some_and(|rest| rest.first() == Some(&0))
}
