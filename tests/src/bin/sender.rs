//! Sends one signal and leaves: `sender HOW PID SIGNAL`, `sender cgroup FOLDER`, or
//! `sender cgroup-from-namespace FOLDER`, which writes from a pid namespace of its own.

use anyhow::{Result, bail, ensure};
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
        ["cgroup-from-namespace", folder] => {
            let file = std::path::Path::new(folder).join("cgroup.kill");
            sys::unshare(libc::CLONE_NEWPID)?;
            let child = sys::fork(|| i32::from(std::fs::write(&file, "1").is_err()))?;
            ensure!(sys::wait4(child)?.status == 0, "the child could not write");
            truth.note("sender", &child.to_string());
            truth.flush()?;
        }
        [how, pid, signal] => fatal::send(how, pid.parse()?, signal.parse()?)?,
        other => bail!("not {other:?}"),
    }
    Ok(())
}
