//! A second reader of the record, live: the lines as they were written, to a pipe or file.
//!
//! It has a thread and a bounded buffer of its own, so that a consumer that is slow or has stopped
//! reading never holds up the journal. Lines it had no room for are counted; the consumer sees them
//! as a jump in `seq`.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::session::crash::{panics::contain, stack::SignalStack};

/// Bytes that may wait for the consumer.
pub(super) const TEE_BYTES: usize = 4 << 20;

#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that change apart from each other"
)]
struct State {
    buffer: Vec<u8>,
    /// What the lines tell of cannot be seen yet.
    held: bool,
    writing: bool,
    closed: bool,
    broken: bool,
    dropped: u64,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// How long a consumer may take for the rest at the end: it must not hold up whoever waits for tracer.
const REST: Duration = Duration::from_secs(1);

/// Hands lines to a consumer.
pub struct Tee {
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Tee {
    /// Writes to `sink` from a thread of its own.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn spawn(sink: Box<dyn Write + Send>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("tee".to_owned())
            .spawn(move || {
                let _stack = SignalStack::for_this_thread();
                // A mistake here costs the copy, not the record.
                if contain(|| theirs.run(sink)).is_err() {
                    theirs.give_up();
                }
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Takes whole lines, or counts them when the consumer is too far behind.
    pub(super) fn push(&self, lines: &[u8], count: usize) {
        let mut state = self.shared.lock();
        if state.broken || state.buffer.len() + lines.len() > TEE_BYTES {
            state.dropped += count as u64;
            return;
        }
        state.buffer.extend_from_slice(lines);
        if !state.writing {
            self.shared.changed.notify_all();
        }
    }

    /// Keeps all lines until [`Self::release`]: nobody may hear of a session that a kill at this moment
    /// would leave nothing of.
    pub(super) fn hold(&self) {
        self.shared.lock().held = true;
    }

    /// Hands on what was held.
    pub(super) fn release(&self) {
        self.shared.lock().held = false;
        self.shared.changed.notify_all();
    }

    /// Waits until the consumer has everything, [`REST`] at most and never beyond `deadline`; lines it
    /// never got.
    pub(super) fn close(mut self, deadline: Instant) -> u64 {
        let deadline = deadline.min(Instant::now() + REST);
        let mut state = self.shared.lock();
        state.closed = true;
        self.shared.changed.notify_all();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let empty = state.buffer.is_empty() && !state.writing;
            if state.broken || empty || left.is_zero() {
                let unread = count_lines(&state.buffer);
                let dropped = state.dropped + unread;
                drop(state);
                // A thread that hangs in the consumer's pipe cannot be joined; it ends with us.
                if empty && let Some(thread) = self.thread.take() {
                    let _panicked = thread.join();
                }
                return dropped;
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.split_inclusive(|&byte| byte == b'\n').count() as u64
}

impl Drop for Tee {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut sink: Box<dyn Write + Send>) {
        let mut lines = Vec::new();
        loop {
            let mut state = self.lock();
            state.writing = false;
            self.changed.notify_all();
            while state.buffer.is_empty() || state.held {
                if state.closed {
                    return;
                }
                let waited = self.changed.wait_timeout(state, Duration::from_secs(60));
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            std::mem::swap(&mut lines, &mut state.buffer);
            state.writing = true;
            drop(state);
            let result = sink.write_all(&lines).and_then(|()| sink.flush());
            if result.is_err() {
                self.lock().dropped += count_lines(&lines);
                self.give_up();
                return;
            }
            lines.clear();
        }
    }

    fn give_up(&self) {
        let mut state = self.lock();
        state.broken = true;
        state.writing = false;
        self.changed.notify_all();
    }
}
