//! One pid namespace deeper: `newpid fresh-proc|same-proc COMMAND…`.
//!
//! With `fresh-proc` the command sees a /proc of its own namespace, as in a container; with
//! `same-proc` it keeps the outer one, where `/proc/self` tells its outer pid. The truth log has the
//! pids as the processes themselves see them: the command is 1.

use std::ffi::{CStr, CString};

use anyhow::{Context as _, Result, bail};
use tracer_tests::exec::Argv;
use tracer_tests::sys;
use tracer_tests::truth::Truth;

fn inside(fresh: bool, command: &[CString]) -> Result<()> {
    if fresh {
        sys::mount(c"none", c"/", c"", libc::MS_REC | libc::MS_PRIVATE)
            .context("private mounts")?;
        let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        sys::mount(c"proc", c"/proc", c"proc", flags).context("mount /proc")?;
    }
    let mut truth = Truth::from_env()?;
    truth.exec(sys::getpid(), command[0].to_str()?);
    truth.flush()?;
    let argv: Vec<&CStr> = command.iter().map(CString::as_c_str).collect();
    bail!("exec {:?}: {}", argv[0], Argv::new(argv[0], &argv).exec())
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [how, command @ ..] = args.as_slice() else {
        bail!("usage: newpid HOW COMMAND…")
    };
    let fresh = match how.as_str() {
        "fresh-proc" => true,
        "same-proc" => false,
        other => bail!("fresh-proc or same-proc, not {other}"),
    };
    let command = command.iter().map(|arg| CString::new(arg.as_str()));
    let command = command.collect::<Result<Vec<_>, _>>()?;
    if command.is_empty() {
        bail!("no COMMAND");
    }
    let mut truth = Truth::from_env()?;
    sys::unshare(libc::CLONE_NEWPID | libc::CLONE_NEWNS).context("unshare")?;
    let outer = sys::fork(|| {
        let Err(error) = inside(fresh, &command) else {
            return 0;
        };
        tracer_tests::say(&format!("newpid: {error:#}"));
        99
    })?;
    truth.fork(sys::getpid(), 1);
    let waited = sys::wait4(outer)?;
    truth.waited(sys::Waited { pid: 1, ..waited });
    truth.note("outer-of-1", &outer.to_string());
    truth.flush()?;
    if waited.status != 0 {
        bail!("the command ended with {:#x}", waited.status);
    }
    Ok(())
}
