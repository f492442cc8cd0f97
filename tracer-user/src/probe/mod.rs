//! The kernel side as user space sees it: load it, attach it, read its ring, decode its records.

mod adopt;
mod ask;
pub mod attached;
pub mod btf;
mod cgroups;
pub mod control;
pub mod decode;
pub mod follow;
mod hook_types;
mod hooks;
#[cfg(feature = "log")]
pub mod kernel_log;
mod kernel_types;
pub mod loader;
mod maps;
mod memlock;
mod missed;
pub mod object;
pub mod offsets;
mod pages;
pub mod pin;
pub mod ring;
mod ring_map;
pub mod snapshot;
pub mod stats;
pub mod support;
