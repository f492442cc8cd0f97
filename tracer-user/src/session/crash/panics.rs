//! Panics: told to the record of every session before anything unwinds.
//!
//! The hook runs in the thread that panics, when nothing of it is gone yet. Each session that asked
//! for it is ended as crashed, with everything it had accepted before; then the panic goes its usual
//! way. [`contain`] is for work whose failure must cost no more than itself: a panic in it is a value.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind},
    sync::{
        Mutex, MutexGuard, Once, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use thiserror::Error;

use crate::session::{crash::told, journal::record::Crash};

/// The cause a panic is recorded with.
pub const PANIC: &str = "panic";
/// How long a panic may be held up by the records it ends.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Whoever must hear of a panic before it unwinds.
pub trait Witness: Send + Sync {
    /// A thread has panicked. Returns when what had to be written is on disk, or at `deadline`.
    fn panicked(&self, crash: &Crash, deadline: Instant);
}

static WITNESSES: Mutex<Vec<(u64, Weak<dyn Witness>)>> = Mutex::new(Vec::new());

thread_local! {
    /// How many [`contain`]s this thread is in.
    static CONTAINED: Cell<u32> = const { Cell::new(0) };
    /// What the panic said that the innermost of them will catch.
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
    /// In the hook already: a witness that panics is not asked again.
    static TELLING: Cell<bool> = const { Cell::new(false) };
}

/// A panic that was contained.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{said}")]
pub struct Panicked {
    /// Message, thread and place, where known.
    pub said: String,
}

impl Panicked {
    /// What a `crash` record says of it.
    #[must_use]
    pub fn crash(&self) -> Crash {
        told(PANIC, &self.said)
    }
}

/// As long as it lives, the witness hears of panics.
#[derive(Debug)]
pub struct Watching(u64);

/// Has a witness told of every panic from now on.
#[must_use = "dropped, it ends"]
pub fn watch(witness: Weak<dyn Witness>) -> Watching {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    install();
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    witnesses().push((id, witness));
    Watching(id)
}

impl Drop for Watching {
    fn drop(&mut self) {
        witnesses().retain(|(id, _)| *id != self.0);
    }
}

fn witnesses() -> MutexGuard<'static, Vec<(u64, Weak<dyn Witness>)>> {
    WITNESSES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts our hook before the one that is there.
fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if CONTAINED.get() > 0 {
                SAID.replace(Some(describe(info)));
                return;
            }
            // Before anything is printed: whoever reads that may not read on.
            tell(info);
            before(info);
        }));
    });
}

fn tell(info: &PanicHookInfo<'_>) {
    if TELLING.replace(true) {
        return;
    }
    let crash = told(PANIC, &describe(info));
    let deadline = Instant::now() + PATIENCE;
    let all: Vec<_> = witnesses()
        .iter()
        .filter_map(|(_, witness)| witness.upgrade())
        .collect();
    for witness in all {
        witness.panicked(&crash, deadline);
    }
    TELLING.set(false);
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let message = words(info.payload());
    let thread = std::thread::current();
    let name = thread
        .name()
        .unwrap_or("a thread without a name")
        .to_owned();
    match info.location() {
        Some(place) => format!("{message}, in {name} at {}:{}", place.file(), place.line()),
        None => format!("{message}, in {name}"),
    }
}

/// Does `work`; a panic in it is its result, prints nothing and ends no session.
///
/// # Errors
/// [`Panicked`] says what the panic said.
pub fn contain<R>(work: impl FnOnce() -> R) -> Result<R, Panicked> {
    // Without our hook the one that is there would print.
    install();
    CONTAINED.set(CONTAINED.get() + 1);
    // The caller says, by calling this, what becomes of what the work has left half done.
    let result = catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(CONTAINED.get() - 1);
    result.map_err(|payload| Panicked {
        said: SAID.take().unwrap_or_else(|| words(&*payload).to_owned()),
    })
}

/// Does `work` so that a panic in it, which has ended the sessions that watch for it, ends no more than
/// that.
///
/// # Errors
/// [`Panicked`] says what the panic said.
pub fn survive<R>(work: impl FnOnce() -> R) -> Result<R, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| Panicked {
        said: words(&*payload).to_owned(),
    })
}

fn words(payload: &dyn Any) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without words")
}
