//! `cargo xtask fuzz [--seconds N] [--seed N] [TARGET…]`: the fuzz targets, on the compiler that is there.
//!
//! Mutations of the committed corpora without coverage, which need nothing but cargo. Hours of fuzzing
//! with coverage are `cargo +nightly fuzz run --features libfuzzer TARGET` (cargo-fuzz), over the same
//! targets and corpora. The build is the unoptimised one: it checks arithmetic.

use anyhow::Result;

use crate::program;

/// What CI spends on each target.
pub(crate) const CI_SECONDS: u64 = 4;

/// Arguments of `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long each target is given new inputs.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Where the sequence of inputs begins; the same seed gives the same one.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only these targets. All of them without.
    targets: Vec<String>,
}

/// Runs the targets; fails when one of them found something.
pub(crate) fn main(args: &Args) -> Result<()> {
    run(args.seconds, args.seed, &args.targets)
}

/// Runs these targets, or all of them.
pub(crate) fn run(seconds: u64, seed: u64, targets: &[String]) -> Result<()> {
    let mut cargo = program::cargo();
    cargo.args([
        "run",
        "--quiet",
        "--package=tracer-fuzz",
        "--example=mutate",
        "--",
    ]);
    cargo.args([
        "--seconds",
        &seconds.to_string(),
        "--seed",
        &seed.to_string(),
    ]);
    program::run(cargo.args(targets))
}
