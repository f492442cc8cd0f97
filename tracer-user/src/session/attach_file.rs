//! The caller's own files beside the record: `attachments/NAME`.
//!
//! Copied at the end of a session, and by recovery where the observer could not, because the session's
//! first record names them. The caller chose the path and we copy what is there with our own rights,
//! so only a regular file counts: never what a symbolic link at its place leads to, never a pipe or a
//! device. What became of each is a `note` in the journal. Never copied in part: a file that is too
//! large is left where it is, and said.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::unix::ffi::OsStrExt,
    path::Path,
    time::Instant,
};

use jiff::Timestamp;
use rustix::{
    fs::{self, Mode, OFlags},
    io::Errno,
};
use serde_json::Value;
use thiserror::Error;

use crate::session::{
    dir::Dir,
    journal::{info::Attachment, notes::topic, record::Note},
    publish::{Existing, publish, unfinished},
    store::{ATTACHMENTS, StoreError},
};

/// Most files a session keeps.
pub const ATTACHMENTS_MAX: usize = 64;
/// Longest name, bytes.
pub const NAME_MAX: usize = 100;

/// Largest file that is copied.
pub const FILE_MAX: u64 = 64 << 20;
/// Bytes copied between two looks whether to go on.
const PIECE: usize = 256 << 10;

/// Why a name is not one for an attached file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{name:?} {why}; give one plain file name, such as usage.json")]
pub struct NameError {
    name: String,
    why: &'static str,
}

/// Checks that `name` is one plain file name: no path, no hidden file, nothing a terminal or a file
/// system gives a meaning.
///
/// # Errors
/// [`NameError`] says what is wrong.
pub fn check_name(name: &str) -> Result<(), NameError> {
    let why = if name.is_empty() {
        "is empty"
    } else if name.len() > NAME_MAX {
        "is longer than 100 bytes"
    } else if name.contains('/') {
        "is a path"
    } else if name.starts_with('.') {
        // `.` and `..`, and the names of files that are not finished.
        "begins with a dot"
    } else if name.chars().any(char::is_control) {
        "holds a control character"
    } else {
        return Ok(());
    };
    Err(NameError {
        name: name.chars().take(NAME_MAX).collect(),
        why,
    })
}

/// A copy in the session: what its note says of it.
#[derive(Debug, Clone)]
pub struct Copied {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// CRC-32 (IEEE) of its content.
    pub crc32: u32,
    /// When the original was written last, where the original was seen: recovery may come long after
    /// the session, and a reader should know whether the file still was what it had been.
    pub modified: Option<Timestamp>,
}

/// Why a file was not copied. Nothing of it is in the session then.
#[derive(Debug, Error)]
pub enum AttachError {
    /// The name in the record is none we would have written.
    #[error(transparent)]
    Name(#[from] NameError),
    /// It is not there.
    #[error("it does not exist")]
    Missing,
    /// It is something that only looks like a file.
    #[error("it is a link, a pipe, a device or a directory: only regular files are copied")]
    NotRegular,
    /// It would fill the session.
    #[error("it has {bytes} bytes; files of up to {FILE_MAX} are copied")]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// There was no more time for it.
    #[error("there was no time left to copy it")]
    OutOfTime,
    /// The session's directory cannot take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system refused.
    #[error("cannot {step} it: {source}")]
    Io {
        /// What was tried.
        step: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl AttachError {
    /// For the note's key `result`.
    fn result(&self) -> &'static str {
        match self {
            Self::Name(_) => "bad_name",
            Self::Missing => "missing",
            Self::NotRegular => "not_regular",
            Self::TooLarge { .. } => "too_large",
            Self::OutOfTime => "out_of_time",
            Self::Store(_) | Self::Io { .. } => "failed",
        }
    }
}

/// Copies a file into the session, unless its copy is there already: an observer that was killed
/// after copying has left a whole one. `go_on` is asked between pieces.
///
/// Only for whoever holds the session's lease.
///
/// # Errors
/// [`AttachError`].
pub fn attach(
    dir: &Dir,
    file: &Attachment,
    go_on: impl Fn() -> bool,
) -> Result<Copied, AttachError> {
    check_name(&file.name)?;
    let attachments = dir.private_child(ATTACHMENTS)?;
    if attachments.has(&file.name) {
        return Copied::of_copy(dir, &file.name);
    }
    sweep(&attachments)?;
    let source = open(&file.path)?;
    let modified = source.metadata().and_then(|metadata| metadata.modified());
    let modified = modified.ok().and_then(|at| Timestamp::try_from(at).ok());
    let mut sum = Sum::default();
    let mut failed = None;
    let written = publish(&attachments, &file.name, Existing::Keep, |out| {
        let copied = sum.copy(source, out, &go_on);
        copied.map_err(|error| {
            failed = Some(error);
            io::Error::other("not copied")
        })
    });
    match (failed, written) {
        (Some(error), _) => Err(error),
        (None, Err(source)) => Err(AttachError::Io {
            step: "store",
            source,
        }),
        (None, Ok(())) => Ok(Copied {
            modified,
            ..sum.copied(&file.name)
        }),
    }
}

/// Removes what a crash has left of copies. Their names begin with a dot, those of copies never do.
fn sweep(attachments: &Dir) -> Result<(), StoreError> {
    for name in attachments.names()? {
        if unfinished(&name).is_some() {
            let _stays = attachments.remove(&name);
        }
    }
    Ok(())
}

/// The caller's file, if it is one.
fn open(path: &[u8]) -> Result<File, AttachError> {
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    // Not waiting for the other end of a pipe, and not becoming the session of a terminal.
    let flags =
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let error = |step, source: Errno| AttachError::Io {
        step,
        source: source.into(),
    };
    let fd = match fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Err(AttachError::Missing),
        Err(Errno::LOOP | Errno::NXIO) => return Err(AttachError::NotRegular),
        other => other.map_err(|source| error("open", source))?,
    };
    let file = File::from(fd);
    let metadata = file.metadata().map_err(|source| AttachError::Io {
        step: "examine",
        source,
    })?;
    if !metadata.is_file() {
        return Err(AttachError::NotRegular);
    }
    if metadata.len() > FILE_MAX {
        let bytes = metadata.len();
        return Err(AttachError::TooLarge { bytes });
    }
    Ok(file)
}

/// What went by.
#[derive(Default)]
struct Sum {
    bytes: u64,
    crc: crc32fast::Hasher,
}

impl Sum {
    /// Copies to the end of the file, which may grow meanwhile.
    fn copy(
        &mut self,
        mut from: File,
        to: &mut dyn Write,
        go_on: &dyn Fn() -> bool,
    ) -> Result<(), AttachError> {
        let error = |step| move |source| AttachError::Io { step, source };
        let mut piece = vec![0; PIECE];
        loop {
            if !go_on() {
                return Err(AttachError::OutOfTime);
            }
            let read = match from.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(error("read")(source)),
            };
            self.bytes += read as u64;
            if self.bytes > FILE_MAX {
                return Err(AttachError::TooLarge { bytes: self.bytes });
            }
            self.crc.update(&piece[..read]);
            to.write_all(&piece[..read]).map_err(error("store"))?;
        }
    }

