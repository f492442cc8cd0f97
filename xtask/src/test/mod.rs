//! `cargo xtask test [FILTER…]`: the whole suite, live tests included.
//!
//! Everything is built by this user; only the integration tests, which load eBPF programs and watch
//! real processes, run as root. The last line counts what all binaries said, so that "all passed" is one number and
//! not forty lines to read.

mod count;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;

pub(crate) use count::{Counts, stream};

use crate::artifacts::{self, Artifact};
use crate::program::{self, say};

/// How long one test binary may take; the whole suite has 10 minutes.
const DEADLINE: Duration = Duration::from_secs(600);

/// Arguments of `cargo xtask test`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Leave out the integration tests, which need root and eBPF.
    #[arg(long)]
    no_live: bool,
    /// Run only tests whose name contains one of these.
    filter: Vec<String>,
}

/// Runs the suite and prints its counts last.
pub(crate) fn main(args: &Args) -> Result<()> {
    let counts = suite(args)?;
    say(counts);
    if counts.failed > 0 {
        return Err(crate::Failed.into());
    }
    Ok(())
}

/// Builds and runs all tests. Failures are in the counts; an error is that they could not be run.
pub(crate) fn suite(args: &Args) -> Result<Counts> {
    let started = Instant::now();
    // The live tests run `tracer` and the fixtures from where cargo puts programs.
    artifacts::build(&["build", "--bins"])?;
    let built = artifacts::build(&["test", "--no-run"])?;
    say(format!("built in {:.0} s", started.elapsed().as_secs_f64()));

    let (live, unit): (Vec<_>, Vec<_>) = built
        .iter()
        .filter(|artifact| artifact.is_test)
        .partition(|artifact| artifact.is_integration);
    let mut counts = Counts::default();
    for binary in unit {
        counts += run_binary(binary, Command::new("env"), args);
    }
    counts += run_doc_tests(args);
    if args.no_live {
        say("live tests left out (--no-live)");
        return Ok(counts);
    }
    for binary in live {
        counts += match program::as_root(Path::new("env")) {
            Ok(command) => run_binary(binary, command, args),
            Err(error) => cannot_run(binary, args, &error),
        };
    }
    say(format!("ran for {:.0} s", started.elapsed().as_secs_f64()));
    Ok(counts)
}

/// Runs one test binary as cargo would: in its package's folder. `env` comes first to undo what the
/// caller may have ignored: under nohup, or as a shell's background job, the programs under test would
/// never see the signals that the tests send.
fn run_binary(binary: &Artifact, mut env: Command, args: &Args) -> Counts {
    say(format!(
        "\n     Running {} ({})",
        binary.name,
        binary.package()
    ));
    env.arg("--default-signal")
        .arg(&binary.executable)
        .args(&args.filter)
        .current_dir(&binary.package_dir)
        .env("CARGO_MANIFEST_DIR", &binary.package_dir);
    stream(&mut env, DEADLINE)
}

/// Documentation tests are built and run by rustdoc, in one go for all libraries.
fn run_doc_tests(args: &Args) -> Counts {
    let mut command = program::cargo();
    command
        .args(["test", "--quiet", "--doc", "--"])
        .args(&args.filter);
    say("\n     Running documentation tests");
    stream(&mut command, DEADLINE)
}

/// A binary that needs root, where there is none: every test of it is named, and failed. A suite that
/// passes by leaving out what it could not run says nothing.
fn cannot_run(binary: &Artifact, args: &Args, why: &anyhow::Error) -> Counts {
    let names = list(&binary.executable, &args.filter);
    say(format!("\n     {}: cannot run, {why}", binary.name));
    for name in &names {
        say(format!("test {name} ... FAILED (not root)"));
    }
    Counts {
        failed: names.len().max(1),
        ..Counts::default()
    }
}

/// Names of the tests in a test binary that the filter leaves.
fn list(executable: &Path, filter: &[String]) -> BTreeSet<String> {
    let mut command = Command::new(executable);
    command.args(["--list", "--format=terse"]).args(filter);
    let listed = program::read(&mut command).unwrap_or_default();
    let names = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"));
    names.map(str::to_owned).collect()
}
