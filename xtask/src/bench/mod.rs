//! `cargo xtask bench`: what watching processes costs beside the alternatives, and what the record costs.
//!
//! What counts is relative: what is compared takes turns, and what is printed is a median with its range.
//! An absolute time alone says more about the machine than about the program.

mod events;
mod figures;
mod measure;
mod observer;
mod record;
mod report;
mod sampler;
mod tally;
mod watch;
mod workload;

use anyhow::{Context as _, Result, ensure};
use clap::{Subcommand, ValueEnum};

use crate::program::{self, say};

/// Arguments of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

/// What to measure.
#[derive(Debug, Subcommand)]
enum What {
    /// A storm of fork, exec and exit; time from exec to pin; start-up.
    Events(Options),
    /// The record: appending, ending, reading back, recovering, verifying, listing.
    Record(record::Options),
    /// A tick over many sleeping processes, tracer's ways beside others.
    Sampler(sampler::Options),
    /// `tracer watch` on a machine full of sleeping processes.
    Watch(watch::Options),
}

/// How children are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum How {
    /// `fork(2)`, then exec.
    Fork,
    /// `vfork(2)`-like, then exec, as shells and build tools do.
    Vfork,
}

/// Options of `bench events`.
#[derive(Debug, clap::Args)]
struct Options {
    /// Rounds; in each every observer has one turn.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Workers that make children at the same time.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Children a worker makes.
    #[arg(long, default_value_t = 5_000)]
    each: usize,
    /// How children are made.
    #[arg(long, value_enum, default_value_t = How::Fork)]
    how: How,
    /// Only these observers: none, tracer, forkstat, bpftrace, perf, strace.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Pairs of `tracer run -- true` and `true`.
    #[arg(long, default_value_t = 21)]
    pairs: usize,
    /// Runs for the time from exec to pin.
    #[arg(long, default_value_t = 200)]
    pins: usize,
    /// Processes of the one long run that shows whether memory grows; 0 leaves it out.
    #[arg(long, default_value_t = 100_000)]
    long: usize,
    /// Put the tables into docs/performance.md.
    #[arg(long)]
    write: bool,
}

/// Measures and prints.
pub(crate) fn main(args: &Args) -> Result<()> {
    match &args.what {
        What::Events(options) => {
            ensure!(
                program::is_root(),
                "bench events needs root, for every observer: build as yourself with \
                 `cargo build --release`, then `sudo -E env PATH=\"$PATH\" cargo xtask bench events`"
            );
            tell("events", &events::measure(options)?, options.write)
        }
        What::Sampler(options) => {
            ensure!(
                program::is_root(),
                "bench sampler needs root, for the kernel side: build as yourself with \
                 `cargo build --release`, then `sudo -E env PATH=\"$PATH\" cargo xtask bench sampler`"
            );
            tell("sampler", &sampler::measure(options)?, options.write)
        }
        What::Watch(options) => tell("watch", &watch::measure(options)?, options.write),
        What::Record(options) => tell("record", &record::measure(options)?, options.write),
    }
}

/// Prints the tables and, if that is wanted, puts them into docs/performance.md.
fn tell(bench: &str, text: &str, write: bool) -> Result<()> {
    say(text);
    if write {
        let file = program::root().join("docs/performance.md");
        report::put(&file, bench, text).with_context(|| format!("writing {}", file.display()))?;
        say(format!("written to {}", file.display()));
    }
    Ok(())
}
