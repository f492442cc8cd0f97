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

/// What built the embedded kernel side; `None` only when the file beside it is not what `cargo xtask
/// ebpf` writes.
#[must_use]
pub fn built_by() -> Option<BuiltBy> {
    serde_json::from_str(BUILT).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_object_says_what_built_it() {
        let built = built_by().expect("tracer.bpf.json as `cargo xtask ebpf` writes it");
        assert!(built.compiler.starts_with("rustc 1."), "{}", built.compiler);
        assert_eq!(built.object_sha256.len(), 64);
    }

    #[test]
    fn the_release_object_does_not_log() {
        let log = b"AYA_LOGS";
        assert!(!OBJECT.windows(log.len()).any(|bytes| bytes == log));
    }
}
