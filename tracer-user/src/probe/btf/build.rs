//! Makes BTF blobs for tests: by hand, and by cutting a real one down to what a test asks about.

use std::collections::BTreeMap;

use super::{Btf, Kind, TypeId};

/// `BTF_KIND_*` numbers, as the blobs have them.
pub(crate) mod kind {
    pub(crate) const INT: u32 = 1;
    pub(crate) const PTR: u32 = 2;
    pub(crate) const ARRAY: u32 = 3;
    pub(crate) const STRUCT: u32 = 4;
    pub(crate) const UNION: u32 = 5;
    pub(crate) const ENUM: u32 = 6;
    pub(crate) const FWD: u32 = 7;
    pub(crate) const TYPEDEF: u32 = 8;
    pub(crate) const CONST: u32 = 10;
    pub(crate) const FUNC: u32 = 12;
    pub(crate) const FUNC_PROTO: u32 = 13;
    pub(crate) const ENUM64: u32 = 19;
}

/// The kinds' tails as a layout section says them: `(info_sz, elem_sz)` by kind number.
pub(crate) const LAYOUT: [(u8, u8); 20] = [
    (0, 0),
    (4, 0),
    (0, 0),
    (12, 0),
    (0, 12),
    (0, 12),
    (0, 8),
    (0, 0),
    (0, 0),
    (0, 0),
    (0, 0),
    (0, 0),
    (0, 0),
    (0, 8),
    (4, 0),
    (0, 12),
    (0, 0),
    (4, 0),
    (0, 0),
    (0, 12),
];

/// A blob in the making. Each method adds one type and gives its id.
pub(crate) struct Blob {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

impl Blob {
    pub(crate) fn new() -> Self {
        Self {
            types: Vec::new(),
            strings: vec![0],
            count: 0,
        }
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = u32::try_from(self.strings.len()).unwrap();
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        at
    }

    /// Any type: `info` without its kind, that is `vlen` and perhaps bit 31.
    pub(crate) fn add(&mut self, name: &str, kind: u32, info: u32, size: u32, tail: &[u32]) -> u32 {
        let name = self.string(name);
        for word in [name, kind << 24 | info, size].iter().chain(tail) {
            self.types.extend_from_slice(&word.to_le_bytes());
        }
        self.count += 1;
        self.count
    }

    pub(crate) fn int(&mut self, name: &str, size: u32) -> u32 {
        self.add(name, kind::INT, 0, size, &[size * 8])
    }

    pub(crate) fn ptr(&mut self, to: u32) -> u32 {
        self.add("", kind::PTR, 0, to, &[])
    }

    pub(crate) fn alias(&mut self, name: &str, kind: u32, to: u32) -> u32 {
        self.add(name, kind, 0, to, &[])
    }

    pub(crate) fn array(&mut self, elem: u32, count: u32) -> u32 {
        self.add("", kind::ARRAY, 0, 0, &[elem, elem, count])
    }

    /// A struct or union; members are name, type and first bit (or, with bit 31 in `info`, width and
    /// first bit).
    pub(crate) fn composite(
        &mut self,
        name: &str,
        kind: u32,
        info: u32,
        size: u32,
        members: &[(&str, u32, u32)],
    ) -> u32 {
        let mut tail = Vec::new();
        for &(member, type_id, offset) in members {
            tail.extend([self.string(member), type_id, offset]);
        }
        let vlen = u32::try_from(members.len()).unwrap();
        self.add(name, kind, info | vlen, size, &tail)
    }

    pub(crate) fn record(&mut self, name: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        self.composite(name, kind::STRUCT, 0, size, members)
    }

    /// `typedef void (*btf_trace_<name>)(void *, args…)`.
    pub(crate) fn tracepoint(&mut self, name: &str, args: &[u32]) {
        let data = self.ptr(0);
        let tail: Vec<u32> = std::iter::once(&data)
            .chain(args)
            .flat_map(|&arg| [0, arg])
            .collect();
        let vlen = u32::try_from(args.len() + 1).unwrap();
        let proto = self.add("", kind::FUNC_PROTO, vlen, 0, &tail);
        let pointer = self.ptr(proto);
        self.alias(&format!("btf_trace_{name}"), kind::TYPEDEF, pointer);
    }

    /// The blob with the header that kernels before 7.x write.
    pub(crate) fn build(&self) -> Vec<u8> {
        self.build_with(24, &[])
    }

