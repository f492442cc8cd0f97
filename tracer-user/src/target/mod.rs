//! The process that is observed: started or joined, and pinned behind its wrappers.
//!
//! [`Resolver`] decides which process is meant, from events. [`SuspendedChild`] starts a command that
//! waits for its tracker, [`attach`] checks a process that is joined, [`pty`] gives the command a
//! terminal of ours, and [`signals`] decides what is passed on to it.

mod resolve;
mod wrappers;

pub use resolve::{
    Candidate, Existing, KEPT, Miss, Pinned, Resolver, Rule, Skipped, Spec, TraceTarget, Unresolved,
};
