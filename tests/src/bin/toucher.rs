//! Short processes with much memory: `toucher MIB TIMES` makes TIMES children one after the other;
//! each touches MIB MiB, gives it back and ends. The truth log has the `ru_maxrss` of each.

use anyhow::{Result, bail};
use tracer_tests::sys;
use tracer_tests::truth::Truth;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [mib, times] = args.as_slice() else {
        bail!("usage: toucher MIB TIMES")
    };
    let (mib, times): (usize, usize) = (mib.parse()?, times.parse()?);
    let mut truth = Truth::from_env()?;
    for _ in 0..times {
        let child = sys::fork(|| i32::from(sys::touch(mib).is_err()))?;
        truth.fork(sys::getpid(), child);
        truth.waited(sys::wait4(child)?);
    }
    Ok(truth.flush()?)
}
