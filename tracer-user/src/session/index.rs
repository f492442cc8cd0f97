//! `sessions.jsonl`: one row a session, for listings.
//!
//! Derived, and so allowed to lack a row: the session directories are the truth. Rows are appended
//! under an exclusive lock with one write each. A writer that died in the middle leaves half a row
//! without a newline; the next one ends it, and readers take whole JSON objects only.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::fs::{FileExt, MetadataExt},
    time::{Duration, Instant},
};

use rustix::{
    fs::{self, AtFlags, FlockOperation, Mode, OFlags},
    io::Errno,
};
use serde_json::Value;

use crate::session::{
    dir::has_other_names,
    fence::FENCE,
    journal::escape::put_json,
    publish::{Existing, publish, unfinished},
    store::{INDEX, Store, StoreError},
};

/// Between two tries for the lock. `flock(2)` has no deadline of its own.
const RETRY: Duration = Duration::from_millis(5);
/// Longest row that is read.
const ROW_MAX: u64 = 1 << 20;

/// Appends a row.
///
/// # Errors
/// What the system says; `TimedOut` when another process kept the lock until `deadline`.
pub fn append(store: &Store, row: &Value, deadline: Instant) -> io::Result<()> {
    let mut file = locked(store, deadline)?;
    let mut line = Vec::new();
    put_json(&mut line, row).ok_or(io::ErrorKind::InvalidData)?;
    line.push(b'\n');
    if ends_torn(&file)? {
        line.insert(0, b'\n');
    }
    // The lock goes with the descriptor, which nobody else has. Not synced: a row that a power
    // failure takes comes back with the next rebuild.
    file.write_all(&line)
}

/// Leaves one row a session, the one that was appended last, of those that `keep` wants. Nothing is
/// written when nothing changes. A reader sees the old file or the new one.
///
/// # Errors
/// As [`append`].
pub fn compact(store: &Store, deadline: Instant, keep: impl Fn(&str) -> bool) -> io::Result<()> {
    let file = locked(store, deadline)?;
    // Only who has the lock makes these.
    for name in store.dir().names().map_err(io::Error::other)? {
        if matches!(unfinished(&name), Some(INDEX | FENCE)) {
            store.dir().remove(&name)?;
        }
    }
    let (rows, bad) = read_rows(BufReader::new(&file));
    let mut last = HashMap::new();
    for (at, row) in rows.iter().enumerate() {
        let id = row["session_id"].as_str().unwrap_or_default();
        if keep(id) {
            last.insert(id, at);
        }
    }
    if last.len() == rows.len() && bad == 0 {
        return Ok(());
    }
    publish(store.dir(), INDEX, Existing::Replace, |out| {
        for (at, row) in rows.iter().enumerate() {
            let id = row["session_id"].as_str().unwrap_or_default();
            if last.get(id) == Some(&at) {
                serde_json::to_writer(&mut *out, row)?;
                out.write_all(b"\n")?;
            }
        }
        Ok(())
    })
}

/// Keeps every other writer away from what lies beside the index, while the file lives.
///
/// # Errors
/// As [`append`].
pub(super) fn alone(store: &Store, deadline: Instant) -> io::Result<File> {
    locked(store, deadline)
}

/// The index, made if it is not there, with nobody else writing it.
fn locked(store: &Store, deadline: Instant) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NONBLOCK;
    loop {
        let file = File::from(store.dir().open(INDEX, flags, Mode::RUSR | Mode::WUSR)?);
        let metadata = file.metadata()?;
        // A pipe would swallow the row, and a second name would let it land in somebody else's file.
        if !metadata.is_file() || has_other_names(&file, "", metadata.nlink()) {
            return Err(io::Error::other(
                "it is no plain file with this name alone; move it away",
            ));
        }
        lock(&file, deadline)?;
        // A compaction may have put another file in its place while we waited.
        match fs::statat(store.dir(), INDEX, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(named) if (named.st_dev, named.st_ino) == (metadata.dev(), metadata.ino()) => {
                return Ok(file);
            }
            Ok(_) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

fn lock(file: &File, deadline: Instant) -> io::Result<()> {
    loop {
        match fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => std::thread::sleep(RETRY),
            Err(Errno::WOULDBLOCK) => return Err(io::ErrorKind::TimedOut.into()),
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

fn ends_torn(file: &File) -> io::Result<bool> {
    let length = file.metadata()?.len();
    let mut last = [b'\n'];
    if length > 0 {
        file.read_exact_at(&mut last, length - 1)?;
    }
    Ok(last != *b"\n")
}

/// All rows in the order they were appended, and how many lines were none.
///
/// # Errors
/// What the system says; an index that is not there is empty.
pub fn read(store: &Store) -> io::Result<(Vec<Value>, u64)> {
    // A pipe would be waited for, and a device may never end.
    let file = match store.dir().open_plain(INDEX, OFlags::RDONLY) {
        Err(StoreError::Io {
            source: Errno::NOENT,
            ..
        }) => return Ok((Vec::new(), 0)),
        other => other.map_err(io::Error::other)?,
    };
    Ok(read_rows(BufReader::new(file)))
}

fn read_rows(mut source: impl BufRead) -> (Vec<Value>, u64) {
    let (mut rows, mut bad) = (Vec::new(), 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        match source.by_ref().take(ROW_MAX).read_until(b'\n', &mut line) {
            Ok(read) if read > 0 => {}
            _ => return (rows, bad),
        }
        match serde_json::from_slice::<Value>(&line) {
            // Without its newline it may still grow: not a row yet.
            Ok(row) if row.is_object() && line.ends_with(b"\n") => rows.push(row),
            _ => bad += u64::from(line != b"\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::StateDir;

    #[test]
    fn half_a_row_is_not_a_row() {
        let (rows, bad) = read_rows(b"{\"a\":1}\n{\"b\":\n{\"c\":3}\n[]\n{\"d\":4}".as_slice());
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1]["c"], 3);
        assert_eq!(bad, 3);
    }

    #[test]
    fn a_row_goes_into_no_pipe_and_no_file_that_has_another_name() {
        let room = tempfile::tempdir().unwrap();
        let state = room.path().join("state");
        let state = StateDir::resolve(Some(state), |_| None, 0).unwrap();
        let store = Store::open(&state).unwrap();
        let index = state.path().join(INDEX);
        let append = || append(&store, &Value::from("row"), Instant::now());

        std::fs::write(room.path().join("precious"), "mine").unwrap();
        std::fs::hard_link(room.path().join("precious"), &index).unwrap();
        append().unwrap_err();
        assert_eq!(
            std::fs::read(room.path().join("precious")).unwrap(),
            b"mine"
        );

        std::fs::remove_file(&index).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &index,
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
        append().unwrap_err();

        std::fs::remove_file(&index).unwrap();
        append().unwrap();
        assert_eq!(std::fs::read(&index).unwrap(), b"\"row\"\n");
    }
}
