//! `cargo xtask ci [STEP…]`: everything that must hold before a change goes in, as named steps.
//!
//! A failed step does not hide the ones after it: all run, a table says which failed, and the test
//! counts stand last, alone on their line.

use std::env;
use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::program::{self, say};
use crate::test::{self, Counts};
use crate::{Failed, fuzz, tidy, vm};

/// The kernels at the two ends of what is supported.
const CI_KERNELS: [&str; 2] = ["5.10", "7.2"];

/// Arguments of `cargo xtask ci`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these steps, in this order. All of them without.
    #[arg(value_enum)]
    steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    /// `cargo fmt --check`.
    Fmt,
    /// Clippy on everything that is built for this machine; a warning is an error.
    Clippy,
    /// `cargo xtask tidy`.
    Tidy,
    /// Licences, bans and sources; advisories where their database can be reached.
    Deny,
    /// `cargo xtask ebpf --check`.
    Ebpf,
    /// `cargo xtask test`.
    Test,
    /// `cargo xtask fuzz`, a few seconds a target.
    Fuzz,
    /// `cargo xtask vm` for the oldest and the newest kernel.
    Vm,
}

/// How a step ended.
struct Ended {
    step: Step,
    took: Duration,
    error: Option<anyhow::Error>,
}

/// Runs the steps.
pub(crate) fn main(args: &Args) -> Result<()> {
    let steps = if args.steps.is_empty() {
        Step::value_variants()
    } else {
        &args.steps
    };
    let mut counts = None;
    let mut ended = Vec::new();
    for &step in steps {
        say(format!("\n=== {} ===", name(step)));
        let started = Instant::now();
        let error = run(step, &mut counts).err();
        if let Some(error) = &error
            && !error.is::<Failed>()
        {
            say(format!("{}: {error:#}", name(step)));
        }
        ended.push(Ended {
            step,
            took: started.elapsed(),
            error,
        });
    }
    say(table(&ended));
    if let Some(counts) = counts {
        say(counts);
    }
    if ended.iter().any(|ended| ended.error.is_some()) {
        return Err(Failed.into());
    }
    Ok(())
}

fn run(step: Step, counts: &mut Option<Counts>) -> Result<()> {
    match step {
        Step::Fmt => program::run(program::cargo().args(["fmt", "--all", "--check"])),
        Step::Clippy => program::run(program::cargo().args([
            "clippy",
            "--workspace",
            "--exclude=tracer-ebpf",
            "--all-targets",
            "--",
            "--deny=warnings",
        ])),
        Step::Tidy => tidy::check(&program::root()),
        Step::Deny => deny(),
        Step::Ebpf => {
            // Through the command line: its arguments are its own affair.
            let xtask = env::current_exe().context("finding xtask's own file")?;
            program::run(Command::new(xtask).args(["ebpf", "--check"]))
        }
        Step::Test => {
            // Until it has run, the suite has failed: one that does not build passes nothing.
            *counts = Some(Counts {
                failed: 1,
                ..Counts::default()
            });
            let result = test::suite(&test::Args::default())?;
            *counts = Some(result);
            if result.failed > 0 {
                bail!("{result}");
            }
            Ok(())
        }
        Step::Fuzz => fuzz::run(fuzz::CI_SECONDS, 1, &[]),
        Step::Vm => vm::check(&CI_KERNELS),
    }
}

/// What the dependencies are, with cargo-deny and `deny.toml`.
fn deny() -> Result<()> {
    if program::find("cargo-deny").is_none() {
        bail!("cargo-deny is missing: cargo install cargo-deny --locked");
    }
    let deny = |args: &[&str]| {
        let mut command = program::cargo();
        command.arg("deny").args(args);
        command
    };
    program::run(&mut deny(&[
        "--log-level=error",
        "check",
        "licenses",
        "bans",
        "sources",
    ]))?;
    match program::read(&mut deny(&["fetch", "db"])) {
        Ok(_) => program::run(&mut deny(&["check", "advisories"])),
        Err(error) => {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or("no reason given");
            say(format!(
                "advisories NOT checked, their database cannot be reached: {why}"
            ));
            Ok(())
        }
    }
}

fn name(step: Step) -> String {
    let value = step.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

fn table(ended: &[Ended]) -> String {
    let mut table = String::from("\n=== steps ===\n");
    for Ended { step, took, error } in ended {
        let result = if error.is_some() { "FAILED" } else { "ok" };
        let seconds = took.as_secs_f64();
        // Writing to a String cannot fail.
        let _ = writeln!(table, "{:8} {result:6} {seconds:7.1} s", name(*step));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_named_in_the_table() {
        let ended = [
            Ended {
                step: Step::Fmt,
                took: Duration::from_millis(1500),
                error: None,
            },
            Ended {
                step: Step::Vm,
                took: Duration::ZERO,
                error: Some(Failed.into()),
            },
        ];
        let table = table(&ended);
        assert!(table.contains("fmt      ok         1.5 s"), "{table}");
        assert!(table.contains("vm       FAILED     0.0 s"), "{table}");
    }
}
