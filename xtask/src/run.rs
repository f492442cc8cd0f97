//! `cargo xtask run`.

/// Arguments of `cargo xtask run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) fn main(_args: &Args) -> anyhow::Result<()> {
    anyhow::bail!("not there yet")
}
