//! The kernel side as user space sees it: load it, attach it, read its ring, decode its records.

pub mod btf;
pub mod decode;
pub mod ring;
