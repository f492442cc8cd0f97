//! `cargo xtask torture [--runs N] [--seed S] [--first N]`: kills tracer at any moment, again and again.
//!
//! The same as the suite's short run (`tests/tests/torture.rs`), for as long as one likes. A run that
//! fails is named by seed and number and keeps its room; `--seed S --first N --runs 1` plays it again.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{artifacts, program};

/// Arguments of `cargo xtask torture`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many runs.
    #[arg(long, default_value_t = 2000)]
    runs: u64,
    /// Where what is killed and when comes from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of the first run.
    #[arg(long, default_value_t = 0)]
    first: u64,
}

/// Runs them; fails when something did not hold.
pub(crate) fn main(args: &Args) -> Result<()> {
    // `tracer` and the fixtures are where the test looks for them.
    artifacts::build(&["build", "--bins"])?;
    let built = artifacts::build(&[
        "test",
        "--no-run",
        "--package=tracer-tests",
        "--test=torture",
    ])?;
    let test = built.iter().find(|artifact| artifact.is_integration);
    let test = test.context("cargo built no test called torture")?;
    let mut command: Command = program::as_root(Path::new("env"))?;
    command
        .arg("--default-signal")
        .arg(format!("TRACER_TORTURE_RUNS={}", args.runs))
        .arg(format!("TRACER_TORTURE_SEED={}", args.seed))
        .arg(format!("TRACER_TORTURE_FIRST={}", args.first))
        .arg(&test.executable)
        .arg("--nocapture")
        .current_dir(&test.package_dir);
    program::run(&mut command)
}
