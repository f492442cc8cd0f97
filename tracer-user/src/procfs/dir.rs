//! One process, held by its directory.
//!
//! Sources: `proc_pid(5)`, fs/proc/base.c. An open `/proc/<pid>` keeps the kernel's `struct pid`, not
//! the number: once the process is reaped every read through it fails, also after the number has been
//! given to another. So a value read here is of that process or is no value.

use std::{
    ffi::{CStr, OsStr},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, StatxFlags, statx},
    io::Errno,
};

use super::{
    end::ReadEnd,
    io::ProcIo,
    limits::{self, Limit, LimitValue},
    net,
    read::{self, ShortPath},
    root::Shared,
    scan,
    stat::ProcStat,
    statm::ProcStatm,
    status::ProcStatus,
    timens::{self, BootOffset},
};
use crate::units::{Tgid, Ticks};

/// The longest link target the kernel gives: one page.
const LINK_MAX: usize = 4096;

/// A process, or one thread of it, by its directory in `/proc`.
#[derive(Debug)]
pub struct ProcDir {
    dir: OwnedFd,
    id: u32,
    shared: Arc<Shared>,
}

/// Who a process is, as far as `/proc` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Its number in the observer's pid namespace.
    pub tgid: Tgid,
    /// Its start on the host's boot clock.
    pub start: Ticks,
}

/// Where the image of a process came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExePath {
    /// The path, any bytes, without the kernel's " (deleted)".
    pub path: PathBuf,
    /// No name leads to the file any more.
    pub deleted: bool,
}

