//! Waits as a parent waits for a vforked child, which is D-state: `dstate LIST` writes its pid into LIST
//! and is held until its child has ended, which ignores SIGTERM and never does by itself.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use tracer_tests::sys;

fn main() -> Result<()> {
    let list = std::env::args().nth(1).context("usage: dstate LIST")?;
    let mut list = std::fs::OpenOptions::new().append(true).open(list)?;
    writeln!(list, "{}", sys::getpid())?;
    sys::clone(libc::CLONE_VFORK, || {
        sys::ignore(libc::SIGTERM, true);
        loop {
            std::thread::park();
        }
    })?;
    Ok(())
}
