//! The built kernel side, embedded, and what built it.

/// The object, aligned as the ELF reader needs it.
pub(super) static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/tracer.bpf.o"));

/// What built it: the JSON that `cargo xtask ebpf` writes beside the object, with the keys `compiler`,
/// `linker`, `llvm`, `source_sha256` and `object_sha256`.
pub static BUILT_BY: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/tracer.bpf.json"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_object_does_not_log() {
        let log = b"AYA_LOGS";
        assert!(!OBJECT.windows(log.len()).any(|bytes| bytes == log));
    }
}
