//! Reads the ring buffer with as few wake-ups as its readers can bear.
//!
//! A wake-up costs the *observed* process ten times what the event itself does (an interrupt to
//! another processor), so the kernel side sends none while this reader is busy. The agreement:
//!
//! * While records keep coming, the reader looks every [`POLL_EVERY`] by itself. The kernel side wakes
//!   it only for what cannot wait: a buffer one eighth full, or an urgent event.
//! * A process comes as a burst: fork, exec, and often exit. After the wake-up for the first of them
//!   the next look is sooner, after [`FIRST_LOOK`].
//! * After an empty round the reader declares itself idle ([`IdleFlag`]), makes sure that nothing
//!   arrived meanwhile, and blocks. The kernel side takes the next event as reason for one wake-up and
//!   clears the flag.
//! * "Nothing arrived" is asked of the producer's position, not of the records. That moves when a record
//!   is reserved; to a reader of records it is there only when it is committed. So, at whatever moment of sending a record the
//!   kernel side looks at the flag, either it sees the flag or the reader sees the record.
//! * Should a wake-up be lost all the same, the reader looks after [`SAFETY_NET`], and counts it.
//!
//! Refuses to interpret records, and to keep them: that is for `on_record`.

#[cfg(test)]
mod tests;

use std::{
    io,
    sync::atomic::{Ordering, fence},
    time::Duration,
};

use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, timeout_at},
};

pub use super::ring_map::RingMap;

/// Pause between two looks while records keep coming: the longest an event that is not urgent waits.
pub const POLL_EVERY: Duration = Duration::from_millis(20);
/// Pause between the look that a wake-up caused and the next: the length of a burst.
pub const FIRST_LOOK: Duration = Duration::from_millis(2);
/// Longest time without a look, wake-up or not.
pub const SAFETY_NET: Duration = Duration::from_millis(200);

/// Where records come from; the kernel's ring buffer, or a model of it in tests.
pub trait RecordSource {
    /// Shows the oldest committed record that was not shown yet to `on_record`. False when there is
    /// none.
    fn next(&mut self, on_record: &mut impl FnMut(&[u8])) -> bool;

    /// Gives back the room of all that was shown.
    fn release(&mut self);

    /// Whether the buffer holds anything that was not shown, committed or not.
    fn is_pending(&self) -> bool;

    /// Completes when the kernel side has sent a wake-up since the last time this completed. Dropping
    /// it loses no wake-up.
    ///
    /// # Errors
    /// When the event loop is gone.
    fn woken(&mut self) -> impl Future<Output = io::Result<()>>;
}

/// How the reader tells the kernel side that it is about to block.
pub trait IdleFlag {
    /// Sets `Control::reader_idle`. The kernel side clears it by itself when it sends the wake-up.
    ///
    /// # Errors
    /// When the map cannot be written; the reader then polls for good.
    fn set_idle(&self, idle: bool) -> io::Result<()>;
}

/// What one round brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drained {
    /// Records handed over.
    pub records: usize,
    /// The limit ended the round: there may be more, and [`RingReader::wait`] returns at once.
    pub more: bool,
}

/// What reading cost so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RingStats {
    /// Records handed over.
    pub records: u64,
    /// Calls of [`RingReader::drain`].
    pub rounds: u64,
    /// Times the kernel side woke the reader.
    pub wakeups: u64,
    /// Times the reader looked by its own timer while busy.
    pub polls: u64,
    /// Times the reader declared itself idle.
    pub idles: u64,
    /// Times something had arrived between the last look and the idle flag.
    pub idle_races: u64,
    /// Times nothing came for as long as [`SAFETY_NET`].
    pub timeouts: u64,
    /// Timeouts after which there were records all the same: wake-ups that were lost.
    pub rescues: u64,
    /// Times the idle flag could not be set.
    pub flag_errors: u64,
}

/// What the reader knows between two rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The last round was ended by its limit, or there is known to be something: look at once.
    Unread,
    /// Records are coming, or one is about to be committed: look at this time, or when woken.
    Busy(Instant),
    /// The last round found nothing: declare idle, and look at this time even if nobody wakes us.
    Empty(Instant),
    /// The safety net made us look: the next round tells whether a wake-up was lost.
    TimedOut,
    /// Something is in the buffer, but the last rounds found nothing committed.
    Uncommitted,
}

/// The reader of one ring buffer. Call [`wait`](Self::wait), then [`drain`](Self::drain), for ever.
#[derive(Debug)]
pub struct RingReader<S, F> {
    source: S,
    flag: F,
    state: State,
    /// A wake-up ended the rest, and nothing has been read since.
    is_roused: bool,
    /// Somebody else gives room back.
    keeps: bool,
    /// The next look, or the one just taken, is the sooner one.
    is_first_look: bool,
    stats: RingStats,
}

impl<F: IdleFlag> RingReader<KernelRing, F> {
    /// Reads `ring`. Must be called in a tokio runtime with its I/O and time drivers enabled.
    ///
    /// # Errors
    /// When the buffer cannot be added to the event loop.
    pub fn new(ring: RingMap, flag: F) -> io::Result<Self> {
        // SAFETY: `RingMap` owns its map's descriptor, open until it is dropped, and has no way to
        // exchange it; this `AsyncFd` owns the `RingMap` and never gives it away.
        let fd = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }?;
        Ok(Self::with_source(KernelRing { fd }, flag))
    }

    /// From now on what was read stays in the ring until [`Self::release`].
    pub fn keep(&mut self) {
        self.keeps = true;
    }

    /// How far the ring has been read.
    #[must_use]
    pub fn position(&self) -> usize {
        self.source.fd.get_ref().position()
    }

    /// Gives back the room of all that was read up to a position.
    pub fn release(&mut self, position: usize) {
        self.source.fd.get_mut().release(position);
    }

    /// Whether what was read and not released takes more than half of the ring.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        let ring = self.source.fd.get_ref();
        ring.kept() > ring.size() / 2
    }
}