    fn copied(self, name: &str) -> Copied {
        Copied {
            name: name.to_owned(),
            bytes: self.bytes,
            crc32: self.crc.finalize(),
            modified: None,
        }
    }
}

impl Copied {
    /// Reads a copy that is there.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn of_copy(dir: &Dir, name: &str) -> Result<Self, AttachError> {
        check_name(name)?;
        let file = dir
            .existing_child(ATTACHMENTS)?
            .open_plain(name, OFlags::RDONLY)?;
        let mut sum = Sum::default();
        sum.copy(file, &mut io::sink(), &|| true)?;
        Ok(sum.copied(name))
    }

    /// What a note says of a copy; `None` when there is none.
    #[must_use]
    pub fn from_note(note: &Note) -> Option<Self> {
        let text = |key: &str| note.data.get(key)?.as_str();
        if note.topic != topic::ATTACHMENT || text("result") != Some("copied") {
            return None;
        }
        Some(Self {
            name: text("name")?.to_owned(),
            bytes: note.number("bytes")?,
            crc32: u32::from_str_radix(text("crc32")?, 16).ok()?,
            modified: text("modified").and_then(|at| at.parse().ok()),
        })
    }

    /// Whether both are copies of the same name and content.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.name, self.bytes, self.crc32) == (&other.name, other.bytes, other.crc32)
    }
}

/// The note of what became of a file.
#[must_use]
pub fn note(file: &Attachment, result: &Result<Copied, AttachError>) -> Note {
    let name = ("name", Value::from(file.name.as_str()));
    let path = String::from_utf8_lossy(&file.path);
    let path = ("path", Value::from(path.as_ref()));
    match result {
        Ok(copied) => {
            let data = [
                name,
                path,
                ("result", Value::from("copied")),
                ("bytes", Value::from(copied.bytes)),
                ("crc32", Value::from(format!("{:08x}", copied.crc32))),
                (
                    "modified",
                    copied
                        .modified
                        .map_or(Value::Null, |at| Value::from(format!("{at:.6}"))),
                ),
            ];
            Note::new(
                topic::ATTACHMENT,
                &format!("{} was copied", file.name),
                data,
            )
        }
        Err(error) => {
            let text = format!("{} was not copied: {error}", file.name);
            let data = [name, path, ("result", Value::from(error.result()))];
            Note::new(topic::ATTACHMENT, &text, data)
        }
    }
}

/// Copies the files a session names, for recovery; a note of each. Stops copying at `deadline`.
///
/// Only for whoever holds the session's lease.
#[must_use]
pub fn attach_all(dir: &Dir, files: &[Attachment], deadline: Instant) -> Vec<Note> {
    files
        .iter()
        .take(ATTACHMENTS_MAX)
        .map(|file| note(file, &attach(dir, file, || Instant::now() < deadline)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_plain_file_name() {
        for good in ["usage.json", "a", "Größe 1", "-x", &"x".repeat(100)] {
            assert_eq!(check_name(good), Ok(()), "{good:?}");
        }
        for bad in [
            "",
            ".",
            "..",
            ".hidden",
            "a/b",
            "/etc/passwd",
            "../a",
            "a\nb",
            "a\0b",
            "a\u{1b}[2J",
            &"x".repeat(101),
        ] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
