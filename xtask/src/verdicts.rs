//! `cargo xtask verdicts [--runs N] [FILTER…]`: every ending of the live verdict tests, again and again.
//!
//! The same tests as the suite's (`tests/tests/verdicts`), where each ending is played a few times. The
//! last line says how many endings were played how often, and how many verdicts were wrong.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::program::{self, say};
use crate::{Failed, artifacts};

/// Arguments of `cargo xtask verdicts`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How often each ending is played.
    #[arg(long, default_value_t = 20)]
    runs: u32,
    /// Only tests whose name contains one of these.
    filter: Vec<String>,
}

/// Plays them; fails when a verdict was wrong.
pub(crate) fn main(args: &Args) -> Result<()> {
    // `tracer` and the fixtures are where the tests look for them.
    artifacts::build(&["build", "--bins"])?;
    let built = artifacts::build(&[
        "test",
        "--no-run",
        "--package=tracer-tests",
        "--test=verdicts",
    ])?;
    let test = built.iter().find(|artifact| artifact.is_integration);
    let test = test.context("cargo built no test called verdicts")?;
    let tally = tempfile::NamedTempFile::new().context("make a file for the tally")?;
    let mut command: Command = program::as_root(Path::new("env"))?;
    command
        .arg("--default-signal")
        .arg(format!("TRACER_TEST_TIMES={}", args.runs))
        .arg(format!("TRACER_TEST_TALLY={}", tally.path().display()))
        .arg(&test.executable)
        .args(&args.filter)
        .current_dir(&test.package_dir)
        .env("CARGO_MANIFEST_DIR", &test.package_dir)
        .stdin(Stdio::null());
    let passed = command.status().context("run the tests")?.success();
    let tally = std::fs::File::open(tally.path()).context("read the tally")?;
    let (mut endings, mut played, mut wrong) = (0_u32, 0_u32, 0_u32);
    for line in BufReader::new(tally).lines() {
        let line = line?;
        let mut words = line.splitn(3, '\t');
        let times: u32 = words.next().unwrap_or_default().parse()?;
        let failed: u32 = words.next().unwrap_or_default().parse()?;
        endings += 1;
        played += times;
        wrong += failed;
    }
    ensure!(endings > 0, "no ending was played: is the filter right?");
    say(format!(
        "verdicts: {endings} endings, {played} played, {wrong} wrong"
    ));
    if wrong > 0 || !passed {
        return Err(Failed.into());
    }
    Ok(())
}
