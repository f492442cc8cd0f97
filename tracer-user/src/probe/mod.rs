//! The kernel side as user space sees it: load it, attach it, read its ring, decode its records.

mod adopt;
pub mod attached;
pub mod btf;
pub mod control;
pub mod decode;
mod hook_types;
mod hooks;
#[cfg(feature = "log")]
pub mod kernel_log;
mod kernel_types;
pub mod loader;
mod maps;
mod missed;
pub mod object;
pub mod offsets;
mod pages;
pub mod pin;
pub mod ring;
mod ring_map;
mod snapshot;
pub mod stats;
pub mod support;
