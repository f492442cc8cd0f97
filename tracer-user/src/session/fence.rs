//! `fence.json`: from when on sessions are shown.
//!
//! `tracer sessions clear` writes it. Nothing is deleted: listings and reports leave out what *ended*
//! before it, and can be asked for everything. A fence that cannot be read hides nothing.

use std::{
    fs::File,
    io::{self, Read},
};

use jiff::Timestamp;
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};
use serde::Deserialize;
use serde_json::json;

use crate::session::{
    publish::{Existing, publish},
    store::Store,
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
    cleared_at: Timestamp,
}

/// Clears the listings of what has ended before `at`.
///
/// # Errors
/// What the system says.
pub fn put(store: &Store, at: Timestamp) -> io::Result<()> {
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
    // Not waiting for a writer, should it be a pipe.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let file = match store.dir().open(FENCE, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        other => File::from(other?),
    };
    let mut text = Vec::new();
    if file.metadata()?.is_file() {
        file.take(FENCE_MAX).read_to_end(&mut text)?;
    }
    parse(&text)
        .map(Some)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is not a fence of tracer's"))
}

fn parse(text: &[u8]) -> Option<Timestamp> {
    let keys: Keys = serde_json::from_slice(text).ok()?;
    (keys.format == FORMAT).then_some(keys.cleared_at)
}
