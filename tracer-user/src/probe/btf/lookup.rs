//! Questions to a [`Btf`] about data: offsets of members, sizes, arrays, names.
//!
//! Ids may point anywhere, also in circles, so every walk has a bound.

use super::{Btf, Kind, TypeId, raw};

/// Most steps through typedefs and modifiers; real chains have fewer than ten.
const CHAIN_MAX: usize = 64;
/// Deepest nest of anonymous structs and unions; the kernel's deepest has six.
const NEST_MAX: usize = 32;
/// Most members looked at for one question. The largest struct of the kernel has about a thousand.
const MEMBERS_MAX: usize = 100_000;
/// Bytes of a pointer: 64-bit kernels only, BTF itself does not say.
const POINTER_LEN: u32 = 8;

/// Where a struct keeps a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// First byte, from the beginning of the struct that was asked for. For a bit field, the byte that
    /// holds its first bit.
    pub offset: u32,
    /// Bytes of its type; 0 for a flexible array or an incomplete type. For a bit field, of the
    /// declared type.
    pub size: u32,
    /// Its type as declared, typedefs and all.
    pub type_id: TypeId,
    /// It is a bit field: a load at `offset` needs a shift and a mask.
    pub bits: Option<BitField>,
}

/// Place of a bit field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitField {
    /// First bit, from the beginning of the struct that was asked for.
    pub first: u32,
    /// Number of bits.
    pub width: u32,
}

/// An array type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Array {
    /// Type of one element.
    pub elem: TypeId,
    /// Bytes of one element; 0 for an incomplete type.
    pub elem_size: u32,
    /// Number of elements; 0 for a flexible array.
    pub count: u32,
}

/// A member as the search finds it: bit offset from the outermost struct.
#[derive(Clone, Copy)]
struct Found {
    bit: u32,
    width: u32,
    type_id: TypeId,
}

impl<'a> Btf<'a> {
    /// Where `struct_name` (a struct, a union, or a typedef of one) keeps `path`: member names with
    /// dots between, such as `se.sum_exec_runtime`. Anonymous structs and unions on the way need no
    /// name; pointers are not followed.
    ///
    /// A kernel can have several structs of one name: the first in which the whole path exists counts.
    /// Where several fields must come from the same one, use [`Btf::struct_with`].
    #[must_use]
    pub fn member(&self, struct_name: &str, path: &str) -> Option<Member> {
        self.structs(struct_name)
            .find_map(|id| self.member_of(id, path))
    }

    /// The first of several paths that `struct_name` has: for fields that kernels name differently.
    #[must_use]
    pub fn member_any(&self, struct_name: &str, paths: &[&str]) -> Option<Member> {
        paths.iter().find_map(|path| self.member(struct_name, path))
    }

    /// The first struct of this name that has all of `paths`.
    #[must_use]
    pub fn struct_with(&self, struct_name: &str, paths: &[&str]) -> Option<TypeId> {
        self.structs(struct_name)
            .find(|&id| paths.iter().all(|path| self.member_of(id, path).is_some()))
    }

    /// As [`Btf::member`], in one struct or union given by its id.
    #[must_use]
    pub fn member_of(&self, id: TypeId, path: &str) -> Option<Member> {
        let mut budget = MEMBERS_MAX;
        let mut found = Found {
            bit: 0,
            width: 0,
            type_id: id,
        };
        for name in path.split('.') {
            if name.is_empty() || found.width != 0 {
                return None;
            }
            let inner = self.find_member(found.type_id, name.as_bytes(), 0, &mut budget)?;
            found = Found {
                bit: found.bit.checked_add(inner.bit)?,
                ..inner
            };
        }
        let is_bits = found.width != 0 || !found.bit.is_multiple_of(8);
        Some(Member {
            offset: found.bit / 8,
            size: self.size_of(found.type_id).unwrap_or(0),
            type_id: found.type_id,
            bits: is_bits.then_some(BitField {
                first: found.bit,
                width: found.width,
            }),
        })
    }

    /// Bytes of the struct or union of this name.
    #[must_use]
    pub fn struct_size(&self, struct_name: &str) -> Option<u32> {
        self.structs(struct_name).find_map(|id| self.size_of(id))
    }

    /// Bytes of a type; `None` for `void`, functions and incomplete types.
    #[must_use]
    pub fn size_of(&self, id: TypeId) -> Option<u32> {
        let mut id = id;
        let mut count = 1_u32;
        for _ in 0..CHAIN_MAX {
            let (_, raw) = self.resolve(id)?;
            let one = match raw.kind() {
                Kind::Int
                | Kind::Struct
                | Kind::Union
                | Kind::Enum
                | Kind::Enum64
                | Kind::Float => raw.size_or_type,
                Kind::Ptr => POINTER_LEN,
                Kind::Array => {
                    let [elem, _, elements] = raw.elements::<3>().next()?;
                    count = count.checked_mul(elements)?;
                    id = TypeId(elem);
                    continue;
                }
                _ => return None,
            };
            return one.checked_mul(count);
        }
        None
    }

    /// The array that `id` is, typedefs taken off.
    #[must_use]
    pub fn array(&self, id: TypeId) -> Option<Array> {
        let (_, raw) = self.resolve(id)?;
        if raw.kind() != Kind::Array {
            return None;
        }
        let [elem, _, count] = raw.elements::<3>().next()?;
        let elem = TypeId(elem);
        Some(Array {
            elem,
            elem_size: self.size_of(elem).unwrap_or(0),
            count,
        })
    }

    /// What kind of type `id` is, typedefs and modifiers taken off.
    #[must_use]
    pub fn kind_of(&self, id: TypeId) -> Option<Kind> {
        Some(self.resolve(id)?.1.kind())
    }

