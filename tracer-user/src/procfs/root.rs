//! A mounted procfs, checked once.
//!
//! The numbers in a procfs are those of the pid namespace it was mounted for (`pid_namespaces(7)`).
//! Reading one of another namespace would follow strangers, so that is refused at the start.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, statat},
    io::Errno,
    process::{Pid, getpid, test_kill_process},
};
use thiserror::Error;

use super::{
    ProcDir, ReadEnd,
    host::HostFacts,
    read::{self, ShortPath},
    scan,
    status::ProcStatus,
    timens::BootOffset,
};
use crate::units::Tgid;

/// Why a procfs cannot be used.
#[derive(Debug, Error)]
pub enum ProcError {
    /// It is not there, or a file of it cannot be read.
    #[error("{path}: {source}; is procfs mounted there? (mount -t proc proc /proc)")]
    Read {
        /// The file.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// A file of it makes no sense.
    #[error("{path}: unexpected content; is a procfs mounted there? (mount -t proc proc /proc)")]
    Malformed {
        /// The file.
        path: String,
    },
    /// It shows the processes of another pid namespace.
    #[error(
        "{root} belongs to another pid namespace: it calls this process {shown}, which is {own} here; \
         mount a procfs for this namespace (unshare --mount-proc, mount -t proc proc /proc)"
    )]
    OtherPidNamespace {
        /// Where it is mounted.
        root: String,
        /// What it calls this process.
        shown: String,
        /// Our own pid.
        own: u32,
    },
    /// Start times shown here cannot be put back on the host's clock.
    #[error(
        "the boot clock of this time namespace is shifted by {ns} ns, no whole number of clock ticks: \
         start times cannot be compared; run outside of it"
    )]
    TimeNamespace {
        /// The shift.
        ns: i64,
    },
    /// This process made a time namespace and is not in it, so its own shift cannot be read.
    #[error(
        "this process has unshared its time namespace for its children only; exec after unshare"
    )]
    TimeNamespacePending,
}

/// What every [`ProcDir`] of one root shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) path: String,
    pub(crate) clk_tck: u64,
    pub(crate) boot_offset_ticks: i64,
    /// The size of `/proc/<pid>/fd` is the number of descriptors (6.2 and later).
    pub(crate) fd_dir_has_size: bool,
}

/// A procfs that numbers processes as this process does.
#[derive(Debug)]
pub struct ProcRoot {
    dir: OwnedFd,
    shared: Arc<Shared>,
    host: HostFacts,
}

