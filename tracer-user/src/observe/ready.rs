//! The event loop, and descriptors in it.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

use tokio::io::{Interest, unix::AsyncFd};

use super::ObserveError;

/// Waits for a descriptor to become readable.
pub(super) struct Ready(AsyncFd<OwnedFd>);

impl Ready {
    /// Takes a copy of `fd` into the event loop.
    pub(super) fn new(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let own = fd.try_clone_to_owned()?;
        // SAFETY: the `AsyncFd` owns this copy, which nobody else can close, until it is dropped.
        let registered = unsafe { AsyncFd::register_with_interest(own, Interest::READABLE) };
        registered.map(Self).map_err(Into::into)
    }

    /// Completes when it is readable; the next call waits for it to become so again, so read it
    /// empty first.
    pub(super) async fn wait(&self) -> io::Result<()> {
        self.0.readable().await?.clear_ready();
        Ok(())
    }
}

/// One thread for everything but the recorder: events are handled in their order, without locks.
pub(super) fn event_loop() -> Result<tokio::runtime::Runtime, ObserveError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|source| ObserveError::System {
            step: "start the event loop",
            source,
        })
}