impl ProcDir {
    pub(crate) fn new(dir: OwnedFd, id: u32, shared: Arc<Shared>) -> Self {
        Self { dir, id, shared }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// One of its threads, with the same files.
    ///
    /// # Errors
    /// [`ReadEnd::Gone`] when the process has no such thread (any more).
    pub fn thread(&self, tid: u32) -> Result<Self, ReadEnd> {
        let open = || {
            let path = ShortPath::of(format_args!("task/{tid}"))?;
            read::open_dir(Some(self.fd()), path.as_bytes())
        };
        match open() {
            Ok(dir) => Ok(Self::new(dir, tid, Arc::clone(&self.shared))),
            Err(Errno::NOENT | Errno::SRCH) => Err(ReadEnd::Gone),
            Err(errno) => Err(self.end(errno, c"task")),
        }
    }

    /// `stat`, its start time put back on the host's boot clock.
    ///
    /// # Errors
    /// [`ReadEnd`]; a start time that cannot be known is a failure, never 0.
    pub fn stat(&self) -> Result<ProcStat, ReadEnd> {
        match self.read_stat() {
            Ok(stat) => stat,
            // Every process and every zombie has this file.
            Err(Errno::NOENT | Errno::SRCH) => Err(ReadEnd::Gone),
            Err(Errno::ACCESS | Errno::PERM) => Err(ReadEnd::Denied),
            Err(errno) => Err(ReadEnd::failed(self.path(c"stat"), errno)),
        }
    }

    fn read_stat(&self) -> Result<Result<ProcStat, ReadEnd>, Errno> {
        let parsed = read::read_small(self.fd(), c"stat", ProcStat::parse)?;
        Ok(parsed
            .map_err(|error| ReadEnd::malformed(self.path(c"stat"), error))
            .and_then(|stat| {
                let (offset, clk_tck) = (self.shared.boot_offset_ticks, self.shared.clk_tck);
                let start_time = timens::unshift(stat.start_time, offset, clk_tck);
                Ok(ProcStat {
                    start_time: start_time.ok_or_else(|| {
                        let what = "start time lies before this time namespace's zero";
                        ReadEnd::malformed(self.path(c"stat"), what)
                    })?,
                    ..stat
                })
            }))
    }

    /// `status`.
    ///
    /// # Errors
    /// [`ReadEnd`].
    pub fn status(&self) -> Result<ProcStatus, ReadEnd> {
        self.small(c"status", ProcStatus::parse)
    }

    /// `statm`. Of a zombie, all zeros.
    ///
    /// # Errors
    /// [`ReadEnd`].
    pub fn statm(&self) -> Result<ProcStatm, ReadEnd> {
        self.parsed(c"statm", ProcStatm::parse)
    }

    /// `comm`, without its newline, any bytes.
    ///
    /// # Errors
    /// [`ReadEnd`].
    pub fn comm(&self) -> Result<Vec<u8>, ReadEnd> {
        self.small(c"comm", |bytes| {
            bytes.strip_suffix(b"\n").unwrap_or(bytes).to_vec()
        })
    }

    /// `cmdline`: the arguments as they stand in memory now, any bytes. Empty for zombies and kernel
    /// threads. A program that writes over its arguments may leave one long string.
    ///
    /// # Errors
    /// [`ReadEnd`]; of a command line of more than 8 MiB the beginning is read.
    pub fn cmdline(&self) -> Result<Vec<Vec<u8>>, ReadEnd> {
        let bytes = read::read_first(self.fd(), c"cmdline", read::MOST)
            .map_err(|errno| self.end(errno, c"cmdline"))?;
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        let arguments = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
        Ok(arguments
            .split(|&byte| byte == 0)
            .map(<[u8]>::to_vec)
            .collect())
    }

    /// `exe`: the image's path.
    ///
    /// # Errors
    /// [`ReadEnd`]; a kernel thread has none.
    pub fn exe(&self) -> Result<ExePath, ReadEnd> {
        let target = read::read_link::<LINK_MAX, _>(self.fd(), c"exe", <[u8]>::to_vec)
            .map_err(|errno| self.end(errno, c"exe"))?;
        // A file may really be called "x (deleted)"; only its link count tells. DONT_SYNC asks no
        // file server, which could hang.
        if let Some(path) = target.strip_suffix(b" (deleted)") {
            let links = statx(
                self.fd(),
                c"exe",
                AtFlags::STATX_DONT_SYNC,
                StatxFlags::NLINK,
            )
            .map(|stat| stat.stx_nlink);
            if !matches!(links, Ok(1..)) {
                return Ok(ExePath {
                    path: Path::new(OsStr::from_bytes(path)).to_owned(),
                    deleted: true,
                });
            }
        }
        Ok(ExePath {
            path: Path::new(OsStr::from_bytes(&target)).to_owned(),
            deleted: false,
        })
    }

    /// `cgroup`: the cgroups it is in, one line a hierarchy.
    ///
    /// # Errors
    /// [`ReadEnd`].
    pub fn cgroup(&self) -> Result<String, ReadEnd> {
        self.small(c"cgroup", |bytes| {
            String::from_utf8_lossy(bytes).into_owned()
        })
    }

    /// `cwd`: where it is.
    ///
    /// # Errors
    /// [`ReadEnd::Denied`] without `ptrace(2)` read access.
    pub fn cwd(&self) -> Result<PathBuf, ReadEnd> {
        read::read_link::<LINK_MAX, _>(self.fd(), c"cwd", |target| {
            Path::new(OsStr::from_bytes(target)).to_owned()
        })
        .map_err(|errno| self.end(errno, c"cwd"))
    }

    /// `io`, of all threads.
    ///
    /// # Errors
    /// [`ReadEnd::Denied`] without `ptrace(2)` read access.
    pub fn io(&self) -> Result<ProcIo, ReadEnd> {
        self.parsed(c"io", ProcIo::parse)
    }

    /// `limits`: how many descriptors may be open.
    ///
    /// # Errors
    /// [`ReadEnd`].
    pub fn limits(&self) -> Result<Limit, ReadEnd> {
        self.parsed(c"limits", limits::parse_open_files)
    }

    /// The same by `prlimit(2)`, which takes a twentieth of the time but goes by number: only good
    /// when a later read through this directory shows that the process is still there.
    pub(crate) fn limits_by_number(&self) -> Result<Limit, ReadEnd> {
        let Ok(pid) = libc::pid_t::try_from(self.id) else {
            return self.limits();
        };
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: the new limit is null, so nothing is set, and `limit` is writable and of the type
        // the call fills.
        let result =
            unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, std::ptr::null(), &raw mut limit) };
        if result == 0 {
            Ok(Limit {
                soft: LimitValue::from_rlim(limit.rlim_cur),
                hard: LimitValue::from_rlim(limit.rlim_max),
            })
        } else {
            // Refused for other users' processes without CAP_SYS_RESOURCE; the file is for everyone.
            self.limits()
        }
    }

    /// `oom_score`, on the kernel's own scale.
    ///
    /// # Errors
    /// [`ReadEnd`].
    pub fn oom_score(&self) -> Result<i64, ReadEnd> {
        self.parsed(c"oom_score", first_number)
    }

    /// `oom_score_adj`, -1000 to 1000.
    ///
    /// # Errors
    /// [`ReadEnd`].
    pub fn oom_score_adj(&self) -> Result<i64, ReadEnd> {
        self.parsed(c"oom_score_adj", first_number)
    }

    /// `wchan`: the kernel function it waits in; empty when it runs or the kernel does not say.
    ///
    /// # Errors
    /// [`ReadEnd`].
    pub fn wchan(&self) -> Result<String, ReadEnd> {
        self.small(c"wchan", wchan_text)
    }

    /// `timens_offsets`: the shift of the boot clock in the namespace its *children* will be in.
    ///
    /// # Errors
    /// [`ReadEnd`].
    pub fn timens_offsets(&self) -> Result<BootOffset, ReadEnd> {
        self.parsed(c"timens_offsets", BootOffset::parse)
    }

    /// Inode of its network namespace.
    ///
    /// # Errors
    /// [`ReadEnd::Denied`] without `ptrace(2)` read access.
    pub fn net_ns(&self) -> Result<u64, ReadEnd> {
        read::read_link::<64, _>(self.fd(), c"ns/net", net::parse_net_link)
            .map_err(|errno| self.end(errno, c"ns/net"))?
            .ok_or_else(|| ReadEnd::malformed(self.path(c"ns/net"), "no net:[inode]"))
    }

    /// Inode of its pid namespace.
    ///
    /// # Errors
    /// [`ReadEnd::Denied`] without `ptrace(2)` read access.
    pub fn pid_ns(&self) -> Result<u64, ReadEnd> {
        read::read_link::<64, _>(self.fd(), c"ns/pid", parse_pid_link)
            .map_err(|errno| self.end(errno, c"ns/pid"))?
            .ok_or_else(|| ReadEnd::malformed(self.path(c"ns/pid"), "no pid:[inode]"))
    }

    /// Who it is.
    ///
    /// # Errors
    /// [`ReadEnd`]; an unknown start time is a failure.
    pub fn identity(&self) -> Result<Identity, ReadEnd> {
        self.stat().map(|stat| Identity {
            tgid: Tgid(self.id),
            start: stat.start_time,
        })
    }

    pub(crate) fn small<T>(
        &self,
        file: &'static CStr,
        parse: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, ReadEnd> {
        read::read_small(self.fd(), file, parse).map_err(|errno| self.end(errno, file))
    }

    fn parsed<T>(
        &self,
        file: &'static CStr,
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, ReadEnd> {
        self.small(file, parse)?
            .ok_or_else(|| ReadEnd::malformed(self.path(file), "unexpected content"))
    }

    /// What a failed read of `file` means. The errno alone does not say: ENOENT is a process that is
    /// gone or a file this kernel does not have, ESRCH and EINVAL are also what zombies answer.
    pub(crate) fn end(&self, errno: Errno, file: &CStr) -> ReadEnd {
        if matches!(errno, Errno::ACCESS | Errno::PERM) {
            return ReadEnd::Denied;
        }
        match self.read_stat() {
            Err(Errno::NOENT | Errno::SRCH) => ReadEnd::Gone,
            Ok(Ok(stat)) if stat.leader_exiting() => ReadEnd::Zombie,
            _ => ReadEnd::failed(self.path(file), errno),
        }
    }

    pub(crate) fn path(&self, file: &CStr) -> String {
        format!(
            "{}/{}/{}",
            self.shared.path,
            self.id,
            file.to_string_lossy()
        )
    }
}

/// `pid:[4026531836]`, `pid_namespaces(7)`.
fn parse_pid_link(target: &[u8]) -> Option<u64> {
    let inode = target.strip_prefix(b"pid:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(inode).ok()?.parse().ok()
}

/// What a `wchan` file says: 0 is nowhere, or hidden.
pub(super) fn wchan_text(file: &[u8]) -> String {
    match file.trim_ascii() {
        b"0" => String::new(),
        name => String::from_utf8_lossy(name).into_owned(),
    }
}

fn first_number(bytes: &[u8]) -> Option<i64> {
    scan::words(bytes).next().and_then(scan::parse_i64)
}
