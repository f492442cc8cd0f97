//! `cargo xtask bench record`: what the record costs, from a program of its own.
//!
//! `tracer-user/benches/record` measures and prints one figure a line and round; here they become medians
//! with their ranges, beside what they should be.

mod tables;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::figures::Figures;
use crate::artifacts;
use crate::program::{self, say};

/// All rounds may take so long.
const DEADLINE: Duration = Duration::from_secs(3600);

/// Options of `bench record`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Rounds; in each every part has one turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Events of the long session.
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// MB of the session that is recovered and verified.
    #[arg(long, default_value_t = 100)]
    journal_mb: usize,
    /// Short sessions that are recovered and verified.
    #[arg(long, default_value_t = 100)]
    short: usize,
    /// MB of the session that is ended.
    #[arg(long, default_value_t = 200)]
    end_mb: usize,
    /// Sessions in the listing.
    #[arg(long, default_value_t = 500)]
    listed: usize,
    /// Only these parts: append, flow, read, end, list.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Put the tables into docs/performance.md.
    #[arg(long)]
    pub(super) write: bool,
}

/// Measures everything and returns the text to print.
pub(super) fn measure(options: &Options) -> Result<String> {
    ensure!(options.rounds > 0, "nothing to do");
    let built = artifacts::build(&[
        "build",
        "--release",
        "--package=tracer",
        "--bench=record",
        "--bin=tracer",
    ])?;
    let bench = built.iter().find(|artifact| artifact.name == "record");
    let bench = bench.context("cargo built no bench `record`")?;
    let mut command = Command::new(&bench.executable);
    for (option, value) in [
        ("--rounds", options.rounds),
        ("--events", options.events),
        ("--journal-mb", options.journal_mb),
        ("--short", options.short),
        ("--end-mb", options.end_mb),
        ("--listed", options.listed),
    ] {
        command.args([option, &value.to_string()]);
    }
    if !options.only.is_empty() {
        command.args(["--only", &options.only.join(",")]);
    }
    let figures = parse(&run(&mut command)?)?;
    Ok(tables::text(&figures, options))
}

/// What a program of figures printed.
pub(super) fn run(command: &mut Command) -> Result<String> {
    let line = program::line(command);
    say(&line);
    // Some kilobytes of figures fit into no pipe for certain.
    let output = tempfile::tempfile().context("making a file for the figures")?;
    let copy = output.try_clone().context("its second descriptor")?;
    command.stdin(Stdio::null()).stdout(copy);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start `{line}`"))?;
    if let Some(status) = program::wait_until(&mut child, Instant::now() + DEADLINE)? {
        ensure!(status.success(), "`{line}`: {status}");
    } else {
        child.kill()?;
        child.wait()?;
        bail!("`{line}` has not ended after {} s", DEADLINE.as_secs());
    }
    let mut output = output;
    std::io::Seek::rewind(&mut output)?;
    std::io::read_to_string(output).context("reading the figures")
}

/// The figures by name; one a round.
pub(super) type Named = BTreeMap<String, Figures>;

pub(super) fn parse(output: &str) -> Result<Named> {
    let mut named = Named::new();
    for line in output.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let ["figure", name, value] = words[..] else {
            bail!("`{line}` is no figure");
        };
        let value = value
            .parse()
            .with_context(|| format!("`{line}` has no value"))?;
        named.entry(name.to_owned()).or_default().push(value);
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_told_by_name_and_anything_else_is_an_error() {
        let named = parse("figure a.b 2.5\nfigure a.b 3.5\nfigure c 1\n").unwrap();
        assert_eq!(named["a.b"].median(), Some(3.0));
        assert_eq!(named["c"].len(), 1);
        assert!(parse("figure a\n").is_err());
        assert!(parse("figure a x\n").is_err());
        assert!(parse("panic\n").is_err());
    }
}
