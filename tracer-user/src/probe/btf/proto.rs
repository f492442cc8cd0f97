//! Questions to a [`Btf`] about interfaces: what a tracepoint passes, which enumerators there are.
//!
//! These replace every comparison of kernel versions: distributions backport.

use super::{Btf, Kind, TypeId};

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

impl<'a> Btf<'a> {
    /// What the tracepoint passes to its probes: the prototype of `btf_trace_<name>`. `None` when this
    /// kernel has no such tracepoint.
    #[must_use]
    pub fn tracepoint(&self, name: &str) -> Option<Vec<Arg<'a>>> {
        let typedef = format!("btf_trace_{name}");
        self.named(&typedef, |kind| kind == Kind::Typedef)
            .find_map(|id| self.probe_args(id))
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
}
