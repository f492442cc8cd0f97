//! A storm of short processes: `storm vfork|fork WORKERS EACH`.
//!
//! Every worker makes EACH children one after the other; child i exits with i mod 256, every 97th
//! dies of a signal instead. `vfork` children exec `tiny`, `fork` children end without an exec. The
//! truth log has every fork, exec and wait status.

use std::ffi::CString;

use anyhow::{Context as _, Result, bail};
use tracer_tests::exec::{self, Argv, VforkStack};
use tracer_tests::place;
use tracer_tests::sys;
use tracer_tests::truth::Truth;

const SIGNALS: [i32; 5] = [
    libc::SIGKILL,
    libc::SIGTERM,
    libc::SIGSEGV,
    libc::SIGABRT,
    libc::SIGUSR1,
];

/// What child `i` is to do, in `tiny`'s language.
fn order(i: usize) -> i32 {
    if i % 97 == 96 {
        -SIGNALS[i / 97 % SIGNALS.len()]
    } else {
        i32::from((i % 256) as u8)
    }
}

fn worker(each: usize, vfork: bool) -> Result<()> {
    let mut truth = Truth::from_env()?;
    let me = sys::getpid();
    let tiny = place::fixture_text("tiny")?;
    let file = CString::new(tiny.clone())?;
    let mut stack = VforkStack::default();
    for i in 0..each {
        let order = order(i);
        let child = if vfork {
            let arg = CString::new(order.to_string())?;
            let child = exec::vfork_exec(&mut stack, &Argv::new(&file, &[c"tiny", &arg]))?;
            truth.fork(me, child);
            truth.exec(child, &tiny);
            child
        } else {
            let child = sys::fork(|| match order {
                signal if signal < 0 => sys::die_of(-signal).map_or(125, |()| 125),
                code => code,
            })?;
            truth.fork(me, child);
            child
        };
        truth.waited(sys::wait4(child)?);
        if i % 256 == 255 {
            truth.flush()?;
        }
    }
    Ok(truth.flush()?)
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [how, workers, each] = args.as_slice() else {
        bail!("usage: storm vfork|fork WORKERS EACH")
    };
    let vfork = match how.as_str() {
        "vfork" => true,
        "fork" => false,
        other => bail!("vfork or fork, not {other}"),
    };
    let (workers, each): (usize, usize) = (workers.parse()?, each.parse()?);
    rustix::process::setrlimit(
        rustix::process::Resource::Core,
        rustix::process::Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )?;
    let mut truth = Truth::from_env()?;
    truth.note("root", &sys::getpid().to_string());
    let me = sys::getpid();
    for _ in 0..workers {
        let child = sys::fork(|| i32::from(worker(each, vfork).is_err()))?;
        truth.fork(me, child);
    }
    let mut failed = 0;
    for _ in 0..workers {
        let waited = sys::wait4(-1)?;
        failed += i32::from(waited.status != 0);
        truth.waited(waited);
    }
    truth.flush().context("write the truth log")?;
    if failed != 0 {
        bail!("{failed} workers failed");
    }
    Ok(())
}
