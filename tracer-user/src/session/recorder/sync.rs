//! Lock, condition variable and thread as the recorder uses them, so that its unit tests can take each
//! of them over.
//!
//! In this crate's own tests they are [shuttle](https://docs.rs/shuttle)'s: threads there run one at a time,
//! in an order that the scheduler of a model chooses. Waits have no clock then: one for less than
//! [`LONG`] may end at any moment, a longer one only when woken, so that a wake-up that is lost is a
//! deadlock and not a delay. Integration tests and programs get the standard library's.

use std::{io, sync::PoisonError, time::Duration};

#[cfg(test)]
use shuttle::{sync as base, thread as base_thread};
#[cfg(not(test))]
use std::{sync as base, thread as base_thread};

pub(super) use base::{Mutex, MutexGuard};
pub(super) use base_thread::JoinHandle;

#[cfg(not(test))]
pub(super) use crate::session::crash::panics::contain;

/// From here on a wait in a model is one for a wake-up.
#[cfg(test)]
const LONG: Duration = Duration::from_millis(900);

/// A condition variable that is only ever waited on with an end in sight.
#[derive(Default)]
pub(super) struct Condvar(base::Condvar);

impl Condvar {
    pub(super) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(super) fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Waits until woken, for no reason, or for `timeout`. A panic elsewhere does not make what the lock
    /// protects meaningless.
    #[cfg(not(test))]
    pub(super) fn wait<'a, T>(
        &self,
        _: &'a Mutex<T>,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> MutexGuard<'a, T> {
        let result = self.0.wait_timeout(guard, timeout);
        result.unwrap_or_else(PoisonError::into_inner).0
    }

    #[cfg(test)]
    pub(super) fn wait<'a, T>(
        &self,
        mutex: &'a Mutex<T>,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> MutexGuard<'a, T> {
        if timeout >= LONG {
            return self.0.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        drop(guard);
        shuttle::thread::yield_now();
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread of its own.
pub(super) fn spawn(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    base_thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
}

/// In a model a panic is a failure, wherever it happens.
#[cfg(test)]
#[expect(clippy::unnecessary_wraps, reason = "stands in for one that can fail")]
pub(super) fn contain<R>(
    work: impl FnOnce() -> R,
) -> Result<R, crate::session::crash::panics::Panicked> {
    Ok(work())
}
