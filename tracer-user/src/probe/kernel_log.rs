//! What the kernel side logs, in a debug build: `cargo xtask ebpf --debug-object` makes an object that
//! logs, [`OBJECT_VARIABLE`] names it, and this prints its lines. The embedded object never logs.

use std::{env, fs};

use aya::Ebpf;
use aya_log::EbpfLogger;

use super::support::ProbeError;

/// The environment variable that names the object to load instead of the embedded one.
pub const OBJECT_VARIABLE: &str = "TRACER_BPF_OBJECT";

/// The object that the environment names, if it names one.
pub(super) fn named_object() -> Result<Option<Vec<u8>>, ProbeError> {
    env::var_os(OBJECT_VARIABLE)
        .map(|path| {
            let step = format!("reading {} ({OBJECT_VARIABLE})", path.display());
            fs::read(&path).map_err(|source| ProbeError::step(step, source))
        })
        .transpose()
}

/// The log of a loaded kernel side; empty when its object does not log.
pub(super) struct KernelLog(Option<EbpfLogger<Stderr>>);

impl KernelLog {
    /// Finds the log. To be called before the programs are loaded.
    pub(super) fn take(ebpf: &mut Ebpf) -> Self {
        Self(EbpfLogger::init_with_logger(ebpf, Stderr).ok())
    }

    /// Prints what has been logged since the last time.
    pub(super) fn print(&mut self) {
        if let Some(log) = &mut self.0 {
            log.flush();
        }
    }
}

impl std::fmt::Debug for KernelLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("KernelLog").field(&self.0.is_some()).finish()
    }
}

/// Prints lines as they come.
struct Stderr;

impl log::Log for Stderr {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        eprintln!("kernel {}: {}", record.level(), record.args());
    }

    fn flush(&self) {}
}
