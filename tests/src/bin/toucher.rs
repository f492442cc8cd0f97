//! Short processes with much memory: `toucher MIB TIMES` makes TIMES children one after the other;
//! each touches MIB MiB, gives it back and ends. The truth log has the `ru_maxrss` of each.
//!
//! `toucher MIB TIMES spawn` keeps MIB MiB itself and makes children of `tiny` by vfork: their
//! `ru_maxrss` is this process's, because a vfork child has its parent's memory until it execs.

use std::ffi::CString;

use anyhow::{Result, bail};
use tracer_tests::exec::{Argv, VforkStack, vfork_exec};
use tracer_tests::truth::Truth;
use tracer_tests::{place, sys};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (mib, times, spawn) = match args.as_slice() {
        [mib, times] => (mib, times, false),
        [mib, times, spawn] if spawn == "spawn" => (mib, times, true),
        _ => bail!("usage: toucher MIB TIMES [spawn]"),
    };
    let (mib, times): (usize, usize) = (mib.parse()?, times.parse()?);
    let held = vec![1_u8; if spawn { mib << 20 } else { 0 }];
    let tiny = place::fixture_text("tiny")?;
    let file = CString::new(tiny.clone())?;
    let mut truth = Truth::from_env()?;
    for _ in 0..times {
        let child = if spawn {
            let child = vfork_exec(&mut VforkStack::default(), &Argv::new(&file, &[c"tiny"]))?;
            truth.exec(child, &tiny);
            child
        } else {
            sys::fork(|| i32::from(sys::touch(mib).is_err()))?
        };
        truth.fork(sys::getpid(), child);
        truth.waited(sys::wait4(child)?);
    }
    drop(held);
    Ok(truth.flush()?)
}