    /// The name of the type `id` itself, empty for an anonymous one.
    #[must_use]
    pub fn name_of(&self, id: TypeId) -> Option<&'a str> {
        Some(self.text(self.raw(id)?.name_off))
    }

    /// The id of the first type of this name and kind. Functions are gone through one by one, which takes
    /// a quarter of a millisecond; the other kinds are indexed.
    #[must_use]
    pub fn type_id_of(&self, name: &str, kind: Kind) -> Option<TypeId> {
        if kind.is_indexed() {
            return self.named(name, |found| found == kind).next();
        }
        // Where the name stands, so that none of theirs need be looked at.
        let places = raw::places_of(self.strings, name);
        if places.is_empty() {
            return None;
        }
        let found = self.starts.iter().position(|&at| {
            let head = raw::Head::read(self.types, at as usize);
            head.is_some_and(|head| places.contains(&head.name_off) && head.kind() == kind)
        });
        Some(TypeId(u32::try_from(found? + 1).ok()?))
    }

    /// This kernel has a function of this name that BTF knows.
    #[must_use]
    pub fn func_exists(&self, name: &str) -> bool {
        self.type_id_of(name, Kind::Func).is_some()
    }

    /// Finds a member by its own name, walking into members that have none.
    fn find_member(
        &self,
        id: TypeId,
        name: &[u8],
        depth: usize,
        budget: &mut usize,
    ) -> Option<Found> {
        let (_, raw) = self.resolve(id)?;
        if depth > NEST_MAX || !matches!(raw.kind(), Kind::Struct | Kind::Union) {
            return None;
        }
        for [name_off, type_id, offset] in raw.elements::<3>() {
            *budget = budget.checked_sub(1)?;
            let type_id = TypeId(type_id);
            let (bit, width) = if raw.kind_flag() {
                (offset & 0x00ff_ffff, offset >> 24)
            } else {
                (offset, 0)
            };
            if self.is_anonymous(name_off) {
                if let Some(inner) = self.find_member(type_id, name, depth + 1, budget) {
                    return Some(Found {
                        bit: bit.checked_add(inner.bit)?,
                        ..inner
                    });
                }
            } else if raw::string_is(self.strings, name_off, name) {
                let (bit, width) = match (width, self.old_bit_field(type_id)) {
                    (0, Some((first, width))) => (bit.checked_add(first)?, width),
                    _ => (bit, width),
                };
                return Some(Found {
                    bit,
                    width,
                    type_id,
                });
            }
        }
        None
    }

    /// Before `kind_flag`, a bit field was an int narrower than its bytes, with a first bit of its own.
    fn old_bit_field(&self, id: TypeId) -> Option<(u32, u32)> {
        let (_, raw) = self.resolve(id)?;
        if raw.kind() != Kind::Int {
            return None;
        }
        let [encoding] = raw.elements::<1>().next()?;
        let (first, width) = (encoding >> 16 & 0xff, encoding & 0xff);
        (first != 0 || u64::from(width) != u64::from(raw.size_or_type) * 8)
            .then_some((first, width))
    }

    /// Structs and unions of this name, by id; then what typedefs of this name stand for.
    fn structs(&self, name: &str) -> impl Iterator<Item = TypeId> {
        let is_struct = |kind| matches!(kind, Kind::Struct | Kind::Union);
        let typedefs = self
            .named(name, |kind| kind == Kind::Typedef)
            .filter_map(move |id| self.resolve(id))
            .filter(move |(_, raw)| is_struct(raw.kind()))
            .map(|(id, _)| id);
        self.named(name, is_struct).chain(typedefs)
    }

    /// Indexed types of this name whose kind `wanted` accepts, by id.
    pub(super) fn named(
        &self,
        name: &str,
        wanted: impl Fn(Kind) -> bool,
    ) -> impl Iterator<Item = TypeId> {
        let hash = raw::name_hash(name.as_bytes(), 0);
        let from = self.index.partition_point(|&(other, _)| Some(other) < hash);
        self.index
            .get(from..)
            .unwrap_or_default()
            .iter()
            .take_while(move |&&(other, _)| Some(other) == hash)
            .map(|&(_, id)| TypeId(id))
            .filter(move |&id| {
                self.raw(id)
                    .is_some_and(|raw| wanted(raw.kind()) && self.is_named(raw.name_off, name))
            })
    }

    /// Follows typedefs and modifiers to the type itself.
    pub(super) fn resolve(&self, id: TypeId) -> Option<(TypeId, raw::RawType<'a>)> {
        let mut id = id;
        for _ in 0..CHAIN_MAX {
            let raw = self.raw(id)?;
            if !matches!(raw.kind(), Kind::Typedef | Kind::Modifier) {
                return Some((id, raw));
            }
            id = TypeId(raw.size_or_type);
        }
        None
    }

    pub(super) fn raw(&self, id: TypeId) -> Option<raw::RawType<'a>> {
        let index = usize::try_from(id.0).ok()?.checked_sub(1)?;
        let at = usize::try_from(*self.starts.get(index)?).ok()?;
        raw::RawType::read(self.types, at, self.layout).ok()
    }

    pub(super) fn is_named(&self, name_off: u32, name: &str) -> bool {
        raw::string_is(self.strings, name_off, name.as_bytes())
    }

    fn is_anonymous(&self, name_off: u32) -> bool {
        raw::string_is(self.strings, name_off, b"")
    }

    pub(super) fn text(&self, name_off: u32) -> &'a str {
        raw::string_at(self.strings, name_off)
            .and_then(|name| std::str::from_utf8(name).ok())
            .unwrap_or_default()
    }
}
