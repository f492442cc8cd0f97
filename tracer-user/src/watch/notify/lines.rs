//! Alerts as JSON lines on standard output.
//!
//! Its queue is in memory: a pipe has no tomorrow. A reader that stops reading costs the lines that do
//! not fit, which are counted.

use std::{
    io::Write,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Instant,
};

use super::{
    NotifyError, Say,
    count::{Count, Counters},
    join_until, json, spawn,
};
use crate::watch::alert::Alert;

/// Lines that may wait for the reader.
const WAITING: usize = 256;
/// The name it has in counters.
const NAME: &str = "stdout";

/// The writing thread.
pub(super) struct Lines {
    sender: SyncSender<Vec<u8>>,
    count: Arc<Count>,
    thread: JoinHandle<()>,
}

impl Lines {
    pub(super) fn start(sink: Box<dyn Write + Send>, say: &Say) -> Result<Self, NotifyError> {
        let (sender, receiver) = sync_channel(WAITING);
        let count = Arc::new(Count::default());
        let (counting, say) = (Arc::clone(&count), Arc::clone(say));
        let thread = spawn(NAME, move || write(sink, &receiver, &counting, &say))?;
        Ok(Self {
            sender,
            count,
            thread,
        })
    }

    pub(super) fn offer(&self, alert: &Alert) {
        let Ok(mut line) = json::encode(alert) else {
            return self.count.dropped(1);
        };
        line.push(b'\n');
        match self.sender.try_send(line) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.count.dropped(1),
        }
    }

    pub(super) fn counters(&self) -> Counters {
        self.count.read(NAME, "jsonl")
    }

    pub(super) fn shutdown(self, until: Instant) -> Counters {
        drop(self.sender);
        // What it could not write it has counted.
        let _done = join_until(self.thread, until);
        self.count.read(NAME, "jsonl")
    }
}

/// Writes until nobody offers any more.
fn write(mut sink: Box<dyn Write + Send>, lines: &Receiver<Vec<u8>>, count: &Count, say: &Say) {
    let mut broken = false;
    for line in lines {
        match sink.write_all(&line).and_then(|()| sink.flush()) {
            Ok(()) => {
                count.delivered(1);
                broken = false;
            }
            Err(error) => {
                count.dropped(1);
                if !std::mem::replace(&mut broken, true) {
                    say(&format!("alerts on standard output: {error}"));
                }
            }
        }
    }
}