impl<S: RecordSource, F: IdleFlag> RingReader<S, F> {
    /// Reads from any source.
    pub fn with_source(source: S, flag: F) -> Self {
        Self {
            source,
            flag,
            // What is in the buffer now was sent before anybody listened.
            state: State::Unread,
            is_roused: false,
            keeps: false,
            is_first_look: false,
            stats: RingStats::default(),
        }
    }

    /// What reading cost so far.
    #[must_use]
    pub fn stats(&self) -> RingStats {
        self.stats
    }

    /// Completes when it is time to [`drain`](Self::drain): at once, when woken, or at the deadline of
    /// the present state. Cancel safe: deadlines live in the reader, so a caller that drops this again
    /// and again, for a busier branch of its `select!`, still looks in time.
    ///
    /// # Errors
    /// When the event loop fails; nothing can be read live after that.
    pub async fn wait(&mut self) -> io::Result<()> {
        match self.state {
            State::Unread | State::TimedOut | State::Uncommitted => Ok(()),
            State::Busy(until) => {
                if self.woken_before(until).await? {
                    self.stats.wakeups += 1;
                } else {
                    self.stats.polls += 1;
                }
                self.state = State::Unread;
                Ok(())
            }
            State::Empty(until) => self.block(until).await,
        }
    }

    /// Declares the reader idle and blocks.
    async fn block(&mut self, until: Instant) -> io::Result<()> {
        if self.flag.set_idle(true).is_err() {
            // Nobody will wake us, so look as if busy. What refuses the flag may allow it later.
            self.stats.flag_errors += 1;
            let poll_at = until.min(Instant::now() + POLL_EVERY);
            if self.woken_before(poll_at).await? {
                self.stats.wakeups += 1;
            } else {
                self.stats.polls += 1;
            }
            self.state = State::Unread;
            return Ok(());
        }
        self.stats.idles += 1;
        // The flag must be visible before the positions are read; the kernel side does the same the
        // other way round.
        fence(Ordering::SeqCst);
        if self.source.is_pending() {
            self.stats.idle_races += 1;
            self.state = State::Uncommitted;
            return Ok(());
        }
        if self.woken_before(until).await? {
            self.stats.wakeups += 1;
            self.is_roused = true;
            self.state = State::Unread;
        } else {
            self.stats.timeouts += 1;
            self.state = State::TimedOut;
        }
        Ok(())
    }

    /// Whether a wake-up came before the deadline.
    async fn woken_before(&mut self, until: Instant) -> io::Result<bool> {
        match timeout_at(until, self.source.woken()).await {
            Ok(woken) => woken.map(|()| true),
            Err(_) => Ok(false),
        }
    }

    /// Hands over what the buffer holds, oldest first, at most `limit` records, so that a storm cannot
    /// keep the caller from its other work.
    pub fn drain(&mut self, limit: usize, mut on_record: impl FnMut(&[u8])) -> Drained {
        let mut records = 0;
        while records < limit && self.source.next(&mut on_record) {
            records += 1;
        }
        if !self.keeps {
            self.source.release();
        }
        let more = records == limit;
        let now = Instant::now();
        self.stats.rounds += 1;
        self.stats.records += records as u64;
        if self.state == State::TimedOut && records > 0 {
            self.stats.rescues += 1;
        }
        self.state = match self.state {
            _ if more => State::Unread,
            _ if records > 0 => {
                self.is_first_look = std::mem::take(&mut self.is_roused);
                let pause = if self.is_first_look {
                    FIRST_LOOK
                } else {
                    POLL_EVERY
                };
                State::Busy(now + pause)
            }
            // A writer between reserve and commit takes no time to speak of, unless its processor was
            // taken away. Do not spin for that.
            State::Uncommitted => State::Busy(now + POLL_EVERY),
            // A round out of turn does not push the deadline back.
            State::Busy(until) => State::Busy(until),
            State::Empty(until) => State::Empty(until),
            // Nothing so soon is no sign of rest.
            State::Unread if std::mem::take(&mut self.is_first_look) => {
                State::Busy(now + POLL_EVERY)
            }
            State::Unread | State::TimedOut => State::Empty(now + SAFETY_NET),
        };
        Drained { records, more }
    }
}

/// The kernel's ring buffer in the event loop.
pub struct KernelRing {
    fd: AsyncFd<RingMap>,
}

impl RecordSource for KernelRing {
    fn next(&mut self, on_record: &mut impl FnMut(&[u8])) -> bool {
        self.fd.get_mut().read_next().map(on_record).is_some()
    }

    fn release(&mut self) {
        let ring = self.fd.get_mut();
        ring.release(ring.position());
    }

    fn is_pending(&self) -> bool {
        self.fd.get_ref().is_unread()
    }

    async fn woken(&mut self) -> io::Result<()> {
        // The event loop reports edges. Cleared before the records are read, so that a wake-up during
        // the reading is kept for the next time.
        self.fd.readable().await?.clear_ready();
        Ok(())
    }
}
