//! Pinning a session: so that the kernel goes on recording when its observer is killed.

use std::path::{Path, PathBuf};

use crate::{
    probe::{
        attached::Attached,
        pin::{self, PinError},
    },
    session::{SessionId, Store, store::REFUSE_DEFAULT},
};

/// What the list of missing capabilities calls it.
const DEGRADED: &str = "pins";

/// The directory for pins: `--bpffs`, or the default.
pub(super) fn place(flag: Option<&Path>) -> Result<PathBuf, PinError> {
    pin::place(flag, std::env::var_os(REFUSE_DEFAULT).is_some())
}

/// Pins the probe for a session; what is said, and noted as missing, when that cannot be.
pub(super) fn pin(
    probe: &mut Attached,
    flag: Option<&Path>,
    session: &SessionId,
    store: &Store,
) -> Result<(), Unpinned> {
    place(flag)
        .and_then(|bpffs| probe.pin(&bpffs, session.as_str(), store.dir().path()))
        .map_err(|error| Unpinned(super::error::chain(&error)))
}

/// Why a session is not pinned.
pub(super) struct Unpinned(String);

impl Unpinned {
    /// For people.
    pub(super) fn notice(&self) -> String {
        format!("nothing is traced while tracer is not running: {}", self.0)
    }

    /// For the record.
    pub(super) fn degraded(&self) -> String {
        format!("{DEGRADED}: {}", self.0)
    }
}
