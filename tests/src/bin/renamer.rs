//! A chain of processes with confusing names: each renames itself, waits until that shows in /proc,
//! and makes the next; the last one execs `tiny 4`. `renamer [linger FILE]` lets the chain live until
//! FILE exists.

use std::ffi::{CStr, CString};
use std::path::Path;

use anyhow::{Result, ensure};
use tracer_tests::exec::Argv;
use tracer_tests::sys;
use tracer_tests::truth::Truth;
use tracer_tests::{place, wait};

/// Spaces, parentheses that imitate the rest of a stat line, a newline, not UTF-8, nothing at all.
const NAMES: [&CStr; 6] = [
    c"a b",
    c"x) R 1 (y",
    c"line\nbreak",
    c"\xff\xfe",
    c"fifteen bytes!!",
    c"",
];

fn link(names: &[&CStr], until: Option<&Path>) -> Result<()> {
    let mut truth = Truth::from_env()?;
    let Some((name, rest)) = names.split_first() else {
        if let Some(file) = until {
            wait::wait_for("the test to let go", wait::PATIENCE, || {
                Ok(file.exists().then_some(()))
            })?;
        }
        let tiny = place::fixture_text("tiny")?;
        truth.exec(sys::getpid(), &tiny);
        truth.flush()?;
        return Err(Argv::new(&CString::new(tiny)?, &[c"tiny", c"4"])
            .exec()
            .into());
    };
    sys::set_comm(name)?;
    let child = sys::fork(|| i32::from(link(rest, until).is_err()))?;
    truth.fork(sys::getpid(), child);
    let waited = sys::wait4(child)?;
    truth.waited(waited);
    truth.flush()?;
    ensure!(
        waited.status == if rest.is_empty() { 4 << 8 } else { 0 },
        "{waited:?}"
    );
    Ok(())
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    link(&NAMES, args.get(1).map(Path::new))
}
