//! `fence.json`: from when on sessions are shown.
//!
//! `tracer sessions clear` writes it. Nothing is deleted: listings and reports leave out what *ended*
//! before it, and can be asked for everything. A fence that cannot be read hides nothing.

use std::{
    io::{self, Read},
    time::Instant,
};

use jiff::Timestamp;
use rustix::{fs::OFlags, io::Errno};
use serde::Deserialize;
use serde_json::json;

use crate::session::{
    index,
    publish::{Existing, publish},
    store::{Store, StoreError},
};

/// The file, beside the index.
pub const FENCE: &str = "fence.json";
/// Version of its format, the key `format`.
const FORMAT: u64 = 1;
/// Longest file that is read.
const FENCE_MAX: u64 = 4096;

#[derive(Deserialize)]
struct Keys {
    format: u64,
    cleared_at: String,
}

/// Clears the listings of what has ended before `at`.
///
/// # Errors
/// What the system says; `TimedOut` when another process kept the index until `deadline`.
pub fn put(store: &Store, at: Timestamp, deadline: Instant) -> io::Result<()> {
    // Who is killed here leaves half a file, which the next to have the lock removes.
    let _alone = index::alone(store, deadline)?;
    let fence = json!({ "format": FORMAT, "cleared_at": format!("{at:.6}") });
    publish(store.dir(), FENCE, Existing::Replace, |out| {
        serde_json::to_writer(&mut *out, &fence)?;
        out.write_all(b"\n")
    })
}

/// When the listings were cleared; `None` when they never were.
///
/// # Errors
/// What the system says, and `InvalidData` for what is no fence.
pub fn read(store: &Store) -> io::Result<Option<Timestamp>> {
    let file = match store.dir().open_plain(FENCE, OFlags::RDONLY) {
        Err(StoreError::Io {
            source: Errno::NOENT,
            ..
        }) => return Ok(None),
        other => other.map_err(io::Error::other)?,
    };
    let mut text = Vec::new();
    file.take(FENCE_MAX).read_to_end(&mut text)?;
    parse(&text)
        .map(Some)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is not a fence of tracer's"))
}

fn parse(text: &[u8]) -> Option<Timestamp> {
    let keys: Keys = serde_json::from_slice(text).ok()?;
    if keys.format == FORMAT {
        keys.cleared_at.parse().ok()
    } else {
        None
    }
}
