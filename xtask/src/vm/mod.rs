//! `cargo xtask vm [KERNEL…]`: the live core tests on other kernels.
//!
//! Debian's cloud kernels boot in QEMU to an initramfs that holds nothing but busybox, `tracer`, the
//! fixtures and the test binary `core`, built here and now. They have BTF and need no modules.

mod cpio;
mod guest;
mod initramfs;
mod kernel;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::artifacts::{self, Artifact};
use crate::program::{self, say};
use crate::{Failed, test};

/// The test target whose tests need nothing but a kernel.
const TESTS: &str = "core";

/// Lines of a failed guest's log to print; the whole stays on disk.
const TAIL: usize = 60;

/// Arguments of `cargo xtask vm`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Kernel series: 5.10, 6.1, 6.12, 7.2. All of them without.
    kernels: Vec<String>,
    /// Run only tests whose name contains this.
    #[arg(long)]
    filter: Option<String>,
    /// Only boot: shows whether QEMU and the kernels work here.
    #[arg(long)]
    boot_only: bool,
    /// Seconds a guest may take.
    #[arg(long, default_value_t = 600)]
    timeout: u64,
}

/// Runs the core tests in the guests.
pub(crate) fn main(args: &Args) -> Result<()> {
    let all = kernel::series();
    let asked: Vec<&str> = args.kernels.iter().map(String::as_str).collect();
    let kernels = if asked.is_empty() { all } else { asked };
    run(&kernels, args)
}

/// What CI asks: the core tests on these kernels.
pub(crate) fn check(kernels: &[&str]) -> Result<()> {
    let args = Args {
        timeout: 600,
        ..Args::default()
    };
    run(kernels, &args)
}

fn run(kernels: &[&str], args: &Args) -> Result<()> {
    let cache = program::target_dir().join("vm");
    fs::create_dir_all(&cache).with_context(|| format!("making {}", cache.display()))?;
    let initrd = cache.join("initrd.cpio");
    let archive = archive(args)?;
    fs::write(&initrd, archive).with_context(|| format!("writing {}", initrd.display()))?;

    let mut rows = Vec::new();
    let mut failed = false;
    for series in kernels {
        let started = Instant::now();
        let row = match one(series, &cache, &initrd, args) {
            Ok((kernel, result, ok)) => {
                failed |= !ok;
                format!("{kernel:<34} {result}")
            }
            Err(error) => {
                failed = true;
                format!("{series:<34} FAILED: {error:#}")
            }
        };
        say(format!("{row} ({:.0} s)", started.elapsed().as_secs_f64()));
        rows.push(row);
    }
    say("\nkernel                             result");
    rows.iter().for_each(say);
    if failed { Err(Failed.into()) } else { Ok(()) }
}

/// Fetches, boots and judges one kernel: its release, a result for people, and whether it passed.
fn one(series: &str, cache: &Path, initrd: &Path, args: &Args) -> Result<(String, String, bool)> {
    let image = kernel::fetch(series, cache)?;
    if let Some(note) = image.note {
        say(format!("note: {note}"));
    }
    let log = cache.join(format!("{series}.log"));
    let deadline = Duration::from_secs(args.timeout);
    let mut report = guest::boot(&image.file, initrd, &log, deadline)?;
    if report.panic.is_some() && report.ran_old_code {
        say(format!(
            "note: {series}: the emulator ran code that the kernel had changed; once more"
        ));
        report = guest::boot(&image.file, initrd, &log, deadline)?;
    }
    let kernel = report.kernel.clone().unwrap_or_else(|| series.to_owned());
    let nothing_ran = !args.boot_only && report.counts == test::Counts::default();
    let failure = report
        .failure()
        .or_else(|| nothing_ran.then(|| "no test ran".to_owned()));
    let Some(failure) = failure else {
        let result = if args.boot_only {
            "boots".to_owned()
        } else {
            report.counts.to_string()
        };
        return Ok((kernel, result, true));
    };
    let said = fs::read(&log).map(|log| String::from_utf8_lossy(&log).into_owned());
    let said = said.unwrap_or_default();
    let lines: Vec<&str> = said.lines().collect();
    say(format!("--- last lines of {} ---", log.display()));
    lines[lines.len().saturating_sub(TAIL)..]
        .iter()
        .for_each(say);
    say("---");
    Ok((
        kernel,
        format!("{}: FAILED: {failure}", report.counts),
        false,
    ))
}

/// Builds what goes into the guest.
fn archive(args: &Args) -> Result<Vec<u8>> {
    // Those that other machines lack something for are run here.
    let mut run_args = ["--test-threads=1", "--include-ignored"]
        .map(str::to_owned)
        .to_vec();
    run_args.extend(args.filter.clone());
    let (programs, tests) = if args.boot_only {
        (Vec::new(), None)
    } else {
        let programs = artifacts::build(&[
            "build",
            "--package=tracer",
            "--package=tracer-tests",
            "--bins",
        ])?;
        let tests = artifacts::build(&[
            "test",
            "--no-run",
            "--package=tracer-tests",
            "--test",
            TESTS,
        ])?;
        let tests: Option<Artifact> = tests.into_iter().find(|artifact| artifact.is_test);
        (
            programs,
            Some(tests.context("cargo built no test called core")?),
        )
    };
    initramfs::write(&initramfs::Content {
        programs: &programs,
        tests: tests.as_ref(),
        args: &run_args,
    })
}
