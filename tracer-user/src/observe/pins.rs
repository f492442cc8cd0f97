//! Pinning a session: so that the kernel goes on recording when its observer is killed.

use std::path::{Path, PathBuf};

use crate::{
    probe::{
        attached::Attached,
        pin::{self, Found, PinError},
    },
    session::{SessionId, Store, store::REFUSE_DEFAULT},
};

/// What the list of missing capabilities calls it.
const DEGRADED: &str = "pins";

/// The directory for pins: `--bpffs`, or the default.
pub(super) fn place(flag: Option<&Path>) -> Result<PathBuf, PinError> {
    pin::place(flag, std::env::var_os(REFUSE_DEFAULT).is_some())
}

/// The pins of sessions in this state directory, and those that nobody knows the state directory of.
/// None where there can be none, or where they are not for this user to see.
#[must_use]
pub fn found(flag: Option<&Path>, store: &Store) -> Vec<Found> {
    let found = place(flag).and_then(|bpffs| pin::list(&bpffs));
    let ours = |found: &Found| {
        found
            .state
            .as_deref()
            .is_none_or(|state| state == store.dir().path())
    };
    found.unwrap_or_default().into_iter().filter(ours).collect()
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
        format!(
            "if tracer were killed, the record would stop there: {}",
            self.0
        )
    }

    /// For the record.
    pub(super) fn degraded(&self) -> String {
        format!("{DEGRADED}: {}", self.0)
    }
}
