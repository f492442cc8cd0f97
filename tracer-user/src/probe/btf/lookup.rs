//! Questions to a [`Btf`]: offsets of members, sizes, arrays, enumerators, tracepoint prototypes.
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

/// One argument of a tracepoint, the leading `void *` of the probe left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arg<'a> {
    /// Its name, empty where the kernel does not keep it.
    pub name: &'a str,
    /// What is passed.
    pub kind: ArgKind<'a>,
    /// Bytes of its type, 0 when unknown.
    pub size: u32,
}

/// What a tracepoint argument is, typedefs and `const` taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgKind<'a> {
    /// Pointer to the struct or union of this name.
    PointerTo(&'a str),
    /// Pointer to something else.
    Pointer,
    /// An integer, a bool or an enum.
    Int,
    /// Anything else, or a type that could not be read.
    Other,
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

    /// What the tracepoint passes to its probes: the prototype of `btf_trace_<name>`. `None` when this
    /// kernel has no such tracepoint.
    #[must_use]
    pub fn tracepoint(&self, name: &str) -> Option<Vec<Arg<'a>>> {
        let typedef = format!("btf_trace_{name}");
        self.named(&typedef, |kind| kind == Kind::Typedef)
            .find_map(|id| self.probe_args(id))
    }

    /// The id of the first type of this name and kind. Functions are searched one by one, which takes
    /// about a millisecond; the other kinds are indexed.
    #[must_use]
    pub fn type_id_of(&self, name: &str, kind: Kind) -> Option<TypeId> {
        if kind.is_indexed() {
            return self.named(name, |found| found == kind).next();
        }
        (1..=u32::try_from(self.type_count()).ok()?)
            .map(TypeId)
            .find(|&id| {
                self.raw(id)
                    .is_some_and(|raw| raw.kind() == kind && self.is_named(raw.name_off, name))
            })
    }

    /// This kernel has a function of this name that BTF knows.
    #[must_use]
    pub fn func_exists(&self, name: &str) -> bool {
        self.type_id_of(name, Kind::Func).is_some()
    }

    /// The value of an enumerator, sign-extended. With `bpf_func_id` it tells which helpers a kernel
    /// knows: `BPF_FUNC_get_current_task_btf` came with 5.11.
    #[must_use]
    pub fn enum_value(&self, enum_name: &str, enumerator: &str) -> Option<i64> {
        self.named(enum_name, |kind| matches!(kind, Kind::Enum | Kind::Enum64))
            .find_map(|id| self.enumerator(id, enumerator))
    }

    /// Whether the enum has this enumerator.
    #[must_use]
    pub fn enum_has(&self, enum_name: &str, enumerator: &str) -> bool {
        self.enum_value(enum_name, enumerator).is_some()
    }

    fn enumerator(&self, id: TypeId, enumerator: &str) -> Option<i64> {
        let raw = self.raw(id)?;
        // An enum64 has its value in two words, an enum in one; kind_flag says that it is signed.
        if raw.kind() == Kind::Enum64 {
            let [_, low, high] = raw
                .elements::<3>()
                .find(|[name, ..]| self.is_named(*name, enumerator))?;
            return Some((u64::from(high) << 32 | u64::from(low)).cast_signed());
        }
        let [_, value] = raw
            .elements::<2>()
            .find(|[name, _]| self.is_named(*name, enumerator))?;
        Some(if raw.kind_flag() {
            i64::from(value.cast_signed())
        } else {
            i64::from(value)
        })
    }

    fn probe_args(&self, typedef: TypeId) -> Option<Vec<Arg<'a>>> {
        let (_, pointer) = self.resolve(typedef)?;
        if pointer.kind() != Kind::Ptr {
            return None;
        }
        let (_, proto) = self.resolve(TypeId(pointer.size_or_type))?;
        if proto.kind() != Kind::FuncProto {
            return None;
        }
        // The first argument is the probe's own data pointer, which programs do not see.
        Some(
            proto
                .elements::<2>()
                .skip(1)
                .map(|[name, type_id]| Arg {
                    name: self.text(name),
                    kind: self.arg_kind(TypeId(type_id)),
                    size: self.size_of(TypeId(type_id)).unwrap_or(0),
                })
                .collect(),
        )
    }

    fn arg_kind(&self, id: TypeId) -> ArgKind<'a> {
        let Some((_, raw)) = self.resolve(id) else {
            return ArgKind::Other;
        };
        match raw.kind() {
            Kind::Int | Kind::Enum | Kind::Enum64 => ArgKind::Int,
            Kind::Ptr => match self.resolve(TypeId(raw.size_or_type)) {
                Some((_, to)) if matches!(to.kind(), Kind::Struct | Kind::Union | Kind::Fwd) => {
                    ArgKind::PointerTo(self.text(to.name_off))
                }
                _ => ArgKind::Pointer,
            },
            _ => ArgKind::Other,
        }
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
    fn named(&self, name: &str, wanted: impl Fn(Kind) -> bool) -> impl Iterator<Item = TypeId> {
        let hash = raw::name_hash(name.as_bytes());
        let from = self.index.partition_point(|&(other, _)| other < hash);
        self.index
            .get(from..)
            .unwrap_or_default()
            .iter()
            .take_while(move |&&(other, _)| other == hash)
            .map(|&(_, id)| TypeId(id))
            .filter(move |&id| {
                self.raw(id)
                    .is_some_and(|raw| wanted(raw.kind()) && self.is_named(raw.name_off, name))
            })
    }

    /// Follows typedefs and modifiers to the type itself.
    fn resolve(&self, id: TypeId) -> Option<(TypeId, raw::RawType<'a>)> {
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

    fn raw(&self, id: TypeId) -> Option<raw::RawType<'a>> {
        let index = usize::try_from(id.0).ok()?.checked_sub(1)?;
        let at = usize::try_from(*self.starts.get(index)?).ok()?;
        raw::RawType::read(self.types, at, self.layout).ok()
    }

    fn is_named(&self, name_off: u32, name: &str) -> bool {
        raw::string_is(self.strings, name_off, name.as_bytes())
    }

    fn is_anonymous(&self, name_off: u32) -> bool {
        raw::string_is(self.strings, name_off, b"")
    }

    fn text(&self, name_off: u32) -> &'a str {
        raw::string_at(self.strings, name_off)
            .and_then(|name| std::str::from_utf8(name).ok())
            .unwrap_or_default()
    }
}