    /// The blob with a longer header; from 32 bytes on it names a layout section.
    pub(crate) fn build_with(&self, hdr_len: usize, layout: &[(u8, u8)]) -> Vec<u8> {
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
        let layout: Vec<u8> = layout
            .iter()
            .flat_map(|&(info_sz, elem_sz)| [info_sz, elem_sz, 0, 0])
            .collect();
        let mut header = vec![0x9f, 0xeb, 1, 0];
        for word in [
            u32::try_from(hdr_len).unwrap(),
            0,
            len(&self.types),
            len(&self.types) + len(&layout),
            len(&self.strings),
            len(&self.types),
            len(&layout),
        ] {
            header.extend_from_slice(&word.to_le_bytes());
        }
        header.resize(hdr_len, 0);
        [header, self.types.clone(), layout, self.strings.clone()].concat()
    }
}

/// A small blob that answers questions about `roots` (structs, unions, enums, typedefs, functions by
/// name) as the big one does. Pointers lose what they point to, except its name; structs inside others
/// keep only their size, unless `inner` names them; enums keep only the enumerators in `inner`.
pub(crate) fn cut(btf: &Btf<'_>, roots: &[&str], inner: &[&str]) -> Vec<u8> {
    let mut cutter = Cutter {
        btf,
        keep: [roots, inner].concat(),
        blob: Blob::new(),
        ids: BTreeMap::new(),
    };
    for root in roots {
        for kind in [Kind::Struct, Kind::Union, Kind::Enum, Kind::Typedef] {
            for id in btf.named(root, |found| found == kind).collect::<Vec<_>>() {
                cutter.copy(id, false);
            }
        }
        if btf.func_exists(root) {
            cutter.blob.alias(root, kind::FUNC, 0);
        }
    }
    cutter.blob.build()
}

struct Cutter<'b, 'a> {
    btf: &'b Btf<'a>,
    keep: Vec<&'b str>,
    blob: Blob,
    /// Old id and whether it is behind a pointer → new id.
    ids: BTreeMap<(TypeId, bool), u32>,
}

impl Cutter<'_, '_> {
    fn copy(&mut self, id: TypeId, pointed: bool) -> u32 {
        let Some(raw) = self.btf.raw(id) else {
            return 0;
        };
        // A prototype behind a pointer is what a tracepoint is.
        let pointed = pointed && raw.kind() != Kind::FuncProto;
        if let Some(&new) = self.ids.get(&(id, pointed)) {
            return new;
        }
        let name = self.btf.text(raw.name_off);
        let flag = u32::from(raw.kind_flag()) << 31;
        let vlen = u32::try_from(raw.vlen()).unwrap();
        let new = match raw.kind() {
            Kind::Struct | Kind::Union if pointed => self.blob.alias(name, kind::FWD, 0),
            Kind::Ptr => {
                let to = self.copy(TypeId(raw.size_or_type), true);
                self.blob.ptr(to)
            }
            Kind::Typedef | Kind::Modifier => {
                let to = self.copy(TypeId(raw.size_or_type), pointed);
                let kind = if raw.kind() == Kind::Typedef {
                    kind::TYPEDEF
                } else {
                    kind::CONST
                };
                self.blob.alias(name, kind, to)
            }
            _ if pointed => 0,
            Kind::Struct | Kind::Union => {
                let hollow = !name.is_empty() && !self.keep.contains(&name);
                let members: Vec<(&str, u32, u32)> = raw
                    .elements::<3>()
                    .filter(|_| !hollow)
                    .map(|[name, type_id, offset]| {
                        (
                            self.btf.text(name),
                            self.copy(TypeId(type_id), false),
                            offset,
                        )
                    })
                    .collect();
                let kind = if raw.kind() == Kind::Struct {
                    kind::STRUCT
                } else {
                    kind::UNION
                };
                self.blob
                    .composite(name, kind, flag, raw.size_or_type, &members)
            }
            Kind::Array => {
                let [elem, _, count] = raw.elements::<3>().next().unwrap();
                let elem = self.copy(TypeId(elem), false);
                self.blob.array(elem, count)
            }
            Kind::FuncProto => {
                let tail: Vec<u32> = raw
                    .elements::<2>()
                    .flat_map(|[_, type_id]| [0, self.copy(TypeId(type_id), false)])
                    .collect();
                self.blob.add("", kind::FUNC_PROTO, vlen, 0, &tail)
            }
            Kind::Enum => {
                let mut tail = Vec::new();
                for [name, value] in raw.elements::<2>() {
                    let name = self.btf.text(name);
                    if self.keep.contains(&name) {
                        tail.extend([self.blob.string(name), value]);
                    }
                }
                let info = flag | u32::try_from(tail.len() / 2).unwrap();
                self.blob
                    .add(name, kind::ENUM, info, raw.size_or_type, &tail)
            }
            Kind::Int => {
                let [encoding] = raw.elements::<1>().next().unwrap();
                self.blob
                    .add(name, kind::INT, 0, raw.size_or_type, &[encoding])
            }
            _ => self.blob.alias(name, kind::FWD, 0),
        };
        self.ids.insert((id, pointed), new);
        new
    }
}
