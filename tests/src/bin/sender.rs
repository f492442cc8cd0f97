//! Sends one signal and leaves: `sender HOW PID SIGNAL`, `sender cgroup FOLDER`, or
//! `sender child-of-pid-namespace PID SIGNAL`, which sends from a pid namespace of its own.
//!
//! The last one finds its target by a pidfd that it inherits through fork, for its number means nothing
//! inside.

use anyhow::{Result, bail, ensure};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tracer_tests::truth::Truth;
use tracer_tests::{fatal, sys};

fn main() -> Result<()> {
    let mut truth = Truth::from_env()?;
    truth.note("sender", &sys::getpid().to_string());
    truth.flush()?;
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["cgroup", folder] => {
            std::fs::write(std::path::Path::new(folder).join("cgroup.kill"), "1")?;
        }
        ["from-namespace", pid, signal] => {
            let pid = Pid::from_raw(pid.parse()?);
            let signal = Signal::from_named_raw(signal.parse()?);
            let (Some(pid), Some(signal)) = (pid, signal) else {
                bail!("no pid or signal");
            };
            let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
            sys::unshare(libc::CLONE_NEWPID)?;
            let child = sys::fork(|| i32::from(pidfd_send_signal(&pidfd, signal).is_err()))?;
            ensure!(sys::wait4(child)?.status == 0, "the child could not send");
            truth.note("sender", &child.to_string());
            truth.flush()?;
        }
        [how, pid, signal] => fatal::send(how, pid.parse()?, signal.parse()?)?,
        other => bail!("not {other:?}"),
    }
    Ok(())
}
