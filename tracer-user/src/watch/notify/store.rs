//! A directory of small numbered files, each there whole or not at all.
//!
//! What waits for delivery lies here, so that a restart or a crash forgets nothing. Names are sixteen hex
//! digits and `.json`; an unfinished file has another name and is cleared away. The directory is private
//! (0700): what is in it was written by us. Links are not followed all the same.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// The longest file that is read back; an alert is a few KiB.
const LONGEST: u64 = 1 << 20;

/// The directory.
#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
}

impl Store {
    /// Opens or makes it; the numbers that are there, in order.
    pub(super) fn open(dir: &Path) -> io::Result<(Self, Vec<u64>)> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut numbers = Vec::new();
        for entry in fs::read_dir(dir)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            if name
                .strip_suffix(".tmp")
                .is_some_and(|stem| number(stem).is_some())
            {
                fs::remove_file(dir.join(name))?;
            } else if let Some(number) = name.strip_suffix(".json").and_then(number) {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        let dir = dir.to_path_buf();
        Ok((Self { dir }, numbers))
    }

    fn path(&self, number: u64, end: &str) -> PathBuf {
        self.dir.join(format!("{number:016x}.{end}"))
    }

    /// Writes a file, over what had its number; on disk when this returns.
    pub(super) fn put(&self, number: u64, bytes: &[u8]) -> io::Result<()> {
        // Or it would be there, and could not be read.
        if bytes.len() as u64 > LONGEST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let unfinished = self.path(number, "tmp");
        let written = write(&unfinished, bytes).and_then(|()| {
            fs::rename(&unfinished, self.path(number, "json"))?;
            File::open(&self.dir)?.sync_all()
        });
        if written.is_err() {
            // It may be renamed already or never made; the first error is the one to tell.
            let _gone = fs::remove_file(&unfinished);
        }
        written
    }

    /// Reads a file.
    pub(super) fn get(&self, number: u64) -> io::Result<Vec<u8>> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let file = options.open(self.path(number, "json"))?;
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Removes a file; one that is gone is gone.
    pub(super) fn remove(&self, number: u64) -> io::Result<()> {
        match fs::remove_file(self.path(number, "json")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.custom_flags(libc::O_NOFOLLOW).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn number(stem: &str) -> Option<u64> {
    let hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (stem.len() == 16 && stem.bytes().all(hex))
        .then(|| u64::from_str_radix(stem, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_there_after_a_restart_in_its_order() {
        let room = tempfile::tempdir().expect("a directory");
        let dir = room.path().join("a/b");
        let (store, before) = Store::open(&dir).expect("open");
        assert_eq!(before, [0; 0]);
        for number in [0x10, 0x2, 0xf00] {
            store
                .put(number, format!("{number}").as_bytes())
                .expect("put");
        }
        store.put(0x10, b"newer").expect("put over");
        fs::write(dir.join(format!("{:016x}.tmp", 7)), b"half").expect("write");
        fs::write(dir.join("notes.txt"), b"not ours").expect("write");
        let (store, numbers) = Store::open(&dir).expect("open again");
        assert_eq!(numbers, [0x2, 0x10, 0xf00]);
        assert_eq!(store.get(0x10).expect("get"), b"newer");
        assert!(!dir.join(format!("{:016x}.tmp", 7)).exists());
        assert!(dir.join("notes.txt").exists());
        store.remove(0x2).expect("remove");
        store.remove(0x2).expect("gone is gone");
        assert_eq!(Store::open(&dir).expect("open").1, [0x10, 0xf00]);
    }

    #[test]
    fn a_link_in_place_of_a_file_is_not_followed() {
        let room = tempfile::tempdir().expect("a directory");
        let (store, _) = Store::open(room.path()).expect("open");
        let secret = room.path().join("secret");
        fs::write(&secret, b"x").expect("write");
        let name = room.path().join(format!("{:016x}.json", 1));
        std::os::unix::fs::symlink(&secret, name).expect("link");
        assert!(store.get(1).is_err());
    }
}
