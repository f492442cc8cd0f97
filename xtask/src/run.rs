//! `cargo xtask run -- ARGS…`: builds `tracer` as this user, then becomes `tracer ARGS…`.
//!
//! The build is the release one: what is tried here is what is shipped, and its cost is what it
//! costs; cargo rebuilds only what changed. Nothing is ever built as root: sudo gets the finished
//! program. The command is executed in place of this one, so standard streams, signals and the exit
//! code are its own.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;

use anyhow::{Context as _, Result};

use crate::{artifacts, program};

/// Arguments of `cargo xtask run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Build without optimisation instead: quicker to build, slower to run.
    #[arg(long)]
    debug: bool,
    /// Arguments of tracer, for example `run -- make`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Runs the command; returns only when that fails.
pub(crate) fn main(args: &Args) -> Result<()> {
    let mut cargo_args = vec!["build", "--quiet", "--package", "tracer", "--bin", "tracer"];
    if !args.debug {
        cargo_args.push("--release");
    }
    let built = artifacts::build(&cargo_args)?;
    let tracer = built
        .iter()
        .find(|artifact| artifact.name == "tracer")
        .context("cargo built no program called tracer")?;
    let mut command = program::as_root(&tracer.executable)?;
    // What cargo runs here may not use the user's own state directory; this is for the user.
    command.env_remove("TRACER_REFUSE_DEFAULT_STATE");
    command.args(&args.args);
    let error = command.exec();
    Err(error).with_context(|| format!("cannot execute `{}`", program::line(&command)))
}
