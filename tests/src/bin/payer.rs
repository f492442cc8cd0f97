//! Waits for children and writes down what the kernel charged for each: `payer ACT…`.
//!
//! `each COUNT US`: children that compute for `US` each, one after the other. `kinds COUNT DIR`: by turns the
//! programs `DIR/long` and `DIR/short` for 3 and 1 ms, both of them links to this one. `threads COUNT`: children
//! with three threads each. `replaced COUNT`: children whose image a thread replaces that is no leader. `ignored
//! COUNT US`: as `each`, but nobody waits: children are ignored. `zombie US`: one that is not waited for while this
//! process lives. `compute US`: just that.
//!
//! The truth log has a note `used_PID` for each child that was waited for: CPU time in µs, minor and major faults,
//! voluntary and involuntary switches; `kind_PID` for those of `kinds`. Of the ignored, `own_PID` is the child's own
//! CPU clock just before its end.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::time::{ClockId, clock_gettime};
use tracer_tests::sys::{self, Usage};
use tracer_tests::truth::Truth;

/// Computes until this process has used so much CPU time, and some more: looking at that clock brings the kernel's
/// sum up to date, which ends of ordinary processes do not.
fn compute(length: Duration) {
    let until = used() + length;
    while used() < until {
        spin(length / 4);
    }
    spin(Duration::from_micros(300));
}

fn spin(length: Duration) {
    let until = Instant::now() + length;
    while Instant::now() < until {
        std::hint::black_box(0);
    }
}

/// CPU time of this process so far.
fn used() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

fn waited(truth: &mut Truth, pid: i32) -> Result<()> {
    let Usage {
        cpu_us,
        faults_minor,
        faults_major,
        voluntary,
        involuntary,
    } = sys::wait4_usage(pid)?;
    let text = format!("{cpu_us} {faults_minor} {faults_major} {voluntary} {involuntary}");
    truth.note(&format!("used_{pid}"), &text);
    Ok(())
}

fn each(count: u32, mut child: impl FnMut() -> i32) -> Result<()> {
    let mut truth = Truth::from_env()?;
    for _ in 0..count {
        let pid = sys::fork(&mut child)?;
        waited(&mut truth, pid)?;
    }
    Ok(truth.flush()?)
}

fn kinds(count: u32, folder: &str) -> Result<()> {
    let mut truth = Truth::from_env()?;
    for n in 0..count {
        let (kind, us) = if n % 2 == 0 {
            ("long", "3000")
        } else {
            ("short", "1000")
        };
        let file = std::path::Path::new(folder).join(kind);
        let child = Command::new(file).args(["compute", us]).spawn()?;
        let pid = i32::try_from(child.id())?;
        waited(&mut truth, pid)?;
        truth.note(&format!("kind_{pid}"), kind);
    }
    Ok(truth.flush()?)
}

/// Three threads that compute, and one that ends the process while another may still be on its way out.
fn threads() -> i32 {
    let threads: Vec<_> = (0..3)
        .map(|_| std::thread::spawn(|| compute(Duration::from_millis(1))))
        .collect();
    threads
        .into_iter()
        .map(|one| i32::from(one.join().is_err()))
        .sum()
}

/// A thread that is not the leader executes this program anew.
fn replaced() -> i32 {
    use std::os::unix::process::CommandExt as _;
    let Ok(own) = std::env::current_exe() else {
        return 1;
    };
    let thread = std::thread::spawn(|| Command::new(own).args(["compute", "1000"]).exec());
    // It comes back only if that failed.
    i32::from(thread.join().is_ok()) + 1
}

fn ignored(count: u32, length: Duration) -> Result<()> {
    let mut truth = Truth::from_env()?;
    sys::ignore(libc::SIGCHLD, true);
    for _ in 0..count {
        let pid = sys::fork(|| {
            compute(length);
            let said = Truth::from_env().and_then(|mut truth| {
                let key = format!("own_{}", sys::getpid());
                truth.note(&key, &used().as_micros().to_string());
                Ok(truth.flush()?)
            });
            i32::from(said.is_err())
        })?;
        // With children ignored it returns when none is left.
        if sys::wait4(pid).is_ok() {
            bail!("{pid} was waited for");
        }
    }
    truth.note("done", "ignored");
    Ok(truth.flush()?)
}

/// How long accounts may take to come: the kernel frees what nobody can look at any more, tens of milliseconds
/// later as a rule.
const ACCOUNTS: Duration = Duration::from_millis(300);

fn act(args: &[&str]) -> Result<()> {
    let us = |text: &str| Ok::<_, anyhow::Error>(Duration::from_micros(text.parse()?));
    match args {
        ["compute", length] => {
            compute(us(length)?);
            return Ok(());
        }
        ["each", count, length] => {
            let length = us(length)?;
            each(count.parse()?, || {
                compute(length);
                0
            })?;
        }
        ["kinds", count, folder] => kinds(count.parse()?, folder)?,
        ["threads", count] => each(count.parse()?, threads)?,
        ["replaced", count] => each(count.parse()?, replaced)?,
        ["ignored", count, length] => ignored(count.parse()?, us(length)?)?,
        ["zombie", length] => {
            let length = us(length)?;
            let pid = sys::fork(|| {
                compute(length);
                0
            })?;
            let mut truth = Truth::from_env()?;
            truth.note("zombie", &pid.to_string());
            truth.flush().context("truth log")?;
        }
        _ => bail!("usage: payer ACT…"),
    }
    std::thread::sleep(ACCOUNTS);
    Ok(())
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    act(&args)
}
