//! The record of one observation: its directory, its journal, and what is derived from it.
//!
//! [`journal`] is the record; everything else in a session's directory is either an authoritative
//! sidecar written once ([`enrollment`]) or rebuilt from the journal ([`derive`](mod@derive), [`index`]). One thread,
//! started by [`recorder`], owns the journal's descriptor; everyone else hands it records.

pub mod anomalies;
pub mod attach_file;
pub mod birth;
pub mod crash;
pub mod derive;
pub mod dir;
pub mod enrollment;
pub mod epochs;
pub mod fence;
pub mod follow;
pub mod id;
pub mod index;
pub mod inquest;
pub mod journal;
pub mod lease;
pub mod list;
pub mod processes;
pub mod publish;
pub mod rebuild;
pub mod recorder;
pub mod recover;
pub mod redact;
pub mod remove;
pub mod retain;
pub mod settle;
pub mod status;
pub mod store;
pub mod summary;
pub mod verify;

pub use id::SessionId;
pub use store::{StateDir, Store};
