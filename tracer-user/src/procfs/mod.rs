//! The only opener of `/proc`: bytes in, values out.
//!
//! [`ProcRoot`] is a mounted procfs that has been checked to number processes as the observer does;
//! [`ProcDir`] is one process, held by its directory so that it can never turn into another one. The
//! parsers ([`stat`], [`status`], [`statm`], [`io`], [`limits`], [`net`], [`timens`]) take bytes and
//! open nothing. Nothing here writes to `/proc`, follows a link into another file system, or reads
//! `environ`.

mod dir;
mod end;
mod fds;
mod holders;
pub mod host;
pub mod io;
pub mod limits;
pub mod listening;
mod listing;
pub mod locks;
pub mod mounts;
pub mod net;
mod open_files;
mod read;
mod root;
mod scan;
pub mod stat;
pub mod statm;
pub mod status;
mod tasks;
pub mod timens;

pub use dir::{ExePath, Identity, ProcDir};
pub use end::{FileError, ReadEnd};
pub use holders::{FileId, Sought};
pub use listing::Entry;
pub use open_files::{Access, OpenFile};
pub use root::{ProcError, ProcRoot};
pub use tasks::TaskSwitches;