impl ProcRoot {
    /// Opens the procfs mounted at `path` and checks that it is for this process's pid namespace.
    ///
    /// # Errors
    /// [`ProcError`] says what is wrong with it and what to do.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ProcError> {
        let path = path.as_ref();
        let text = path.display().to_string();
        let dir = read::open_dir(None, path).map_err(|errno| unreadable(&text, "", errno))?;
        check_pid_namespace(dir.as_fd(), &text)?;
        let clk_tck = rustix::param::clock_ticks_per_second();
        let boot_offset = read_boot_offset(dir.as_fd(), &text)?;
        let boot_offset_ticks = boot_offset
            .ticks(clk_tck)
            .ok_or(ProcError::TimeNamespace { ns: boot_offset.ns })?;
        let boot_id = read::read_small(dir.as_fd(), c"sys/kernel/random/boot_id", |bytes| {
            String::from_utf8_lossy(bytes).trim().to_owned()
        })
        .map_err(|errno| unreadable(&text, "/sys/kernel/random/boot_id", errno))?;
        let host = HostFacts {
            boot_id,
            hostname: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            clk_tck,
            page_size: u64::try_from(rustix::param::page_size()).unwrap_or(u64::MAX),
            boot_offset,
        };
        let fd_dir_has_size = fd_dir_has_size(dir.as_fd());
        Ok(Self {
            dir,
            shared: Arc::new(Shared {
                path: text,
                clk_tck,
                boot_offset_ticks,
                fd_dir_has_size,
            }),
            host,
        })
    }

    /// What is true of the whole host.
    #[must_use]
    pub fn host(&self) -> &HostFacts {
        &self.host
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    pub(crate) fn path(&self) -> &str {
        &self.shared.path
    }

    /// A file of the whole system, or of this process below `self/`; `None` when it cannot be read.
    #[must_use]
    pub fn text(&self, file: &'static CStr) -> Option<String> {
        let mut bytes = Vec::new();
        read::read_all(self.dir.as_fd(), file, &mut bytes, read::MOST).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The directory of one process. From then on it stands for that process alone: when the process
    /// is gone its reads fail, also when the number is in use again.
    ///
    /// # Errors
    /// [`ReadEnd::Gone`] when nothing has that number, [`ReadEnd::Denied`] when `hidepid` hides it.
    pub fn process(&self, tgid: Tgid) -> Result<ProcDir, ReadEnd> {
        let label = || format!("{}/{tgid}", self.shared.path);
        let pid = i32::try_from(tgid.0).ok().and_then(Pid::from_raw);
        let Some(pid) = pid else {
            return Err(ReadEnd::failed(label(), Errno::INVAL));
        };
        let path = ShortPath::of(format_args!("{tgid}"))
            .map_err(|errno| ReadEnd::failed(label(), errno))?;
        match read::open_dir(Some(self.dir.as_fd()), path.as_bytes()) {
            Ok(dir) => Ok(ProcDir::new(dir, tgid.0, Arc::clone(&self.shared))),
            Err(Errno::ACCESS | Errno::PERM) => Err(ReadEnd::Denied),
            // `hidepid=invisible` shows no directory for a process that is well alive, but a signal
            // still finds it.
            Err(Errno::NOENT) => match test_kill_process(pid) {
                Err(Errno::PERM) => Err(ReadEnd::Denied),
                _ => Err(ReadEnd::Gone),
            },
            Err(Errno::SRCH) => Err(ReadEnd::Gone),
            Err(errno) => Err(ReadEnd::failed(label(), errno)),
        }
    }
}

fn unreadable(root: &str, file: &str, errno: Errno) -> ProcError {
    ProcError::Read {
        path: format!("{root}{file}"),
        source: errno.into(),
    }
}

fn check_pid_namespace(dir: BorrowedFd<'_>, root: &str) -> Result<(), ProcError> {
    let own = getpid().as_raw_nonzero().get().unsigned_abs();
    let shown = read::read_link::<32, _>(dir, c"self", |target| {
        String::from_utf8_lossy(target).into_owned()
    })
    .map_err(|errno| unreadable(root, "/self", errno))?;
    // The number alone can agree by chance; how many namespaces deep this process is from the
    // procfs's point of view cannot.
    let status = read::read_small(dir, c"self/status", ProcStatus::parse)
        .map_err(|errno| unreadable(root, "/self/status", errno))?;
    if scan::parse_u32(shown.as_bytes()) != Some(own) || status.ns_levels > 1 {
        return Err(ProcError::OtherPidNamespace {
            root: root.to_owned(),
            shown: if status.ns_levels > 1 {
                format!("{shown} ({} namespaces up)", status.ns_levels - 1)
            } else {
                shown
            },
            own,
        });
    }
    Ok(())
}

fn read_boot_offset(dir: BorrowedFd<'_>, root: &str) -> Result<BootOffset, ProcError> {
    let offset = match read::read_small(dir, c"self/timens_offsets", BootOffset::parse) {
        // A kernel without time namespaces shifts nothing.
        Err(Errno::NOENT) => return Ok(BootOffset::default()),
        Err(errno) => return Err(unreadable(root, "/self/timens_offsets", errno)),
        Ok(offset) => offset.ok_or_else(|| ProcError::Malformed {
            path: format!("{root}/self/timens_offsets"),
        })?,
    };
    // The file tells the offsets of the namespace for *children*; they are ours while the two are one.
    let namespace = |file| read::read_link::<64, _>(dir, file, <[u8]>::to_vec);
    let own = namespace(c"self/ns/time");
    let children = namespace(c"self/ns/time_for_children");
    match (own, children) {
        (Ok(own), Ok(children)) if own != children => Err(ProcError::TimeNamespacePending),
        _ => Ok(offset),
    }
}

/// Whether the size of an `fd` directory is the number of entries in it, tried on our own.
fn fd_dir_has_size(root: BorrowedFd<'_>) -> bool {
    // Other threads of this process may open and close meanwhile, so equality may need a second look.
    (0..8).any(|_| {
        let mut listed = 0_i64;
        let mut size = None;
        let outcome = read::list(root, c"self/fd", |_, _| {
            listed += 1;
            if size.is_none() {
                size = Some(statat(root, c"self/fd", AtFlags::empty())?.st_size);
            }
            Ok(())
        });
        outcome.is_ok() && size == Some(listed)
    })
}
