//! `cargo xtask ebpf`.

/// Arguments of `cargo xtask ebpf`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) fn main(_args: &Args) -> anyhow::Result<()> {
    anyhow::bail!("not there yet")
}
