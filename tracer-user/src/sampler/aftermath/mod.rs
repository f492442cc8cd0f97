//! What is read once, when something ended: the memory that the OOM killer found, where a core went.
//!
//! All of it may be gone by the time anybody looks, so every answer is optional and nothing here is an
//! error: what could not be read is not told. Sources: the kernel's log, cgroup files, `core_pattern`.

pub(super) mod cgroup;
mod core;
mod kernel_log;

pub use self::{
    cgroup::{MemoryCgroups, MemoryState},
    core::{CoreFacts, find_core},
    kernel_log::{KernelLog, OomLine},
};
