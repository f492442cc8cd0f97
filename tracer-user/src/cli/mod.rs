//! The command line: one file a subcommand, arguments checked into a configuration before any work.

mod anomalies;
mod attach;
mod costs;
mod ending;
mod escape;
mod options;
mod recover;
mod run;
mod sessions;
mod show;

use std::ffi::OsString;

use clap::{Parser, Subcommand, error::ErrorKind};

/// Exit code for a failure of tracer's own, as in env(1) and timeout(1).
const OWN_FAILURE: u8 = 125;
/// Exit code for arguments that make no sense, where no command's own code can be meant.
const USAGE: u8 = 2;

/// A flight recorder for process trees: what ran, what it cost, how it ended.
#[derive(Debug, Parser)]
#[command(
    name = "tracer",
    version,
    arg_required_else_help = true,
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a command and record its whole process tree.
    Run(run::Args),
    /// Record a process tree that is running already.
    Attach(attach::Args),
    /// List, show, check and remove what was recorded.
    Sessions(sessions::Args),
    /// End the records of sessions whose tracer was killed.
    Recover(recover::Args),
}

/// Runs the program with these arguments and returns its exit code. The one place that prints errors.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let is_run = arguments.get(1).is_some_and(|first| first == "run");
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            if error.use_stderr() {
                show::usage(&error.render().to_string());
            } else {
                // Nobody is left to tell when stdout is gone.
                let _ = error.print();
            }
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
                _ if is_run => OWN_FAILURE,
                _ => USAGE,
            };
        }
    };
    let done = match cli.command {
        Command::Run(args) => run::main(args),
        Command::Attach(args) => attach::main(args),
        Command::Sessions(args) => sessions::main(args),
        Command::Recover(args) => recover::main(args),
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            show::failure(&failure.error);
            failure.code
        }
    }
}

/// The configuration that a command line of `tracer run` means: for whoever observes with an audience
/// of their own.
///
/// # Errors
/// What is wrong with the arguments, or that they are not of `run`.
pub fn run_config(
    arguments: impl IntoIterator<Item = OsString>,
) -> anyhow::Result<crate::config::RunConfig> {
    match Cli::try_parse_from(arguments)?.command {
        Command::Run(args) => args.into_config(),
        _ => anyhow::bail!("these are not the arguments of tracer run"),
    }
}

/// An error and the exit code it means.
struct Failure {
    error: anyhow::Error,
    code: u8,
}

impl Failure {
    fn new(code: u8, error: impl Into<anyhow::Error>) -> Self {
        Self {
            error: error.into(),
            code,
        }
    }
}
