//! The load of `cargo xtask bench events`: `bench_storm fork|vfork WORKERS EACH TINY RESULT`.
//!
//! Every worker starts EACH children one after the other; child i execs TINY, which is to exit with i
//! mod 256. The time from the first fork to the last wait, the CPU time that all of it took and the
//! number of wrong statuses go to RESULT, one `key value` a line. Nothing else is written: what is
//! measured is processes, not their log.

use std::ffi::{CStr, CString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use tracer_tests::exec::{Argv, VforkStack, vfork_exec};
use tracer_tests::sys;

/// TINY exits with the first byte of its argument, or with 0 when it has none.
fn arguments(code: u8) -> Vec<CString> {
    let tiny = CString::from(c"bench_tiny");
    let argument = std::num::NonZero::new(code).map(|code| CString::from(vec![code]));
    [tiny].into_iter().chain(argument).collect()
}

/// Runs one worker's children and returns how many statuses were wrong.
fn worker(file: &CStr, each: usize, vfork: bool) -> usize {
    let arguments: Vec<_> = (0..=u8::MAX).map(arguments).collect();
    let mut stack = VforkStack::default();
    let mut wrong = 0;
    for (_, arguments) in (0..each).zip(arguments.iter().cycle()) {
        let words: Vec<&CStr> = arguments.iter().map(CString::as_c_str).collect();
        let argv = Argv::new(file, &words);
        let child = if vfork {
            vfork_exec(&mut stack, &argv)
        } else {
            sys::fork(|| {
                let _ = argv.exec();
                127
            })
        };
        let expected = words.get(1).map_or(0, |word| i32::from(word.to_bytes()[0]));
        let waited = child.and_then(sys::wait4);
        wrong += usize::from(!waited.is_ok_and(|waited| waited.status == expected << 8));
    }
    wrong
}

/// CPU time of this process or of its waited-for descendants, µs.
fn cpu_us(who: libc::c_int) -> Result<i64> {
    // SAFETY: rusage is integers only, for which all zeros is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: usage is a valid, writable rusage.
    if unsafe { libc::getrusage(who, &raw mut usage) } != 0 {
        return Err(std::io::Error::last_os_error()).context("getrusage");
    }
    let us = |time: libc::timeval| time.tv_sec * 1_000_000 + time.tv_usec;
    Ok(us(usage.ru_utime) + us(usage.ru_stime))
}

fn main() -> Result<()> {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let [how, workers, each, tiny, result] = args.as_slice() else {
        bail!("usage: bench_storm fork|vfork WORKERS EACH TINY RESULT")
    };
    let vfork = match how.to_str() {
        Some("vfork") => true,
        Some("fork") => false,
        _ => bail!("fork or vfork, not {}", how.display()),
    };
    let number = |text: &std::ffi::OsString| -> Result<usize> {
        text.to_str()
            .and_then(|text| text.parse().ok())
            .with_context(|| format!("{} is not a number", text.display()))
    };
    let (workers, each) = (number(workers)?, number(each)?);
    let file = CString::new(tiny.as_bytes())?;

    let began = sys::boot_ns();
    for _ in 0..workers {
        // A worker tells by its code whether all went well; how much did not is for a debugger.
        sys::fork(|| i32::from(worker(&file, each, vfork) != 0))?;
    }
    let mut wrong = 0;
    for _ in 0..workers {
        wrong += usize::from(sys::wait4(-1)?.status != 0);
    }
    let wall_ns = sys::boot_ns() - began;
    let cpu = cpu_us(libc::RUSAGE_SELF)? + cpu_us(libc::RUSAGE_CHILDREN)?;
    let text = format!("wall_ns {wall_ns}\ncpu_us {cpu}\nworkers_with_wrong_statuses {wrong}\n");
    let result = PathBuf::from(result);
    fs::write(&result, text).with_context(|| format!("writing {}", result.display()))
}
