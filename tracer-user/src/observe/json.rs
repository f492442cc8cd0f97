//! Where the lines of `--json` go: standard output, a file, or a FIFO whose reader may come later.
//!
//! Opening a FIFO for writing waits for a reader (fifo(7)), and nothing here may make the command wait:
//! the FIFO is opened when there is something to write and somebody to read it, on the thread that
//! writes. A file is private (0600) from its first byte and is appended to; links, devices and what
//! others have put into a shared directory are refused.

mod place;
#[cfg(test)]
mod tests;

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::{
    fs::{FileType, OFlags},
    io::Errno,
};

use self::place::{Found, Place, Refused, given, kind};
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

/// Opens what the path names, which is looked at before anything is written to it.
fn open(path: &Path, over: Arc<AtomicBool>) -> io::Result<Box<dyn Write + Send>> {
    if let Some(given) = given(path) {
        return Ok(Box::new(given?));
    }
    let place = Place::of(path)?;
    // Twice: somebody may remove or make the file between the two looks.
    for _ in 0..2 {
        match place.look() {
            Ok(found) => {
                place.check(&found)?;
                if kind(&found.stat) == FileType::Fifo {
                    let file = None;
                    return Ok(Box::new(Fifo {
                        place,
                        found,
                        file,
                        over,
                    }));
                }
                return Ok(Box::new(place.open(&found, OFlags::APPEND)?));
            }
            Err(Errno::NOENT) => match place.create() {
                Err(Errno::EXIST) => {}
                created => return Ok(Box::new(created?)),
            },
            Err(error) => return Err(error.into()),
        }
    }
    Err(Refused::Changed.into())
}

/// A FIFO, opened as soon as somebody reads it.
struct Fifo {
    place: Place,
    found: Found,
    file: Option<File>,
    over: Arc<AtomicBool>,
}

impl Write for Fifo {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            if let Some(file) = &mut self.file {
                // From now on a reader that is slow is waited for, as with any pipe.
                return file.write(bytes);
            }
            match self.place.open(&self.found, OFlags::empty()) {
                Ok(file) => self.file = Some(file),
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
