//! The process that is observed: started or joined, and pinned behind its wrappers.
//!
//! [`Resolver`] decides which process is meant, from events. [`SuspendedChild`] starts a command that
//! waits for its tracker, [`attach`] checks a process that is joined, [`pty`] gives the command a
//! terminal of ours, [`signals`] decides what is passed on to it, and
//! [`orphans`] takes in what it leaves behind.

pub mod attach;
mod child;
mod exec;
mod handle;
mod inherited;
mod launch;
mod launch_error;
pub mod orphans;
pub mod pty;
pub mod pump;
mod resolve;
pub mod signals;
mod user;
mod wrappers;

pub use handle::Handle;
pub use launch::{ChildChange, LaunchError, LaunchSpec, RunningChild, SuspendedChild};
pub use resolve::{
    Candidate, Existing, KEPT, Miss, Pinned, Resolver, Rule, Skipped, Spec, TraceTarget, Unresolved,
};
pub use user::{User, UserError};
