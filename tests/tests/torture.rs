//! tracer, its recovery, rebuild, removal and retention are killed at any moment, and nothing is lost.
//!
//! A short run for the suite; `cargo xtask torture` goes on for as long as one likes.

use anyhow::{Context as _, Result, ensure};
use tracer_tests::torture::torture;

/// Runs that the suite has time for.
const RUNS: u64 = 48;
/// The suite's seed.
const SEED: u64 = 1;

fn number(name: &str, default: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text}")),
        Err(_) => Ok(default),
    }
}

#[test]
fn whatever_is_killed_at_whatever_moment_nothing_is_lost_doubled_or_left_behind() -> Result<()> {
    let seed = number("TRACER_TORTURE_SEED", SEED)?;
    let first = number("TRACER_TORTURE_FIRST", 0)?;
    let runs = number("TRACER_TORTURE_RUNS", RUNS)?;
    let told = torture(seed, first..first + runs, |line| println!("{line}"))?;
    println!("seed {seed}: {told}; {} failures", told.failures.len());
    let failures = told.failures.join("\n\n");
    ensure!(failures.is_empty(), "{failures}");
    let killed: u64 = told.killed.values().sum();
    // Moments beyond a program's end are rare: otherwise this would test nothing.
    ensure!(killed * 2 > told.runs, "only {killed} killed");
    Ok(())
}
