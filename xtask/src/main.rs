//! `cargo xtask`: builds, checks, tests and measures tracer. One file or folder a command.

mod artifacts;
mod bench;
mod ci;
mod ebpf;
mod fuzz;
mod program;
mod run;
mod test;
mod tidy;
mod torture;
mod verdicts;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, checks, tests and measures tracer.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build the kernel side into tracer-user/bpf, or check that it is what the sources give.
    Ebpf(ebpf::Args),
    /// Build tracer as this user and run it with sudo where that is needed.
    Run(run::Args),
    /// Run the whole test suite.
    Test(test::Args),
    /// Everything that CI runs.
    Ci(ci::Args),
    /// Give every parser of strangers' bytes odd ones for a while, without coverage.
    Fuzz(fuzz::Args),
    /// Kill tracer at random moments, recover, and check that nothing is lost.
    Torture(torture::Args),
    /// Play every ending again and again; the verdict must be the same each time.
    Verdicts(verdicts::Args),
    /// Run the core tests on other kernels in QEMU.
    Vm(vm::Args),
    /// Measure tracer beside its alternatives.
    Bench(bench::Args),
    /// Check the house rules: direction, length, purity, lints.
    Tidy(tidy::Args),
}

/// The command has failed and has itself said all there is to say: its last line stays the last.
#[derive(Debug)]
struct Failed;

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("failed")
    }
}

impl std::error::Error for Failed {}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Ebpf(args) => ebpf::main(&args),
        Command::Run(args) => run::main(&args),
        Command::Test(args) => test::main(&args),
        Command::Ci(args) => ci::main(&args),
        Command::Fuzz(args) => fuzz::main(&args),
        Command::Torture(args) => torture::main(&args),
        Command::Verdicts(args) => verdicts::main(&args),
        Command::Vm(args) => vm::main(&args),
        Command::Bench(args) => bench::main(&args),
        Command::Tidy(args) => tidy::main(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is::<Failed>() {
                eprintln!("xtask: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
