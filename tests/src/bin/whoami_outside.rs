//! Says its own pid and the one `/proc/self` shows: in a pid namespace that keeps the outer /proc
//! they differ. With arguments it then execs them.

use std::ffi::{CStr, CString};

use anyhow::{Result, bail};
use tracer_tests::exec::Argv;
use tracer_tests::sys;
use tracer_tests::truth::Truth;

fn main() -> Result<()> {
    let outer = std::fs::read_link("/proc/self")?;
    let mut truth = Truth::from_env()?;
    truth.note("inner", &sys::getpid().to_string());
    truth.note("outer", &outer.to_string_lossy());
    let command = std::env::args()
        .skip(1)
        .map(CString::new)
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(file) = command.first() {
        truth.exec(sys::getpid(), file.to_str()?);
        truth.flush()?;
        let argv: Vec<&CStr> = command.iter().map(CString::as_c_str).collect();
        bail!("exec {file:?}: {}", Argv::new(file, &argv).exec());
    }
    Ok(truth.flush()?)
}
