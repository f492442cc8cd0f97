//! The few types of the kernel's BTF that aya needs to attach programs, as a BTF blob of their own.
//!
//! aya finds a hook's type id by its name in BTF it has parsed itself. That takes tens of milliseconds
//! and tens of megabytes on a whole kernel, and fails on a kind of type aya does not know yet. Our own
//! reader has the ids already; so aya gets a blob in which exactly these names have these ids, and
//! everything between is filler. The kernel never sees it: only the ids reach it.

use aya::{Btf, BtfError, Endianness};

const HEADER_LEN: u32 = 24;
const MAGIC: u16 = 0xeb9f;
const KIND_FWD: u32 = 7 << 24;
const KIND_TYPEDEF: u32 = 8 << 24;
const KIND_FUNC: u32 = 12 << 24;

/// What a hook's type is in BTF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HookKind {
    /// `typedef … btf_trace_<tracepoint>`.
    Tracepoint,
    /// `void bpf_iter_<kind>(…)`.
    Iterator,
}

/// Builds a BTF in which each name has its id.
pub(super) fn hook_types(hooks: &[(u32, &str, HookKind)]) -> Result<Btf, BtfError> {
    let mut hooks = hooks.to_vec();
    hooks.sort_unstable_by_key(|&(id, ..)| id);
    let mut types: Vec<u8> = Vec::new();
    let mut strings = vec![0_u8];
    let mut next_id = 1;
    let mut push = |name: u32, info: u32| {
        for word in [name, info, 0] {
            types.extend_from_slice(&word.to_le_bytes());
        }
    };
    for (id, name, kind) in hooks {
        while next_id < id {
            push(0, KIND_FWD);
            next_id += 1;
        }
        let at = u32::try_from(strings.len()).unwrap_or(0);
        strings.extend_from_slice(name.as_bytes());
        strings.push(0);
        match kind {
            HookKind::Tracepoint => push(at, KIND_TYPEDEF),
            HookKind::Iterator => push(at, KIND_FUNC),
        }
        next_id += 1;
    }
    let type_len = u32::try_from(types.len()).unwrap_or(u32::MAX);
    let string_len = u32::try_from(strings.len()).unwrap_or(u32::MAX);
    let mut blob = Vec::with_capacity(types.len() + strings.len() + HEADER_LEN as usize);
    blob.extend_from_slice(&MAGIC.to_le_bytes());
    blob.extend_from_slice(&[1, 0]);
    for word in [HEADER_LEN, 0, type_len, type_len, string_len] {
        blob.extend_from_slice(&word.to_le_bytes());
    }
    blob.extend_from_slice(&types);
    blob.extend_from_slice(&strings);
    Btf::parse(&blob, Endianness::Little)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::btf::{Btf as OwnBtf, Kind, TypeId};

    #[test]
    fn each_hook_has_the_id_it_has_in_the_kernel() {
        let btf = hook_types(&[
            (70_000, "bpf_iter_task", HookKind::Iterator),
            (3, "btf_trace_one", HookKind::Tracepoint),
            (4, "btf_trace_two", HookKind::Tracepoint),
        ])
        .unwrap();
        // As aya itself reads it; it has no other way to say what it found.
        let bytes = btf.to_bytes();
        let ours = OwnBtf::parse(&bytes).unwrap();
        assert_eq!(ours.stopped_at(), None);
        assert_eq!(
            ours.type_id_of("btf_trace_one", Kind::Typedef),
            Some(TypeId(3))
        );
        assert_eq!(
            ours.type_id_of("btf_trace_two", Kind::Typedef),
            Some(TypeId(4))
        );
        assert_eq!(
            ours.type_id_of("bpf_iter_task", Kind::Func),
            Some(TypeId(70_000))
        );
    }
}
