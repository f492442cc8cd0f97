//! The recorder's thread from its first moment to its last, its own mistakes included.
//!
//! A panic here must cost at most the record that caused it: the thread goes on with the rest, and the
//! session ends as crashed. Whatever happens, those who wait for the thread are told.

use std::sync::Arc;

use super::{
    owner::{Owner, Plan},
    shared::Shared,
    state::Finish,
    sync::contain,
};
use crate::session::{
    crash::{line::FATAL, stack::SignalStack},
    derive::Fold,
};

impl<F: Fold> Owner<F> {
    /// The thread's whole life.
    pub(super) fn run(shared: &Arc<Shared<F::Output>>, plan: Plan, fold: F) {
        block_signals();
        let _stack = SignalStack::for_this_thread();
        // Whatever ends this thread, those who wait for it are told.
        let _guard = Farewell(Arc::clone(shared));
        let life = || match Self::open(Arc::clone(shared), plan, fold) {
            Ok(mut owner) => {
                shared.started(Ok(()));
                owner.settle_directories();
                let finish = owner.record_to_the_end();
                owner.end(&finish);
            }
            Err(error) => shared.started(Err(error)),
        };
        // Nobody else could write the crash to the journal now.
        if let Err(panicked) = contain(life) {
            shared.owner_lost(&panicked);
        }
    }

    /// [`Self::record`]; a panic in it ends the session as crashed, with everything else that was
    /// accepted.
    fn record_to_the_end(&mut self) -> Finish {
        loop {
            let panicked = match contain(|| self.record()) {
                Ok(finish) => return finish,
                Err(panicked) => panicked,
            };
            self.writer.mend();
            let in_hand = self.hand.iter().filter(|item| item.is_record()).count();
            let kept = self.writer.pending() + in_hand;
            if let Some(finish) = self.shared.owner_panicked(&panicked, kept) {
                return finish;
            }
        }
    }
}

/// Tells those who wait, whatever ended the thread.
struct Farewell<T>(Arc<Shared<T>>);

impl<T> Drop for Farewell<T> {
    fn drop(&mut self) {
        self.0.lock().report.timed_out = false;
        self.0.tell_waiters();
    }
}

/// Leaves signals to the threads that handle them. For SIGXFSZ this is more than manners: when the
/// user has a file size limit (`ulimit -f`), a write beyond it then fails with EFBIG, which is a full
/// disk to us, instead of killing the observer.
fn block_signals() {
    // SAFETY: an all-zero `sigset_t` is a valid object for sigfillset to write to.
    let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `all` is a live `sigset_t`.
    unsafe { libc::sigfillset(&raw mut all) };
    // The fatal ones blocked would be deadly without their handler.
    for signal in FATAL {
        // SAFETY: `all` is initialised, and the number is a signal's.
        unsafe { libc::sigdelset(&raw mut all, signal) };
    }
    // SAFETY: `all` is initialised and the old mask is not asked for. Only this thread's mask
    // changes, and it neither forks nor executes anything that would inherit it.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut()) };
}
