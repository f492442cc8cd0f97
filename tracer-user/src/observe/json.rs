//! Where the lines of `--json` go: standard output, a file, or a FIFO whose reader may come later.
//!
//! Opening a FIFO for writing waits for a reader (fifo(7)), and nothing here may make the command wait:
//! the FIFO is opened when there is something to write and somebody to read it, on the thread that
//! writes.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::ObserveError;
use crate::{config::JsonSink, session::recorder::Tee};

/// How often a FIFO is asked for a reader: the kernel tells nobody who does not wait in `open(2)`.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// The lines, where the user wants them.
#[derive(Default)]
pub(super) struct Lines {
    pub(super) tee: Option<Tee>,
    /// Once set, no reader is waited for any more.
    pub(super) over: Arc<AtomicBool>,
}

impl Lines {
    /// Starts what writes them.
    pub(super) fn start(sink: Option<&JsonSink>) -> Result<Self, ObserveError> {
        let over = Arc::new(AtomicBool::new(false));
        let sink: Box<dyn Write + Send> = match sink {
            None => return Ok(Self::default()),
            Some(JsonSink::Stdout) => Box::new(io::stdout()),
            Some(JsonSink::File(path)) => {
                open(path, Arc::clone(&over)).map_err(|source| ObserveError::Json {
                    path: path.clone(),
                    source,
                })?
            }
        };
        let tee = Tee::spawn(sink).map_err(|source| ObserveError::System {
            step: "start a thread for --json",
            source,
        })?;
        Ok(Self {
            tee: Some(tee),
            over,
        })
    }
}

fn open(path: &Path, over: Arc<AtomicBool>) -> io::Result<Box<dyn Write + Send>> {
    let is_fifo = std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo());
    if is_fifo {
        return Ok(Box::new(Fifo {
            path: path.to_owned(),
            file: None,
            over,
        }));
    }
    let open = OpenOptions::new().append(true).create(true).open(path)?;
    Ok(Box::new(open))
}

/// A FIFO, opened as soon as somebody reads it.
struct Fifo {
    path: PathBuf,
    file: Option<File>,
    over: Arc<AtomicBool>,
}

impl Write for Fifo {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            if let Some(file) = &mut self.file {
                return file.write(bytes);
            }
            let open = OpenOptions::new()
                .write(true)
                .custom_flags(libc::O_NONBLOCK)
                .open(&self.path);
            match open {
                Ok(file) => {
                    // From now on a reader that is slow is waited for, as with any pipe.
                    rustix::io::ioctl_fionbio(&file, false)?;
                    self.file = Some(file);
                }
                Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {
                    if self.over.load(Ordering::Relaxed) {
                        return Err(error);
                    }
                    std::thread::sleep(ASK_EVERY);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn fifo(dir: &tempfile::TempDir) -> PathBuf {
        let path = dir.path().join("fifo");
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).unwrap();
        path
    }

    #[test]
    fn a_fifo_that_nobody_reads_holds_up_neither_start_nor_end() {
        let dir = tempfile::tempdir().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let mut sink = open(&fifo(&dir), Arc::clone(&over)).unwrap();
        over.store(true, Ordering::Relaxed);
        let error = sink.write(b"x").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENXIO));
    }

    #[test]
    fn a_reader_that_comes_late_gets_every_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = fifo(&dir);
        let mut sink = open(&path, Arc::default()).unwrap();
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            File::open(path).unwrap().read_to_string(&mut text).unwrap();
            text
        });
        sink.write_all(b"one\ntwo\n").unwrap();
        drop(sink);
        assert_eq!(reader.join().unwrap(), "one\ntwo\n");
    }
}
