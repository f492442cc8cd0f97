//! The built kernel side, embedded, and what built it.

use serde::Deserialize;

/// The object, aligned as the ELF reader needs it.
pub(super) static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/tracer.bpf.o"));

static BUILT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/tracer.bpf.json"));

/// What built the embedded kernel side; written by `cargo xtask ebpf`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BuiltBy {
    /// Rust compiler.
    pub compiler: String,
    /// Linker.
    pub linker: String,
    /// LLVM of the compiler.
    pub llvm: String,
    /// SHA-256 of the sources, in hex.
    pub source_sha256: String,
    /// SHA-256 of the object, in hex.
    pub object_sha256: String,
}
