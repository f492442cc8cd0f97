//! Files that appear whole or not at all: written beside, made durable, renamed into place.
//!
//! A reader at any moment, also after a power failure, sees the old file, the new one or none. What
//! a crash leaves behind has a name of [`is_temporary`]'s form and no meaning.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    os::fd::AsFd,
};

use rustix::{
    fs::{self, Mode, OFlags},
    rand::{GetRandomFlags, getrandom},
};

use crate::session::{
    dir::Dir,
    lease::Lease,
    store::{ANOMALIES, ENROLLMENT, LEASE, PROC_TRACE, SUMMARY},
};

/// Whether to write over a file that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Derived files: the newer one is as good.
    Replace,
    /// Authoritative files: the first one stays, and the call fails with `AlreadyExists`.
    Keep,
}

/// Writes `name` in `dir` with what `write` produces, mode 0600.
///
/// # Errors
/// What `write` or the system says; nothing is left behind then.
pub fn publish(
    dir: &Dir,
    name: &str,
    existing: Existing,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let temporary = temporary_name(name)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let file = File::from(dir.open(&temporary, flags, Mode::RUSR | Mode::WUSR)?);
    let result = fill(file, write).and_then(|()| place(dir, &temporary, name, existing));
    if result.is_err() {
        // The temporary file may be renamed already; the first error is the one to tell.
        let _gone = dir.remove(&temporary);
    }
    result?;
    if existing == Existing::Keep {
        // A derived file whose name a power failure forgets is rebuilt; this one could not be.
        dir.sync()?;
    }
    Ok(())
}

/// Whether this is the name of a file that [`publish`] had not finished: a dot, one of our own names,
/// 16 hex digits and `.tmp`.
#[must_use]
pub fn is_temporary(name: &str) -> bool {
    unfinished(name).is_some_and(is_ours)
}

/// The name of the file that [`publish`] had not finished, if `name` is what it left.
pub(super) fn unfinished(name: &str) -> Option<&str> {
    let (name, random) = name
        .strip_prefix('.')?
        .strip_suffix(".tmp")?
        .rsplit_once('.')?;
    let hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (random.len() == 16 && random.bytes().all(hex)).then_some(name)
}

fn is_ours(name: &str) -> bool {
    [LEASE, ENROLLMENT, PROC_TRACE, ANOMALIES, SUMMARY].contains(&name)
}

/// Removes what crashes have left unfinished in a session's directory; how many files. Only for whoever
/// holds the session's lease: the files of a living observer look the same.
///
/// # Errors
/// What the system says.
pub fn sweep(dir: &Dir, _held: &Lease) -> io::Result<usize> {
    let mut swept = 0;
    for name in dir.names().map_err(io::Error::other)? {
        if is_temporary(&name) {
            dir.remove(&name)?;
            swept += 1;
        }
    }
    Ok(swept)
}

/// A name for a file on its way to be `name`.
pub(super) fn temporary_name(name: &str) -> io::Result<String> {
    let mut random = [0_u8; 8];
    getrandom(&mut random, GetRandomFlags::empty())?;
    Ok(format!(".{name}.{:016x}.tmp", u64::from_ne_bytes(random)))
}

fn fill(file: File, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(256 << 10, file);
    write(&mut out)?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()
}

fn place(dir: &Dir, temporary: &str, name: &str, existing: Existing) -> io::Result<()> {
    let fd = dir.as_fd();
    if existing == Existing::Replace {
        return Ok(fs::renameat(fd, temporary, fd, name)?);
    }
    Ok(dir.rename_new(temporary, name)?)
}
