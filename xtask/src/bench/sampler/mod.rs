//! `cargo xtask bench sampler`: what a tick over many processes costs, from a program of its own.
//!
//! `tracer-user/benches/sampler` makes the processes, lets every way read them in turn and prints one figure
//! a line and round; here they become medians with their ranges. psutil is fetched into a virtual
//! environment below `target/`, once.

mod tables;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::record::{parse, run};
use crate::artifacts;
use crate::program::{self, say};

/// Options of `bench sampler`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Rounds; in each every way has one turn.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Numbers of sleeping processes.
    #[arg(long, value_delimiter = ',', default_value = "1,100,1000,5000")]
    sizes: Vec<usize>,
    /// Processes beside the 100 of the last part; 0 leaves it out.
    #[arg(long, default_value_t = 5000)]
    strangers: usize,
    /// Only these: kernel, walk, files, kept, procfs, psutil, psutil-full, pidstat, strangers.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Put the tables into docs/performance.md.
    #[arg(long)]
    pub(super) write: bool,
}

/// What the program measures.
const PARTS: [&str; 9] = [
    "kernel",
    "walk",
    "files",
    "kept",
    "procfs",
    "psutil",
    "psutil-full",
    "pidstat",
    "strangers",
];

/// Measures everything and returns the text to print.
pub(super) fn measure(options: &Options) -> Result<String> {
    ensure!(
        options.rounds > 0 && !options.sizes.is_empty(),
        "nothing to do"
    );
    let built = artifacts::build(&["build", "--release", "--package=tracer", "--bench=sampler"])?;
    let bench = built.iter().find(|artifact| artifact.name == "sampler");
    let bench = bench.context("cargo built no bench `sampler`")?;
    let mut parts: Vec<&str> = match options.only.as_slice() {
        [] => PARTS.to_vec(),
        only => only.iter().map(String::as_str).collect(),
    };
    let mut missing = Vec::new();
    if parts.contains(&"pidstat") && program::find("pidstat").is_none() {
        parts.retain(|part| *part != "pidstat");
        missing.push("pidstat (package sysstat)".to_owned());
    }
    let mut command = Command::new(&bench.executable);
    if parts.iter().any(|part| part.starts_with("psutil")) {
        match psutil() {
            Ok(python) => {
                command.arg("--python").arg(python);
            }
            Err(error) => missing.push(format!("psutil ({error:#})")),
        }
    }
    let sizes: Vec<String> = options.sizes.iter().map(usize::to_string).collect();
    command
        .args(["--rounds", &options.rounds.to_string()])
        .args(["--sizes", &sizes.join(",")])
        .args(["--strangers", &options.strangers.to_string()])
        .args(["--only", &parts.join(",")]);
    let figures = parse(&run(&mut command)?)?;
    for missing in &missing {
        say(format!("not measured, because it is not here: {missing}"));
    }
    Ok(tables::text(&figures, options))
}

/// A Python with psutil.
fn psutil() -> Result<PathBuf> {
    let place = program::target_dir().join("bench-python");
    let python = place.join("bin/python3");
    if !python.exists() {
        program::run(Command::new("python3").args(["-m", "venv"]).arg(&place))
            .context("making a virtual environment for psutil")?;
    }
    let has = Command::new(&python)
        .args(["-c", "import psutil"])
        .output()
        .context("asking Python for psutil")?;
    if !has.status.success() {
        program::run(Command::new(&python).args(["-m", "pip", "install", "-q", "psutil"]))
            .context("installing psutil")?;
    }
    Ok(python)
}
